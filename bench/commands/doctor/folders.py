"""Folders as a run uses them: tried out with small files, which are removed again. No torch here."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from bench.commands.doctor.finding import Finding, State
from bench.datasets.storage.raw import writable
from bench.errors import UserError
from bench.files import write

ROOM, SCARCE, FILES = 2**30, 64 * 2**20, 1000  # bytes free below which it is said, below which nothing fits; names of files free
APART = 2.0  # seconds by which the clocks of a disk and of this machine may differ
BUILT = 1_767_225_600  # the first second of 2026: no clock that goes right is before it


class Folder(NamedTuple):
    """A folder that runs use, what they do with it, and how bad it is if that cannot be done."""

    what: str
    path: Path
    without: State
    remedy: str


def examine(folders: list[Folder]) -> Iterator[Finding]:
    """Clock, and of each folder: permission, room, locks, clock of its disk."""
    if time.time() < BUILT:
        yield Finding("clock", "fault", f"the clock says {time.strftime('%Y-%m-%d')}, before this program was made", "set the clock")
    for folder in folders:
        yield from tried(folder)


def tried(folder: Folder) -> Iterator[Finding]:
    """What comes of writing into one, or, where it is not there yet, into the folder that it would be made in."""
    place = existing(folder.path)
    if not writable(place):  # a mode without write bits counts even for root, as it does where data are packed
        yield Finding("folders", folder.without, f"{folder.what} {folder.path}: {place} cannot be written", folder.remedy)
        return
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as made:
            write(Path(made) / "file", bytes(65536))
            apart = (Path(made) / "file").stat().st_mtime - time.time()
            twice = taken_twice(Path(made) / "lock")
    except (OSError, UserError) as error:
        reason = str(error).partition(";")[0] if isinstance(error, UserError) else f"{place}: {error.strerror or error}"
        if reason.startswith("cannot lock"):
            yield unlocked(folder, reason)
        else:
            yield Finding("folders", folder.without, f"{folder.what} {folder.path}: {reason}", folder.remedy)
        return
    yield from room(folder, place)
    if twice:
        yield unlocked(folder, "a lock that is held can be taken a second time")
    if abs(apart) > APART:
        says = f"{folder.what} {folder.path}: the clock of its disk is {apart:+.0f} s from this machine's"
        yield Finding("clock", "warning", says, "let both machines take the time from one server")


def room(folder: Folder, place: Path) -> Iterator[Finding]:
    """Whether bytes and names of files are free."""
    free, names = shutil.disk_usage(place).free, os.statvfs(place)
    few_names = names.f_files > 0 and names.f_favail < FILES  # some file systems do not count names
    says = f"{folder.what} {folder.path}: {free / 2**30:.1f} GiB free" + (f", room for {names.f_favail} files" if few_names else "")
    if free < SCARCE and folder.without == "fault":
        yield Finding("folders", "fault", says, folder.remedy)
    elif free < ROOM or few_names:
        yield Finding("folders", "warning", says, f"make room, or: {folder.remedy}")
    else:
        yield Finding("folders", "good", says)


def unlocked(folder: Folder, reason: str) -> Finding:
    """A folder where a run cannot be one process's alone."""
    says = f"{folder.what} {folder.path}: {reason}: two commands would work on one run"
    return Finding("locks", folder.without, says, f"mount it with locks (NFS: without nolock, with lockd), or: {folder.remedy}")


def taken_twice(path: Path) -> bool:
    """Whether a lock that is held can be taken again, as on a disk whose locks are for show."""
    with FileLock(path, timeout=0):
        try:
            with FileLock(path, timeout=0):
                return True
        except Timeout:
            return False


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
