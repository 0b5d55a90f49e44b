"""What the page shows of one suite, as values: the same statistics, and the same texts of cells, as its Markdown board has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.leaderboard import appendix
from bench.leaderboard.capacity import other_codes
from bench.leaderboard.findings import findings
from bench.leaderboard.first_screen import ARROWS, Screen, notes, screen
from bench.leaderboard.groups import by_machine, nowhere, number
from bench.leaderboard.headline import Head, heads, names
from bench.leaderboard.page.axes import Axis, axis
from bench.leaderboard.page.ranks import Ranks, rank_plots
from bench.leaderboard.page.scatter import Scatter, scatters
from bench.leaderboard.pictures import FOLDER, SAMPLES, embedded, strips
from bench.leaderboard.render import GROUPS, summary
from bench.leaderboard.rows import Column, Row, columns_of, machines
from bench.leaderboard.standing import Standing, column_standing, head_standing
from bench.leaderboard.statistics import mean_and_interval
from bench.suites.names import options
from bench.suites.schema import Suite

WHISKER = 3, 55  # ends of the scale of a cell's drawing
BOLD = "**"


@dataclass(frozen=True)
class Cell:
    """A value as text, whether it is in the first tier, and its interval as the path of a drawing."""

    text: str
    best: bool = False
    drawn: str = ""


@dataclass(frozen=True)
class Listed:
    """A column of the page: what is over it, and its rows as the seeds rank them."""

    key: str  # in the page's address
    title: str
    about: str  # its protocol
    better: str
    unit: str
    standing: Standing
    cells: Mapping[str, Cell]  # {row: its value}, of the rows that have one


@dataclass(frozen=True)
class Board:
    """A suite's part of the page."""

    suite: Suite
    command: str  # the options that name the suite to a command
    summary: str
    rows: tuple[Row, ...]  # in the first screen's order, then those that it has no room for
    screen: Screen | None
    heads: tuple[Listed, ...]
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    groups: Mapping[str, tuple[Listed, ...]]
    same: tuple[str, ...]  # columns in which all rows have one value, and that
    scatters: tuple[Scatter, ...]
    ranks: tuple[Ranks, ...]
    made: tuple[str, ...]  # how it was made, line by line
    absent: tuple[str, ...]  # metrics without a value
    samples: str  # the contact sheet as the address of a picture; empty where none was drawn
    strips: Mapping[str, str]  # {row: the address of its small picture}


def board(suite: Suite, rows: Sequence[Row], folder: Path | None = None) -> Board:
    """The suite's part, of the rows that have records or are of the suite as it is now.

    folder: where the commands that the page names are to be given, and where its pictures are.
    """
    words, boards = options(suite, folder), folder and folder / "leaderboards"
    columns, apart = columns_of(suite, rows), other_codes(suite, rows)
    chosen = heads(names(suite), columns, rows)
    found = [head_standing(head, rows, apart) for head in chosen]
    shown = screen(chosen, found, rows, apart, suite.seeds) if chosen else None
    kept = shown.heads if shown else ()
    ranked = {column: column_standing(column, rows, apart) for column in columns}
    listed = [head_column(head, found[chosen.index(head)], shown) for head in kept] if shown else []
    ordered = [*(shown.rows if shown else ()), *(row for row in rows if not shown or row not in shown.rows)]
    folded = grouped(columns, rows, ranked, kept)
    return Board(
        suite,
        words,
        summary(suite, rows),
        tuple(ordered),
        shown,
        tuple(listed),
        tuple(findings(chosen, found, columns, rows, apart)) if chosen else (),
        (*notes(chosen, found, rows, apart, suite.seeds), *filter(None, [shown.said])) if shown else (),
        {group: tuple(column for column in of if not constant(column, rows)) for group, of in folded.items()},
        tuple(
            f"{column.title}: {next(iter(column.cells.values())).text}" for of in folded.values() for column in of if constant(column, rows)
        ),
        tuple(scatters(chosen, found, columns, rows, apart)),
        tuple(rank_plots(chosen, found)),
        (*appendix.header(suite, f"python -m bench run {words}", rows), *appendix.environments(rows)),
        (*appendix.references(columns, rows), *nowhere(columns, rows, ranked)),
        embedded(boards / FOLDER / f"{suite.name}-{SAMPLES}.png") if boards else "",
        strips(boards, suite.name, [row.name for row in rows if not row.stale]) if boards else {},
    )


def head_column(head: Head, found: Standing, shown: Screen) -> Listed:
    """A column of the first screen, with its intervals drawn."""
    of = {row.name: list(found.values[row.name].values()) for row in shown.rows if row.name in found.values}
    scale = axis([value for values in of.values() for value in ends(values, head)[:1]], *WHISKER)
    cells = {}
    for row, values in of.items():
        text = shown.cells[head.name][row]
        cells[row] = Cell(text.replace(BOLD, ""), BOLD in text, whisker(scale, *ends(values, head)))
    about = "; or ".join(f"{column.name}: {column.protocol}" for column in head.columns)
    return Listed(head.name, head.title + ARROWS.get(head.better, ""), about, head.better, head.columns[0].unit, found, cells)


def ends(values: Sequence[float], head: Head) -> tuple[float, float, float]:
    """What is drawn of a cell: the mean, and the ends of its interval; of a cost the least and the most."""
    middle, half = mean_and_interval(values)
    return (middle, min(values), max(values)) if head.columns[0].group == "cost" else (middle, middle - (half or 0), middle + (half or 0))


def whisker(scale: Axis, middle: float, low: float, high: float) -> str:
    """The path of an interval, and a stroke at the mean."""
    line = f"M{scale(low)} 7H{scale(high)}" if scale(low) < scale(high) else ""
    return f"{line}M{scale(middle)} 3v8"


def grouped(
    columns: Mapping[Column, str], rows: Sequence[Row], ranked: Mapping[Column, Standing], shown: Sequence[Head]
) -> dict[str, tuple[Listed, ...]]:
    """{group: its columns with values}, costs last; all but those of the first screen and facts of the dataset."""
    others = sorted({column.group for column in columns} - {*GROUPS, "cost", "reference"})
    found = {}
    taken, whole = {head.name for head in shown}, {head.columns[0] for head in shown if len(head.columns) == 1}
    for group in (*GROUPS, *others, "cost"):
        places = machines(rows) if group == "cost" else []
        listed = []
        for column, name in columns.items():
            if column.group == group and column not in whole and (standing := ranked[column]).values:
                key = f"{name} (column)" if name in taken else name
                cells = {row.name: folded_cell(row, places, standing) for row in rows if row.name in standing.values}
                listed.append(
                    Listed(key, name + ARROWS.get(column.better, ""), column.protocol, column.better, column.unit, standing, cells)
                )
        if listed:
            found[group or "other"] = tuple(listed)
    return found


def constant(column: Listed, rows: Sequence[Row]) -> bool:
    """Whether all finished rows, more than one, have one value here."""
    done = [row for row in rows if row.done()]
    return len(done) > 1 and len({column.cells[row.name].text if row.name in column.cells else "" for row in done}) == 1


def folded_cell(row: Row, places: Sequence[str], found: Standing) -> Cell:
    """A cell of a group's table, as Markdown has it, but for the numbers of footnotes: the row's card says why a value is absent."""
    text = by_machine(row, places, found) if len(places) > 1 else number(row, found)
    return Cell(text.replace(BOLD, ""), BOLD in text)
