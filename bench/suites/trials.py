"""The suite file of a search: the rows of a suite that were searched, each with its trials as `sweep`. It needs the extra `search`.

Nothing else is kept of a search: its trials are this file's rows, and what became of them are these rows' records.
"""

import os.path
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit

from bench.errors import UserError
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Search, Suite
from bench.suites.space import inside
from bench.suites.sweep import Point, name_of, points

FOUND = Mapping[str, Sequence[Point]]  # {row of the suite that was searched: its trials}


def text_with(suite: Suite, trials: FOUND, file: Path) -> str:
    """The text of that suite file: of the suite with its overrides, with comments as they stood, and paths from the file's folder."""
    document = tomlkit.parse(suite.text)
    for override in suite.overrides:
        reader.apply(document, override)
    for tables in ("methods", "presets"):
        for table in document.get(tables, {}).values():
            table.pop("search", None)
    for label in [*document["methods"]]:
        if label not in trials:
            del document["methods"][label]
    for label, of in trials.items():
        row = document["methods"][label]
        for key in of[0]:
            drop(row, key.split("."))
        row["sweep"] = lines(of)
    moved = os.path.relpath(Path(suite.source).parent, file.parent)
    if "plugins" in document:
        document["plugins"] = [os.path.normpath(os.path.join(moved, path)) for path in document["plugins"]]
    if suite.dataset.startswith(reader.FOLDER):
        path = os.path.join(moved, suite.dataset.removeprefix(reader.FOLDER))
        document["dataset"] = reader.FOLDER + os.path.normpath(path)
    command = f"python -m bench search {options(suite, file.parent)} --name {file.stem}"
    return f"# trials of `{command}`: each table under sweep is a row with records of its own\n{tomlkit.dumps(document)}"


def lines(tables: Sequence[Mapping[str, Any]]) -> Any:
    """A list of tables, one a line."""
    made = tomlkit.array().multiline(True)
    for table in tables:
        one = tomlkit.inline_table()
        one.update(table)
        made.append(one)
    return made


def drop(table: Any, path: Sequence[str]) -> None:
    """Remove what stands at the end of a path of nested tables, where it does: a trial's value takes its place."""
    *parents, last = path
    for name in parents:
        table = table.get(name) if isinstance(table, MutableMapping) else None
    if isinstance(table, MutableMapping):
        table.pop(last, None)


def trials_in(file: Path, suite: Suite, searches: Sequence[Search]) -> dict[str, tuple[Point, ...]]:
    """The trials that a file has of these rows, none where there is no file; UserError where it is not of this search."""
    if not file.exists():
        return {}
    text = reader.text_of(file)
    try:
        rows = tomlkit.parse(text).unwrap()["methods"]
        found = {one.label: points(rows[one.label]["sweep"], one.label) for one in searches}
        mine = text_with(suite, found, file) == text
    except (ValueError, LookupError, TypeError, UserError):
        mine = False
    if not mine:
        raise UserError(f"{file}: not what a search of {suite.where} over these rows has written; choose another --name, or delete it")
    for one in searches:
        for point in found[one.label]:
            if not inside(point, one.space):
                way = "choose another --name for another space"
                raise UserError(f"{file}: {name_of(one.label, point)} is no trial of methods.{one.label}.search in {suite.where}; {way}")
    return found
