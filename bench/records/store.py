"""Files of runs: who works on one, its checkpoint, its record; all written to a temporary name, then renamed.

<out>/runs/<suite>/<label>/<seed>-<key>/    checkpoint.pt (while it trains), weights.safetensors, record.json,
                                            curve.jsonl, anytime.jsonl, *.png
<out>/leaderboards/runs/<suite>.jsonl       the suite's records, one line each, sorted, then the descriptions that they name
<out>/leaderboards/runs/<suite>.profile.jsonl
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from bench.errors import RunError, UserError
from bench.files import write, writing
from bench.records.check import check_types
from bench.records.locks import HOLDER, claimed, holder_of, this_command
from bench.records.record import Described, Descriptions, Ending, Profile, Record, Stated, compact, read, verified
from bench.records.seal import check_seal, sealed
from bench.suites.schema import Run, canonical

PROFILE = ".profile"  # the kind of file that holds profiles, beside that of records, whose kind is ""
KINDS = {"": Record, PROFILE: Profile}  # of files, and what their lines are
RECORD, CURVE, ANYTIME = "record.json", "curve.jsonl", "anytime.jsonl"
PLACE = ("step", "share", "asked", "seconds")  # of a row of the last one: what is no metric in it
CHECKPOINT, SECOND = "checkpoint.pt", "density.pt"  # of the two stages of a run
FINAL = ("done", "diverged")  # statuses that another start does not try again


class Store:
    """Where the results of one suite live."""

    def __init__(self, out: Path, suite: str):
        self.out, self.suite = out, suite
        self.runs = out / "runs" / suite
        self.boards = out / "leaderboards"

    def folder(self, run: Run) -> Path:
        """The folder of a run; its name holds the key, so another configuration has another folder."""
        return self.runs / run.label / f"{run.seed}-{run.key()}"

    def claim(self, run: Run, wait: bool = False, waiting: Callable[[str], None] | None = None) -> AbstractContextManager[bool]:
        """Whether this process has the run to itself; the operating system frees the claim of a process that dies.

        waiting: called with who has it, where another command has it that this one waits for.
        """
        return claimed(self.folder(run), wait, waiting)

    def holder(self, run: Run) -> str | None:
        """`process N on host` that has the run to itself now, if one does."""
        return holder_of(self.folder(run))

    def note_share(self, run: Run, share: float) -> None:
        """Say beside the lock, which this process holds, how much of a run is done: a sign of life too."""
        write(self.folder(run) / HOLDER, f"{this_command()}\n{share:.4f}\n".encode())

    def share(self, run: Run) -> float | None:
        """How much of a run is done by the word of who works on it; None where nobody has said."""
        with suppress(ValueError, IndexError, UserError):  # nothing of a run depends on it: a word that is none is as none
            share = float((text_of(self.folder(run) / HOLDER) or "").splitlines()[1])
            return share if 0 <= share <= 1 else None
        return None

    def silence(self, run: Run) -> float:
        """Seconds since whoever works on a run said so last, by the clocks of this machine and of the disk."""
        with suppress(OSError):
            return max(0.0, time.time() - (self.folder(run) / HOLDER).stat().st_mtime)
        return 0.0

    def begun(self, run: Run) -> bool:
        """Whether a process has left a checkpoint of the run."""
        folder = self.folder(run)
        return any((folder / name).exists() for name in (CHECKPOINT, SECOND))

    def record(self, run: Run) -> dict[str, Any] | None:
        """The run's record, if it has one."""
        return read_record(self.folder(run))

    def written(self, run: Run) -> int | None:
        """When the run's record was written, in nanoseconds of the file system; None if it has none."""
        path = self.folder(run) / RECORD
        return path.stat().st_mtime_ns if path.exists() else None

    def save_record(self, run: Run, record: dict[str, Any]) -> None:
        """The last thing written of a run."""
        save_record(self.folder(run), record)

    def save_curve(self, run: Run, curve: Iterable[Mapping[str, float]]) -> None:
        """Loss terms by step, a line a block."""
        write(self.folder(run) / CURVE, lines_of(curve).encode())

    def append_curve(self, run: Run, rows: Iterable[Mapping[str, float]]) -> None:
        """The same, behind what is there, while the run trains."""
        path = self.folder(run) / CURVE
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(lines_of(rows))

    def anytime(self, run: Run) -> list[dict[str, float]]:
        """What was measured of a run while it trained, in order; UserError for a damaged line."""
        return read_curve(self.folder(run) / ANYTIME)

    def save_anytime(self, run: Run, rows: Iterable[Mapping[str, float]]) -> None:
        """The same, anew."""
        write(self.folder(run) / ANYTIME, lines_of(rows).encode())

    def save_checkpoint(self, run: Run, payload: bytes, name: str = CHECKPOINT) -> None:
        """A state as bytes, behind its checksum."""
        write(self.folder(run) / name, hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)

    def checkpoint(self, run: Run, name: str = CHECKPOINT) -> bytes | None:
        """The bytes saved last; RunError where they are not what was written."""
        path = self.folder(run) / name
        if not path.exists():
            return None
        checksum, _, payload = path.read_bytes().partition(b"\n")
        if hashlib.sha256(payload).hexdigest().encode() != checksum:
            raise RunError(f"{path}: damaged, its checksum does not match; delete it to train this run from the start")
        return payload

    def drop_checkpoint(self, run: Run) -> None:
        """A finished run keeps its weights only."""
        for name in (CHECKPOINT, SECOND):
            (self.folder(run) / name).unlink(missing_ok=True)

    def merge(self, records: Iterable[dict[str, Any]], kind: str = "") -> list[dict[str, Any]]:
        """Put records among those of the suite's file, a new one in place of the old one of its cell; -> all of them."""
        path = self.boards / "runs" / f"{self.suite}{kind}.jsonl"
        with self.alone():
            cells = {cell(record): record for record in self.records(kind)}
            cells.update({cell(record): record for record in records})
            ordered = [cells[name] for name in sorted(cells)]
            if ordered:
                write(path, as_lines(ordered))
        return ordered

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other process merges or publishes meanwhile: who reads records and then writes what follows from them needs this."""
        path = self.out / "runs" / "boards.lock"
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def records(self, kind: str = "") -> list[dict[str, Any]]:
        """The records in the suite's file."""
        return read_records(self.boards / "runs" / f"{self.suite}{kind}.jsonl", kind)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record in a run's folder, if it has one."""
    return of_record(folder, lambda line, descriptions: whole(line, Described(verified(descriptions)), ""))


def read_ending(folder: Path) -> dict[str, Any] | None:
    """The record's `status` and `error`, its digest compared, without the time that it takes to unpack a hundred metrics."""

    def ending(line: Any, descriptions: Any) -> dict[str, Any]:
        check_types(line, Ending)
        check_seal(line)
        return {name: line[name] for name in Ending.__required_keys__}

    return of_record(folder, ending)


def of_record(folder: Path, get: Callable[[Any, Any], dict[str, Any]]) -> dict[str, Any] | None:
    """What `get` makes of the line and the descriptions in a run's record.json; None where there is none, UserError where it cannot be."""
    path = folder / RECORD
    if (text := text_of(path)) is None:
        return None
    try:
        line = json.loads(text)
        descriptions = line.pop("descriptions", {}) if isinstance(line, dict) else {}
        return get(line, descriptions)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a record ({error}); delete it to train this run again") from None


def whole(line: Any, described: Described, kind: str) -> dict[str, Any]:
    """The form in memory of a record or profile; ValueError names the first field that is not as it must be."""
    record = read(line, described, KINDS[kind])
    if record.get("status") == "done" and record["spent"] is None:
        raise ValueError("spent must be a table where status is 'done', not None")
    check_seal(line)
    return record


def text_of(path: Path) -> str | None:
    """What a file holds, None where there is none; UserError where it cannot be read."""
    try:
        return path.read_bytes().decode()  # as it was written: reading as text would change the ends of lines
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a record ({error}); fix or delete it") from None


def save_record(folder: Path, record: dict[str, Any]) -> None:
    """Replace the record in a run's folder whole: a line a field, in the first two levels."""
    line, used = compact(record)
    fields = (f" {canonical(name)}: {spread(value)}" for name, value in sorted({**sealed(line), "descriptions": used}.items()))
    write(folder / RECORD, ("{\n" + ",\n".join(fields) + "\n}\n").encode())


def spread(value: Any) -> str:
    """JSON with a line for each field of a table."""
    if not isinstance(value, dict) or not value:
        return canonical(value)
    return "{\n" + ",\n".join(f"  {canonical(name)}: {canonical(field)}" for name, field in sorted(value.items())) + "\n }"


def cell(record: Mapping[str, Any]) -> tuple[str, str, int]:
    """What a record is the result of: its row, kind of device, seed."""
    return record["label"], record.get("device") or record["config"]["device"], record.get("seed", 0)


def as_lines(records: Iterable[dict[str, Any]]) -> bytes:
    """A file of records: a line each, then a line for each description that they name. Files may be put together line by line."""
    used: Descriptions = {}
    lines = []
    for record in records:
        line, named = compact(record)
        lines.append(sealed(line))
        if any(used.setdefault(name, about) != about for name, about in named.items()):
            raise ValueError("two descriptions have one digest")
    lines += ({"name": name, "description": about} for name, about in sorted(used.items()))
    return "".join(canonical(line) + "\n" for line in lines).encode()


def read_records(path: Path, kind: str) -> list[dict[str, Any]]:
    """The records of a file, or its profiles, in its order; UserError names a bad line, and the field in it."""
    lines: list[tuple[int, Any]] = []
    described: Descriptions = {}
    for number, line in json_lines(path):
        if isinstance(line, dict) and "description" in line:
            with naming(path, number):
                check_types(line, Stated)
                described |= verified({line["name"]: line["description"]})
        else:
            lines.append((number, line))
    records, known = [], Described(described)
    for number, line in lines:
        with naming(path, number):
            records.append(whole(line, known, kind))
    return records


def read_curve(path: Path) -> list[dict[str, float]]:
    """The loss terms of a curve.jsonl by step; [] where there is no such file, UserError names a bad line, and the field in it."""
    rows = []
    for number, line in json_lines(path):
        with naming(path, number):
            check_types(line, dict[str, float])
            if "step" not in line:
                raise ValueError("it lacks step")
            rows.append(line)
    return rows


def lines_of(rows: Iterable[Mapping[str, float]]) -> str:
    """Each row as a line of JSON."""
    return "".join(canonical(row) + "\n" for row in rows)


def metrics_in(rows: Iterable[Mapping[str, float]]) -> list[str]:
    """The metrics that rows of anytime.jsonl have values of."""
    return list(dict.fromkeys(name for row in rows for name in row if name not in PLACE))


def json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Each line's number and what it says; UserError for one that is not JSON.

    A line ends with a line feed and with nothing else: `str.splitlines` breaks at ten other characters, which texts may hold.
    """
    content = text_of(path) or ""
    for number, text in enumerate(content.removesuffix("\n").split("\n") if content else (), 1):
        with naming(path, number):
            line = json.loads(text)
        yield number, line


@contextmanager
def naming(path: Path, number: int) -> Iterator[None]:
    """Turns what is wrong with a line into a UserError."""
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}:{number}: not a record ({error}); fix or delete that line") from None
