"""Files of records of several machines put together: equal records once, and what differs where two of one run do."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import UserError
from bench.files import write
from bench.records.store import PROFILE, as_lines, cell, read_records
from bench.suites.schema import canonical

Cell = tuple[str, str, int]  # what a record is the result of: its row, kind of device, seed
SHOWN = 6  # fields of a conflict, at most
TEXT = 60  # characters of a value


class Found(NamedTuple):
    """A record and the file that it is from."""

    path: Path
    record: dict[str, Any]


def read_all(paths: Sequence[Path]) -> list[Found]:
    """The records of all files, in their order; UserError for files of different suites, or of records beside profiles."""
    kinds = {path: PROFILE if PROFILE in path.suffixes else "" for path in paths}
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        if kinds[path] != kinds[paths[0]]:
            raise UserError(f"{path}: records and profiles, as in {paths[0]}, have a file each")
    found = [Found(path, record) for path in paths for record in read_records(path, kinds[path])]
    if not found:
        raise UserError(f"{paths[0]}: no records")
    for one in found:
        if one.record["suite"] != found[0].record["suite"]:
            raise UserError(f"{one.path}: of suite {one.record['suite']!r}, {found[0].path} of {found[0].record['suite']!r}")
    return found


def conflicts(found: Sequence[Found]) -> list[str]:
    """A line for each record that is of the same row, kind of device and seed as one before it, and says something else."""
    first: dict[Cell, Found] = {}
    lines = []
    for one in found:
        before = first.setdefault(cell(one.record), one)
        if before.record != one.record:
            label, kind, seed = cell(one.record)
            keys = " and ".join(dict.fromkeys(str(of.record.get("key") or of.record["row_key"]) for of in (before, one)))
            differing = [*fields("", before.record, one.record)]
            more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
            lines.append(
                f"{label}, seed {seed}, {kind}, run {keys}: {before.path} and {one.path} differ in {'; '.join(differing[:SHOWN])}{more}"
            )
    return lines


def fields(where: str, old: Any, new: Any) -> Iterator[str]:
    """`metrics.mig.value (0.1, 0.2)`: the places where two records differ, innermost ones."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name) or (name in old) != (name in new):
                yield from fields(f"{where}.{name}".strip("."), old.get(name), new.get(name))
    else:
        yield f"{where} ({canonical(old):.{TEXT}}, {canonical(new):.{TEXT}})"


def save(out: Path, found: Sequence[Found]) -> int:
    """Write the records, each once, sorted as a suite's file is; -> how many. UserError for a file that would be lost by that."""
    if out.exists() and not any(out.samefile(one.path) for one in found):
        raise UserError(f"{out}: there is such a file already, which is none of those to merge; name it among them, or another --out")
    cells = {cell(one.record): one.record for one in found}
    write(out, as_lines([cells[name] for name in sorted(cells)]))
    return len(cells)
