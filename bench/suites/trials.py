"""The suite file of a search: the rows of a suite that were searched, each with its trials as `sweep`. It needs the extra `search`.

Nothing else is kept of a search: its trials are this file's rows, and what became of them are these rows' records.
"""

import os.path
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from bench.errors import UserError
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Range, Search, Suite
from bench.suites.space import inside
from bench.suites.sweep import Point, name_of, points

Trials = Mapping[str, Sequence[Point]]  # by row of the suite that is searched


def text_with(suite: Suite, trials: Trials, file: Path) -> str:
    """The text of that suite file: the suite's with its overrides, of its rows those with trials, and paths from the file's folder on."""
    table = tomllib.loads(suite.text)
    for override in suite.overrides:
        reader.apply(table, override)
    for row in [*table["methods"].values(), *table.get("presets", {}).values()]:
        row.pop("search", None)
    table["methods"] = {label: with_sweep(table["methods"][label], of) for label, of in trials.items()}
    moved = os.path.relpath(Path(suite.source).parent.resolve(), file.parent.resolve())
    if "plugins" in table:
        table["plugins"] = [os.path.normpath(os.path.join(moved, path)) for path in table["plugins"]]
    if suite.dataset.startswith(reader.FOLDER):
        path = os.path.join(moved, suite.dataset.removeprefix(reader.FOLDER))
        table["dataset"] = reader.FOLDER + os.path.normpath(path)
    command = " ".join(f"python -m bench search {options(suite, file.parent)} --name {file.stem}".split())  # on one line
    return f"# trials of `{command}`: each table under sweep is a row with records of its own\n{tomli_w.dumps(table)}"


def with_sweep(row: dict[str, Any], trials: Sequence[Point]) -> dict[str, Any]:
    """A row's table with its trials in the place of the values that it had."""
    for key in trials[0]:
        *parents, last = key.split(".")
        table: Any = row
        for name in parents:
            table = table.get(name) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table.pop(last, None)  # what is left of it stays, be it empty: an optimizer of the row's own
    return row | {"sweep": [dict(point) for point in trials]}


def trials_in(file: Path, suite: Suite, searches: Sequence[Search]) -> dict[str, tuple[Point, ...]]:
    """The trials that a file has of these rows, none where there is no file; UserError where it is not of this search."""
    if not file.exists():
        return {}
    if Path(suite.source).exists() and file.samefile(suite.source):
        raise UserError(f"--name {file.stem}: {file} is the suite that is searched; choose another")
    text = reader.text_of(file)
    try:
        rows = tomllib.loads(text)["methods"]
        found = {one.label: points(rows[one.label]["sweep"], one.label) for one in searches}
        mine = text_with(suite, found, file) == text
    except (ValueError, LookupError, TypeError, RecursionError, UserError):
        mine = False
    if not mine:
        raise UserError(f"{file}: not what a search of {suite.where} over these rows has written; choose another --name, or delete it")
    for one in searches:
        for point in found[one.label]:
            if not inside(point, one.space):
                way = "choose another --name for another space"
                raise UserError(f"{file}: {name_of(one.label, point)} is no trial of methods.{one.label}.search in {suite.where}; {way}")
    return found


def corners(search: Search) -> list[Point]:
    """Trials that have both ends of each range and every value of each list, as few as have them all."""
    sides = {key: (of.low, of.high) if isinstance(of, Range) else of for key, of in search.space.items()}
    count = max(map(len, sides.values()))
    return [{key: of[min(place, len(of) - 1)] for key, of in sides.items()} for place in range(count)]
