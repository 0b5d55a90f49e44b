"""What killed processes left: runs that can go on, temporary files, names of holders of locks that nobody holds. No torch here."""

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.commands.doctor.finding import Finding, some
from bench.files import ENDING
from bench.records.locks import HOLDER, LOCK, holder_of
from bench.records.store import CHECKPOINT, SECOND

AREA = "leftovers"


def examine(out: Path, data_root: Path) -> Iterator[Finding]:
    """Of runs, and of datasets."""
    found = [*interrupted(out), *temporary(out), *holders(out), *of_datasets(data_root)]
    yield from found or [Finding(AREA, "good", f"none of killed runs in {out / 'runs'}")]


def interrupted(out: Path) -> Iterator[Finding]:
    """Checkpoints that nobody works on, by suite."""
    suites: dict[str, list[str]] = {}
    for folder in sorted({path.parent for name in (CHECKPOINT, SECOND) for path in (out / "runs").glob(f"*/*/*/{name}")}):
        if holder_of(folder) is None:
            suites.setdefault(folder.parts[-3], []).append(f"{folder.parts[-2]} seed {folder.name.partition('-')[0]}")
    for suite, runs in suites.items():
        says = f"{suite}: {len(runs)} interrupted run{'s' * (len(runs) > 1)} with a checkpoint: {some(runs)}"
        yield Finding(AREA, "note", says, f"the command that ran the suite {suite} goes on from there")


def temporary(out: Path) -> Iterator[Finding]:
    """Half-written files whose writers are gone."""
    left = [path for part in ("runs", "leaderboards") for path in (out / part).rglob(f".*{ENDING}") if not locked(path)]
    if left:
        says = f"{len(left)} half-written file{'s' * (len(left) > 1)} of killed processes: {some(left)}"
        yield Finding(AREA, "note", says, "the next write into their folder removes them")


def holders(out: Path) -> Iterator[Finding]:
    """Names of holders where the lock is free, and locks whose holder is gone."""
    stale, strange = [], []
    for path in sorted((out / "runs").glob(f"*/*/*/{HOLDER}")):
        said = holder_of(path.parent)
        if said is None:
            stale.append(path)
        elif (match := re.fullmatch(r"process (\d+) on (\S+)", said)) and match[2] == socket.gethostname() and not alive(int(match[1])):
            strange.append(f"{path.with_name(LOCK)} ({said})")
    if stale:
        says = f"{len(stale)} run{'s' * (len(stale) > 1)} whose process was killed: {some(path.parent for path in stale)}"
        yield Finding(AREA, "note", says, "their locks are free; the next start of the run removes the name")
    if strange:
        says = f"{len(strange)} locked by a process that is gone: {some(strange)}"
        yield Finding(AREA, "warning", says, "a child of it still holds the lock: fuser -v LOCK names it; end that process")


def of_datasets(root: Path) -> Iterator[Finding]:
    """Downloads and packs that were not finished."""
    kinds = (*root.glob("**/*.part"), *root.glob(".fetch-*"), *root.glob("packed/.*.tmp"))
    if left := sorted(kinds):
        yield Finding(AREA, "note", f"{len(left)} unfinished of datasets: {some(left)}", "data fetch or data pack goes on; or delete them")


def locked(path: Path) -> bool:
    """Whether a process has that file locked, or it is gone by now."""
    with suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def alive(pid: int) -> bool:
    """Whether there is such a process here."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
