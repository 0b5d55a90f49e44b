"""What an export holds: the rows and columns of a leaderboard, and a cell for each pair of them. From the records, no torch here."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from bench.errors import UserError, unknown
from bench.leaderboard.capacity import other_codes
from bench.leaderboard.headline import ENDS
from bench.leaderboard.rows import Column, Record, Row, columns_of, network_of, rows_of
from bench.leaderboard.standing import Standing, column_standing
from bench.leaderboard.statistics import mean_and_interval
from bench.suites.schema import Suite

SCHEMA = 1  # of Export
LEVEL = 0.95  # of the intervals


class RowEntry(TypedDict):
    """A row of the leaderboard."""

    name: str
    state: Literal["current", "stale"]  # stale: its meaning or its code has changed since it ran
    runs: str  # how they ended, in words
    apart: str | None  # why it is not ranked in any column: its code is of another length


class ColumnEntry(TypedDict):
    """A metric or a cost by one protocol."""

    name: str  # that of the metric; with its number where there are several protocols of it
    metric: str
    unit: str  # empty: a pure number
    better: Literal["lower", "higher", "target"] | None
    group: str  # `cost` for times, memory and parameters
    protocol: str
    code: str  # hash of the code that the metric stands on


class Cell(TypedDict):
    """The values of one row in one column."""

    row: str
    column: str
    mean: float | None  # null: no finished run has a value
    half_width: float | None  # of the 95 % t interval; null: fewer than two values, or wider than a double says
    values: dict[str, float]  # {seed: value}
    tier: int | None  # 1 is the first; null: not ranked
    ranks: list[int] | None  # the first and the last rank that the tier fills
    wide: bool  # the seeds do not say on which side of the first tier's edge the row belongs
    unranked: Literal["stale", "another code", "lost runs", "fewer seeds"] | None  # why the row is not, where others are
    absent: str | None  # why finished runs have no value


class Export(TypedDict):
    """A leaderboard as data."""

    schema: int
    suite: str
    question: str
    dataset: str
    held_out: str  # the split that metrics are of
    network: str
    latent_dim: int
    seeds: int  # that the suite asks for
    level: float  # of the intervals
    rows: list[RowEntry]
    columns: list[ColumnEntry]
    cells: list[Cell]


@dataclass(frozen=True)
class Board:
    """A leaderboard's rows and chosen columns."""

    suite: Suite
    rows: tuple[Row, ...]  # those with records
    columns: Mapping[Column, str]
    apart: Mapping[str, str]  # rows of another code, and how it differs


def board_of(suite: Suite, records: Iterable[Record], metrics: Sequence[str] = ()) -> Board:
    """The rows of the records, and all columns or those of the chosen metrics; UserError for a name that no record has.

    A name may lack its end _qz or _pz, as in a suite's headline: then it stands for both.
    """
    rows = tuple(row for row in rows_of(suite, records, ()) if row.records)
    columns = columns_of(suite, rows)
    apart = other_codes(suite, rows)
    return Board(suite, rows, chosen(columns, metrics) if metrics else columns, apart)


def chosen(columns: Mapping[Column, str], metrics: Sequence[str]) -> dict[Column, str]:
    """The columns of those metrics."""
    found = {name: [column for column in columns if column.name in {name + end for end in ENDS}] for name in metrics}
    for name, of in found.items():
        if not of:
            raise UserError(f"--metrics: {unknown('metric', name, {column.name for column in columns})}")
    return {column: title for column, title in columns.items() if any(column in of for of in found.values())}


def export(board: Board) -> Export:
    """All that the records say of the board's rows and columns."""
    suite = board.suite
    rows, columns = [row_entry(row, board) for row in board.rows], [column_entry(*item) for item in board.columns.items()]
    standings = {column: column_standing(column, board.rows, board.apart) for column in board.columns}
    cells = [cell(row, column, name, standings[column], board.apart) for row in board.rows for column, name in board.columns.items()]
    return Export(
        schema=SCHEMA,
        suite=suite.name,
        question=suite.question,
        dataset=suite.dataset,
        held_out=suite.held_out,
        network=network_of(suite, board.rows),
        latent_dim=suite.latent_dim,
        seeds=suite.seeds,
        level=LEVEL,
        rows=rows,
        columns=columns,
        cells=cells,
    )


def row_entry(row: Row, board: Board) -> RowEntry:
    """What is said of a row."""
    state: Literal["current", "stale"] = "stale" if row.stale else "current"
    return RowEntry(name=row.name, state=state, runs=row.status(board.suite.seeds), apart=board.apart.get(row.name))


def column_entry(column: Column, name: str) -> ColumnEntry:
    """What is said of a column."""
    better = next((word for word in ("lower", "higher", "target") if word == column.better), None)
    return ColumnEntry(
        name=name,
        metric=column.name,
        unit=column.unit,
        better=better,
        group=column.group,
        protocol=column.protocol,
        code=column.code,
    )


def cell(row: Row, column: Column, name: str, found: Standing, apart: Mapping[str, str]) -> Cell:
    """A row's values in a column and their place among the others."""
    values = found.values.get(row.name, {})
    mean, half = mean_and_interval(list(values.values()), LEVEL) if values else (None, None)
    ranks = found.tiers.place.get(row.name)
    reasons = sorted({column.why_absent(record) for record in row.done()} - {""})
    return Cell(
        row=row.name,
        column=name,
        mean=mean,
        half_width=half if half is not None and math.isfinite(half) else None,
        values={str(seed): value for seed, value in sorted(values.items())},
        tier=found.tiers.tier.get(row.name),
        ranks=list(ranks) if ranks else None,
        wide=row.name in found.tiers.wide,
        unranked=why_unranked(row, found, apart) if found.rows else None,
        absent="; ".join(reasons) or None,
    )


def why_unranked(
    row: Row, found: Standing, apart: Mapping[str, str]
) -> Literal["stale", "another code", "lost runs", "fewer seeds"] | None:
    """Why a row with values has no rank in a column of ranks."""
    if row.name in found.rows or row.name not in found.values:
        return None
    if row.stale:
        return "stale"
    if row.name in apart:
        return "another code"
    return "lost runs" if row.has_losses() else "fewer seeds"
