"""Files of records written anew in the version that records have now."""

from contextlib import nullcontext
from pathlib import Path

from bench.errors import UserError
from bench.files import write
from bench.records.locks import claimed
from bench.records.store import KINDS, PROFILE, RECORD, Store, as_lines, read_record, read_records, save_record


def migrate(path: Path) -> tuple[int, int]:
    """Write a file of records, of profiles, or a run's record.json anew, whole; -> its bytes before and after.

    A file that already has the version of now keeps its bytes. UserError for a file that is none of these, or is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    before = path.stat().st_size
    if path.name == RECORD:
        with claimed(path.parent, wait=True):
            save_record(path.parent, read_record(path.parent) or {})
    elif path.suffix == ".jsonl":
        in_place = path.resolve().match("leaderboards/runs/*")  # of a folder of results, where a run may want to put its record now
        with Store(path.resolve().parents[2], "").alone() if in_place else nullcontext():
            write(path, as_lines(read_records(path, PROFILE if PROFILE in path.suffixes else "")))
    else:
        raise UserError(f"{path}: not a file of records; those are {RECORD} of a run and leaderboards/runs/SUITE.jsonl")
    return before, path.stat().st_size


def files_of(what: str, out: Path) -> list[Path]:
    """The files that a suite's name or a path stands for; without one, all of a folder of results."""
    boards = out / "leaderboards" / "runs"
    if not what:
        return sorted(boards.glob("*.jsonl"))
    if what.endswith((".json", ".jsonl")):
        return [Path(what)]
    found = [path for kind in KINDS if (path := boards / f"{what}{kind}.jsonl").is_file()]
    if not found:
        raise UserError(
            f"{boards}: no records of a suite {what!r}; there are {', '.join(sorted(p.stem for p in boards.glob('*.jsonl'))) or 'none'}"
        )
    return found + sorted((out / "runs" / what).glob(f"*/*/{RECORD}"))
