"""Faults of a system below Python: a library that is loaded before the C library's and answers in its place. Needs a C compiler.

FAULT_FLOCK=37    no file can be locked; the number is the error (ENOLCK, ENOSYS)
FAULT_CLOCK=1     the clock of the day jumps by up to a day at each look
FAULT_TORN=FILE   the power fails right after each rename: what was not synchronised to the disk before is empty; FILE has their names
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define REAL(name, ...) ((int (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static ino_t synced[65536];
static int count;

int flock(int file, int operation) {
    const char *fault = getenv("FAULT_FLOCK");
    if (fault) { errno = atoi(fault); return -1; }
    return REAL("flock", int, int)(file, operation);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static unsigned looks;
    int code = REAL("clock_gettime", clockid_t, struct timespec *)(clock, now);
    if (clock == CLOCK_REALTIME && getenv("FAULT_CLOCK")) now->tv_sec += (long)(looks++ * 7919u % 172800u) - 86400;
    return code;
}

static void mark(ino_t inode, int whole) {
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < count; i++) if (synced[i] == inode) synced[i] = synced[--count];
    if (whole && count < 65536) synced[count++] = inode;
    pthread_mutex_unlock(&mutex);
}

int fsync(int file) {
    struct stat about;
    if (getenv("FAULT_TORN") && !fstat(file, &about)) mark(about.st_ino, 1);
    return 0;  /* the disk is not asked: what counts is that it would have been */
}

ssize_t write(int file, const void *data, size_t size) {
    struct stat about;
    if (getenv("FAULT_TORN") && !fstat(file, &about) && S_ISREG(about.st_mode)) mark(about.st_ino, 0);
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, data, size);
}

int rename(const char *from, const char *to) {
    const char *log = getenv("FAULT_TORN");
    struct stat about;
    if (log && !stat(from, &about) && S_ISREG(about.st_mode) && about.st_size) {
        int whole = 0;
        pthread_mutex_lock(&mutex);
        for (int i = 0; i < count; i++) whole |= synced[i] == about.st_ino;
        pthread_mutex_unlock(&mutex);
        FILE *file = fopen(log, "a");
        if (file) { fprintf(file, "%s %s\n", whole ? "whole" : "torn", to); fclose(file); }
        if (!whole && truncate(from, 0)) return -1;
    }
    return REAL("rename", const char *, const char *)(from, to);
}
"""


def environment(folder: Path, **faults: object) -> dict[str, str]:
    """This process's environment with the faults in it, for a process that is to meet them; skips where nothing compiles."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc/self").exists():
        pytest.skip("needs Linux and a C compiler")
    source, library = folder / "faults.c", folder / "faults.so"
    if not library.exists():
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True, capture_output=True)
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "LD_PRELOAD": str(library)} | {
        f"FAULT_{name.upper()}": str(value) for name, value in faults.items()
    }
