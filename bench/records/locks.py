"""Who works on a run: whoever has the lock of its folder, which the operating system frees when a process ends."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import printable
from bench.files import clear, writing

LOCK, HOLDER = "lock", "lock.holder"  # whoever works on a run has the first locked, and its name in the second


@contextmanager
def claimed(folder: Path, wait: bool = False, waiting: Callable[[str], None] | None = None) -> Iterator[bool]:
    """Whether this process has a run's folder to itself. waiting: called with who has it, before this one waits for that."""
    path = folder / LOCK
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            if not wait:
                yield False
                return
            if waiting and (holder := holder_of(folder)) not in (None, this_command()):
                waiting(str(holder))
            lock.acquire(timeout=-1)
        (folder / HOLDER).write_text(this_command(), encoding="utf-8")
    try:
        clear(folder)
        yield True
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def this_command() -> str:
    """`process N on host`: the process that a user started, in its workers too."""
    parent = multiprocessing.parent_process()
    return f"process {parent.pid if parent else os.getpid()} on {socket.gethostname()}"


def holder_of(folder: Path) -> str | None:
    """Who has a run's folder to itself, by its own word; None where nobody has."""
    lock = FileLock(folder / LOCK, timeout=0)
    if not (folder / LOCK).exists():
        return None
    try:
        lock.acquire()
    except Timeout:
        said = ""
        with suppress(OSError):
            said = (folder / HOLDER).read_text(encoding="utf-8", errors="replace")
        return printable(said.partition("\n")[0]) or "another process"
    lock.release()
    return None
