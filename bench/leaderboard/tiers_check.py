"""How often tiers leave out a row that is as good as the best: simulated columns, and docs/statistics.md. No torch here."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.leaderboard.tiers import RATE, paired_p, separated, tiers
from bench.markdown import replace_between, table

ROWS, SEEDS = (2, 3, 5, 10, 20, 30), (3, 5, 10)
STEP = 3.0  # by which each worse row is worse than the one before it, in standard deviations of a seed
Draw = Callable[[np.random.Generator, int, int], np.ndarray]  # rows, seeds -> (rows, seeds), the equal rows first


def even(rng: np.random.Generator, rows: int, seeds: int) -> np.ndarray:
    """Equal rows of normal values of one standard deviation."""
    return rng.standard_normal((rows, seeds))


def heavy(rng: np.random.Generator, rows: int, seeds: int) -> np.ndarray:
    """Equal rows of values with Student's t distribution of 3 degrees of freedom."""
    return rng.standard_t(3, (rows, seeds))


def uneven(rng: np.random.Generator, rows: int, seeds: int) -> np.ndarray:
    """Equal rows of normal values whose standard deviations are lognormal: of 30 the largest is some 60 times the smallest."""
    return even(rng, rows, seeds) * np.exp(rng.standard_normal((rows, 1)))


def equal_rows(rows: int) -> int:
    """How many rows are equally good where others are worse: a third, at least two."""
    return max(2, rows // 3)


def with_worse(draw: Draw) -> Draw:
    """The same, but the rows after the first third are worse, each by a step more."""

    def drawn(rng: np.random.Generator, rows: int, seeds: int) -> np.ndarray:
        worse = np.maximum(np.arange(rows) - equal_rows(rows) + 1, 0)
        spread = draw(rng, rows, seeds)
        spread[worse > 0] = even(rng, int((worse > 0).sum()), seeds)
        return spread + STEP * worse[:, None]

    return drawn


SCENARIOS: dict[str, tuple[Draw, bool]] = {  # and whether all rows are equal
    "all rows equal": (even, True),
    "all equal, heavy tails": (heavy, True),
    "all equal, unequal spreads": (uneven, True),
    "a third equal, others worse": (with_worse(even), False),
    "a third equal of unequal spreads, others worse": (with_worse(uneven), False),
}


@cache
def range_quantile(rows: int, freedom: int) -> float:
    """The quantile of the studentised range that equal rows exceed in 5 % of columns."""
    return float(scipy.stats.studentized_range.ppf(1 - RATE, rows, freedom))


def by_tiers(values: np.ndarray) -> tuple[set[int], set[int]]:
    """The rows below the best tier, and those of them that are not marked as wide."""
    found = tiers({str(i): dict(enumerate(row)) for i, row in enumerate(values.tolist())}, "lower")
    below = {row for row, tier in found.tier.items() if tier > 1}
    return {int(row) for row in below}, {int(row) for row in below - found.wide}


def by_all_pairs(values: np.ndarray) -> set[int]:
    """The rows that stand, in the order of means, at or after one that is worse by one test of all pairs at 5 % false discoveries."""
    order = np.argsort(values.mean(1))
    (worse,) = np.nonzero(np.triu(separated(paired_p(values[order])), 1).any(0))
    return set(order[worse[0] :].tolist()) if len(worse) else set()


def by_range(values: np.ndarray) -> set[int]:
    """The rows that are worse than the best by Tukey's studentised range, seeds as blocks, one variance for all rows."""
    rows, seeds = values.shape
    residual = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    freedom = (rows - 1) * (seeds - 1)
    error = math.sqrt(float((residual**2).sum()) / freedom / seeds)
    mean = values.mean(1)
    return set(np.nonzero(mean - mean.min() > range_quantile(rows, freedom) * error)[0].tolist())


@dataclass(frozen=True)
class Cell:
    """Shares of the columns of one scenario in which a row as good as the best was left out of the best tier."""

    scenario: str
    rows: int
    seeds: int
    left_out: float  # by bench.leaderboard.tiers
    unmarked: float  # by bench.leaderboard.tiers, and not marked as wide
    all_pairs: float
    studentised_range: float


def simulate(scenario: str, rows: int, seeds: int, columns: int, seed: int = 0) -> Cell:
    """So many columns of a scenario, the same ones for all procedures and for the same seed."""
    draw, all_equal = SCENARIOS[scenario]
    equal = set(range(rows if all_equal else equal_rows(rows)))
    rng = np.random.default_rng([seed, list(SCENARIOS).index(scenario), rows, seeds])
    total = np.zeros(4)
    for _ in range(columns):
        values = draw(rng, rows, seeds)
        for i, out in enumerate((*by_tiers(values), by_all_pairs(values), by_range(values))):
            total[i] += bool(out & equal)
    return Cell(scenario, rows, seeds, *(total / columns).tolist())


def check(columns: int, seed: int = 0, rows: Sequence[int] = ROWS, seeds: Sequence[int] = SEEDS) -> list[Cell]:
    """Every scenario at all those numbers of rows and seeds."""
    return [simulate(scenario, r, s, columns, seed) for scenario in SCENARIOS for r in rows for s in seeds]


def report(cells: Iterable[Cell]) -> str:
    """A table, in per cent: a line for each scenario and number of rows, the numbers of seeds in one cell."""
    lines: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        lines.setdefault((cell.scenario, cell.rows), []).append(cell)
    seeds = " / ".join(str(cell.seeds) for cell in next(iter(lines.values())))
    ways = ("left_out", "unmarked", "all_pairs", "studentised_range")
    heads = ("tiers", "tiers, not marked wide", "all pairs at once", "studentised range")
    return table(
        ["columns", "rows", *(f"{head}, {seeds} seeds" for head in heads)],
        [[*key, *(" / ".join(f"{100 * getattr(cell, way):.1f}" for cell in found) for way in ways)] for key, found in lines.items()],
    )


COMMAND = "tiers-check"


def publish(page: Path, cells: Sequence[Cell], columns: int, seed: int) -> None:
    """Replace the table of a page, between its two markers; UserError where the page or a marker is missing."""
    largest = max(cells, key=lambda cell: cell.unmarked)
    error = math.sqrt(RATE * (1 - RATE) / columns)
    said = f"{columns:,} columns a number: a share of 5 % has a standard error of {100 * error:.1f} %. The largest of *not marked wide*: "
    where = f"{100 * largest.unmarked:.1f} % ({largest.scenario}, {largest.rows} rows, {largest.seeds} seeds)."
    replace_between(page, COMMAND, f"--columns {columns} --seed {seed}", f"{report(cells)}\n\n{said}{where}")
