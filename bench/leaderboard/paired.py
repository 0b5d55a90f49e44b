"""Two rows compared metric by metric, their seeds in pairs: the difference, its t interval, and what tiers of these two rows say.

The interval is at 96 %, since tiers are cut at 4 %: a verdict stands where the interval leaves out 0. From the records, no torch here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError
from bench.leaderboard.capacity import same_length
from bench.leaderboard.rows import Column, Row
from bench.leaderboard.statistics import mean, mean_and_interval
from bench.leaderboard.tiers import MIN_SEEDS, TIER_RATE, compare, cut

LEVEL = 1 - TIER_RATE
SAME = ("dataset", "convention", "held_out")  # of a configuration: values of others are of other images
COLUMN = {"protocol": "another protocol", "code": "other code"}  # in which columns of one name differ, in words


@dataclass(frozen=True)
class Difference:
    """A metric of two rows on the seeds that both have."""

    column: Column
    first: float  # the means over these seeds
    second: float
    difference: float  # first - second, seed by seed
    half_width: float | None  # of its interval; None for one seed
    seeds: int
    verdict: str  # of the first row: better, worse, not separated; or why there is none


def check(first: Row, second: Row) -> None:
    """UserError where the rows are of other images, or one has no finished run."""
    for row in (first, second):
        if not row.done():
            raise UserError(f"compare: no run of {row.name} has finished, so that it has no values")
    one, other = (row.done()[0]["config"] for row in (first, second))
    for key in SAME:
        if one.get(key) != other.get(key):
            raise UserError(
                f"compare: {first.name} has {key} {one.get(key)!r}, {second.name} {other.get(key)!r}: their values do not compare"
            )


def differences(first: Row, second: Row, metrics: Collection[str] = ()) -> tuple[list[Difference], dict[str, str]]:
    """All metrics and costs that both rows have, or those of the given names; and {metric: why it is not compared} of the others."""
    check(first, second)
    one, other = columns(first), columns(second)
    found, left = list[Difference](), dict[str, str]()
    for name in sorted({*one, *other}):
        if metrics and name not in metrics:
            continue
        if name not in one or name not in other:
            left[name] = f"only {(first if name in one else second).name} has it"
        elif one[name] != other[name]:
            words = [said for key, said in COLUMN.items() if getattr(one[name], key) != getattr(other[name], key)]
            left[name] = f"measured by {' and '.join(words) or 'another unit'}"
        elif of := difference(one[name], first, second):
            found.append(of)
        else:
            left[name] = "no seed has a value in both"
    return found, left


def columns(row: Row) -> dict[str, Column]:
    """The column of each metric of a row; of one that was measured in several ways, that of most seeds."""
    return {column.name: column for column in sorted(sorted(row.entries), key=lambda column: len(column.values(row)))}


def difference(column: Column, first: Row, second: Row) -> Difference | None:
    """The rows' difference in a column, None where no seed has a value in both."""
    one, other = column.values(first), column.values(second)
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    pairs = [(one[seed], other[seed]) for seed in seeds]
    middle, half = mean_and_interval([a - b for a, b in pairs], LEVEL)
    first_mean, second_mean = (mean(list(values)) for values in zip(*pairs, strict=True))
    return Difference(column, first_mean, second_mean, middle, half, len(seeds), verdict(column, first, second))


def verdict(column: Column, first: Row, second: Row) -> str:
    """Whether the tiers of a column of these two rows part them, and which way round; or why there are none."""
    if column.group == "cost" or column.better not in ("lower", "higher"):
        return ""
    if lost := [row.name for row in (first, second) if row.has_losses()]:
        return f"not ranked: {' and '.join(lost)} lost runs"
    if not same_length(first.done()[0], second.done()[0]):
        return "not ranked: codes of different lengths"
    one, other = column.values(first), column.values(second)
    common: dict[str, Any] = {
        name: {seed: of[seed] for seed in one.keys() & other.keys()} for name, of in (("first", one), ("second", other))
    }
    tiers = cut(compare(common, column.better))
    if not tiers.tier:
        return f"not ranked: it takes {MIN_SEEDS} seeds"
    if tiers.tier["first"] == tiers.tier["second"]:
        return "not separated"
    return "better" if tiers.tier["first"] == 1 else "worse"
