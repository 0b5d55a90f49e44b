"""Reading papers' files: TOML in, a frozen `Paper` out, and one line with file and key for whatever is wrong. No torch here."""

import tomllib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import UserError, unknown
from bench.reproduction.paper import Cell, Deviation, Ordering, Paper, Part, Setting, Table
from bench.suites import reader as suites
from bench.suites.reader import text_of
from bench.suites.values import build, convert

PAPERS = Path(__file__).parent
TABLES = ("suites", "weights", "parts", "tables", "orderings", "deviations")
SHARED = ("suite", "reduced", "best_by", "scale", "missing")  # keys of a cell that its table may say for all


def built_in() -> list[str]:
    """The papers that come with latentbench."""
    return sorted(path.stem.replace("_", "-") for path in PAPERS.glob("*.toml"))


def locate(paper: str) -> Path:
    """A paper's name, or the path of a file of one's own, as the file that it means."""
    if paper.endswith(".toml") or "/" in paper:
        if not Path(paper).is_file():
            raise UserError(f"{paper}: no such file of a paper; known papers: {', '.join(built_in())}")
        path = Path(paper)
        if path.stem.replace("_", "-") in built_in() and path.resolve().parent != PAPERS.resolve():
            raise UserError(f"{paper}: latentbench has a paper of that name, its page would take the place of yours; rename the file")
        return path
    if paper.replace("_", "-") not in built_in():
        raise UserError(unknown("paper", paper, built_in()))
    return PAPERS / f"{paper.replace('-', '_')}.toml"


@cache
def read(paper: str) -> Paper:
    """The paper of that name or file; UserError names the file and the key."""
    path = locate(paper)
    try:
        table = tomllib.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
    try:
        return parse(table, path.stem.replace("_", "-"))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def parse(table: dict[str, Any], name: str) -> Paper:
    """A paper from the table of its file."""
    check_keys(table, ("title", "source", *TABLES), "")
    for key in ("title", "source"):
        if key not in table:
            raise UserError(f"missing key {key!r}")
    texts = {key: convert(table[key], str, key) for key in ("title", "source")}
    settings = {suite: setting(suite, of) for suite, of in table_of(table, "suites").items()}
    weights = texts_of(table_of(table, "weights"), "weights")
    parts = tuple(built(Part, table, "parts"))
    titles = [part.title for part in parts]
    tables = tuple(printed(of, f"tables[{i}]") for i, of in enumerate(list_of(table, "tables", "")))
    orderings = tuple(built(Ordering, table, "orderings"))
    deviations = tuple(built(Deviation, table, "deviations"))
    for i, part in enumerate(parts):
        check_known("suite", f"parts[{i}].suites", part.suites, settings)
    for i, of in enumerate(tables):
        check_known("part", f"tables[{i}].part", [of.part], titles)
        for k, cell in enumerate(of.cells):
            check_cell(f"tables[{i}].cells[{k}]", cell, settings)
    for i, ordering in enumerate(orderings):
        check_ordering(f"orderings[{i}]", ordering, settings)
    for i, deviation in enumerate(deviations):
        check_known("part", f"deviations[{i}].parts", deviation.parts, titles)
    return Paper(name, **texts, settings=settings, weights=weights, parts=parts, tables=tables, orderings=orderings, deviations=deviations)


def check_keys(table: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """UserError for the first key that is none."""
    for key in table:
        if key not in known:
            raise UserError(unknown("key", f"{where}.{key}".strip("."), [f"{where}.{name}".strip(".") for name in known]))


def check_known(what: str, where: str, names: Iterable[str], known: Collection[str]) -> None:
    """UserError for the first name that nothing has."""
    for name in names:
        if name not in known:
            raise UserError(f"{where}: {unknown(what, name, known)}")


def table_of(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The table under a key, empty without one."""
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise UserError(f"{key} must be a table, not {found!r:.60}")
    return found


def list_of(table: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """The tables [[key]]."""
    found, name = table.get(key, []), f"{where}.{key}".strip(".")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UserError(f"{name} must be a list of tables, [[{key}]], not {found!r:.60}")
    return found


def built(cls: type, table: Mapping[str, Any], key: str) -> list[Any]:
    """An instance of a dataclass for each table [[key]]."""
    return [build(cls, of, f"{key}[{i}]") for i, of in enumerate(list_of(table, key, ""))]


def texts_of(table: Mapping[str, Any], where: str) -> dict[str, str]:
    """A table whose values are all texts."""
    return {key: convert(value, str, f"{where}.{key}") for key, value in table.items()}


def setting(name: str, table: Any) -> Setting:
    """One [suites.NAME] table; UserError where latentbench has no such suite, or that suite no such row."""
    where = f"suites.{name}"
    check_known("suite", "suites", [name], suites.names())
    if not isinstance(table, dict):
        raise UserError(f"{where} must be a table, not {table!r:.60}")
    rows = texts_of(table_of(table, "rows"), f"{where}.rows")
    check_known("row", f"{where}.rows", rows.values(), labels(name))
    rest = {key: value for key, value in table.items() if key != "rows"}
    of: Setting = build(Setting, rest, where, name=name, rows=rows)
    if of.budget == "cpu" and "budget_from" in rest:
        raise UserError(f"{where}.budget_from is of full budgets; a reduced one says in differs what it reduces")
    return of


@cache
def labels(suite: str) -> tuple[str, ...]:
    """The rows of a suite that comes with latentbench."""
    return tuple(entry.label for entry in suites.read(suite).methods)


def printed(table: Mapping[str, Any], where: str) -> Table:
    """One [[tables]] table; what a cell does not say, its table does for all."""
    check_keys(table, ("part", "dataset", "notes", "of_metric", "cells", *SHARED), where)
    shared = {key: table[key] for key in SHARED if key in table}
    cells = []
    for i, line in enumerate(list_of(table, "cells", where)):
        own = {key: value for key, value in shared.items() if key != "missing" or "suite" not in line}
        cells.append(build(Cell, {**own, **line}, f"{where}.cells[{i}]"))
    of_metric = texts_of(table_of(table, "of_metric"), f"{where}.of_metric")
    rest = {key: value for key, value in table.items() if key not in (*SHARED, "cells", "of_metric")}
    found: Table = build(Table, rest, where, cells=tuple(cells), of_metric=of_metric)
    return found


def check_cell(where: str, cell: Cell, settings: Mapping[str, Setting]) -> None:
    """UserError unless a cell names a row of a suite at full budget, or says why there is none."""
    check_known("suite", f"{where}.reduced", cell.reduced, settings)
    for suite in cell.reduced:
        if settings[suite].budget == "paper":
            raise UserError(f"{where}.reduced: suite {suite!r} is at full budget")
        check_row(where, cell.row, settings[suite])
    if cell.missing:
        return
    check_known("suite", f"{where}.suite", [cell.suite], settings)
    if settings[cell.suite].budget != "paper":
        raise UserError(f"{where}.suite: suite {cell.suite!r} has a reduced budget, it answers orderings only: name it in reduced")
    check_row(where, cell.row, settings[cell.suite])


def check_row(where: str, row: str, of: Setting) -> None:
    """UserError where a suite has no such row."""
    if of.row(row) not in labels(of.name):
        raise UserError(f"{where}: suite {of.name}: {unknown('row', of.row(row), labels(of.name))}")


def check_ordering(where: str, ordering: Ordering, settings: Mapping[str, Setting]) -> None:
    """UserError unless each of an ordering's suites has its rows, or it says why there are none."""
    if ordering.missing:
        return
    if not ordering.suites or not ordering.metrics:
        raise UserError(f"{where} must name metrics and suites, or say in missing why there are none")
    if len(ordering.rows) < 2 and ordering.bounds is None:
        raise UserError(f"{where}.rows must name two rows or more, not {list(ordering.rows)}")
    if ordering.bounds is not None and (len(ordering.rows) != 1 or not ordering.bounds[0] < ordering.bounds[1]):
        raise UserError(f"{where}.bounds must be a lower and an upper one, of one row, not {list(ordering.bounds)}")
    if ordering.printed and len(ordering.printed) != len(ordering.rows):
        raise UserError(f"{where}.printed must have a value for each of {len(ordering.rows)} rows, not {len(ordering.printed)}")
    check_known("suite", f"{where}.suites", ordering.suites, settings)
    check_known("suite of this ordering", f"{where}.elsewhere", ordering.elsewhere, ordering.suites)
    check_known("row of this ordering", f"{where}.constrained", ordering.constrained, ordering.rows)
    check_known("row of this ordering", f"{where}.bound_rows", ordering.bound_rows, ordering.rows)
    for suite in ordering.suites:
        for row in ordering.rows:
            check_row(f"{where}.rows", row, settings[suite])


def check_metrics(paper: Paper, known: Collection[str]) -> None:
    """UserError for the first metric that no record can have. known: the names by which records have metrics."""
    for name in paper.weights:
        check_known("metric", f"{paper.name}: weights", [name], known)
    for table in paper.tables:
        for cell in table.cells:
            check_known("metric", f"{paper.name}: {table.part}, {cell.method}", filter(None, [cell.metric, cell.best_by]), known)
    for ordering in paper.orderings:
        bounds = [f"{name}_bound" for name in ordering.metrics if ordering.bound_rows]
        check_known("metric", f"{paper.name}: {ordering.claim}", [*ordering.metrics, *bounds], known)
