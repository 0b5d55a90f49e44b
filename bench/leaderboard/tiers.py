"""Tiers of the rows of one column: which rows the training seeds show to be worse than others.

Pairs of rows are compared by the paired t test, seed by seed. A tier is cut along the order of means, before the first row that is
shown worse than a row above it: its test must hold among the rows down to it, and again with each further row added, every time at
a false discovery rate of 4 % over all pairs of those rows (Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995) 289, procedure
(1)). If all rows of such a set are equal, every discovery is false, so that the rate is the chance of any, but for the dependence of
pairs that share a row: of equal rows one is left out of the best tier in at most 5 % of columns, also if worse rows stand below them
(docs/statistics.md has the simulation, and the case that exceeds it).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.leaderboard.statistics import ROUNDING, binary_scale

MIN_SEEDS = 3  # with two, a paired test has one degree of freedom: it calls nearly nothing a difference
RATE = 0.05  # false discoveries among the pairs called different
TIER_RATE = 0.04  # the same, where a tier is cut: pairs share rows, so that at 5 % equal rows part a little more often
Rows = Mapping[str, Mapping[int, float]]  # {row: {seed: value}}


@dataclass(frozen=True)
class Comparison:
    """Rows that may be ranked, their values on the seeds that all of them have, and those that may not, with the reason."""

    rows: tuple[str, ...]  # best mean first
    values: np.ndarray  # (rows, seeds), lower is better
    apart: Mapping[str, str]


@dataclass(frozen=True)
class Tiers:
    """The tiers of a column. Rows in `apart` have none."""

    tier: Mapping[str, int]  # 1 for the best; rows in the order of their means
    place: Mapping[str, tuple[int, int]]  # the ranks that the row's tier fills: all its rows share them
    wide: frozenset[str]  # the seeds do not say on which side of the first tier's edge these rows belong
    apart: Mapping[str, str]  # {row: why it is not ranked}

    def best(self) -> set[str]:
        """The rows of the first tier; none if there is only one tier: a tie."""
        return {row for row, tier in self.tier.items() if tier == 1} if len(set(self.tier.values())) > 1 else set()


def compare(rows: Rows, better: str | None, lost: Collection[str] = ()) -> Comparison:
    """What of a column may be ranked: rows with a value on every seed that most rows have, at least three seeds.

    `better` is lower or higher; for anything else nothing is ranked. `lost` names rows of which a run diverged or failed: the
    seeds that survived may be the easy ones, so such a row stands apart, whatever its mean.
    """
    filled = {row: values for row, values in rows.items() if values}
    whole = {row: values for row, values in filled.items() if row not in lost}
    seeds = [seed for seed in sorted(set().union(*whole.values())) if 2 * sum(seed in v for v in whole.values()) > len(whole)]
    ranked = [row for row in sorted(whole) if set(seeds) <= whole[row].keys()]
    if better not in ("lower", "higher") or len(seeds) < MIN_SEEDS or len(ranked) < 2:
        return Comparison((), np.empty((0, 0)), {row: "lost runs" for row in filled if row in lost})
    sign = 1.0 if better == "lower" else -1.0
    values = sign * np.array([[whole[row][seed] for seed in seeds] for row in ranked], dtype=float)
    order = np.argsort(np.ldexp(values, -binary_scale(values)).mean(1), kind="stable")
    apart = {row: "lost runs" if row in lost else "fewer seeds" for row in filled if row not in ranked}
    return Comparison(tuple(ranked[i] for i in order), values[order], apart)


def paired_p(values: np.ndarray) -> np.ndarray:
    """Two-sided p values of the paired t test of each pair of rows.  (rows, seeds) -> (rows, rows), 1 on the diagonal.

    Where the test has no variance to divide by: 1 if all differences are zero, 0 if all are one other number, to rounding.
    """
    n = values.shape[1]
    values = np.ldexp(values, -binary_scale(values))
    differences = values[:, None] - values[None]  # (rows, rows, seeds)
    size = np.abs(values).max(1)
    negligible = ROUNDING * np.maximum(size[:, None], size[None])
    largest = np.abs(differences).max(-1)
    unit = differences / np.where(largest > 0, largest, 1.0)[..., None]  # their squares are neither lost nor infinite
    error = unit.std(-1, ddof=1) / np.sqrt(n)
    constant = np.ptp(differences, -1) <= negligible
    t = np.abs(unit.mean(-1)) / np.where(constant, 1.0, error)
    return np.where(constant, np.where(largest <= negligible, 1.0, 0.0), 2 * scipy.stats.t.sf(t, n - 1))


def threshold(sorted_p: np.ndarray, rate: float) -> float:
    """The largest p value that the step-up procedure calls a discovery; -1 if there is none."""
    count = len(sorted_p)
    (found,) = np.nonzero(sorted_p <= rate * np.arange(1, count + 1) / count)
    return float(sorted_p[found[-1]]) if len(found) else -1.0


def separated(p: np.ndarray) -> np.ndarray:
    """The pairs that differ at a false discovery rate of 5 % over all pairs.  (rows, rows) p values -> (rows, rows) bool."""
    return p <= threshold(np.sort(p[np.triu_indices(len(p), 1)]), RATE)


def edges(p: np.ndarray) -> list[int]:
    """Where tiers begin, 0 first, from the p values of rows in the order of their means."""
    count = len(p)
    upper, lower = np.triu_indices(count, 1)
    order = np.argsort(p[upper, lower], kind="stable")
    pairs = np.stack([p[upper, lower][order], upper[order], lower[order]])  # (3, pairs), by p
    ends = [end for end in range(2, count + 1) if end == count or p[end - 1, end] < 1.0]  # rows of one mean stay together
    starts = [0]
    while edge := first_edge(pairs[:, pairs[1] >= starts[-1]], ends):
        starts.append(edge)
    return starts


def first_edge(pairs: np.ndarray, ends: list[int]) -> int | None:
    """The first row that is shown worse than one above it; None if no row is.

    `pairs` holds p, upper and lower row of each pair of the rows that are left, sorted by p; a set of rows may stop before each of
    `ends`, in ascending order.
    """
    shown = np.ones(pairs.shape[1], dtype=bool)
    edge = None
    for end, before in zip(reversed(ends), [*reversed(ends[:-1]), 0], strict=True):
        inside = pairs[2] < end
        pairs, shown = pairs[:, inside], shown[inside]
        shown &= pairs[0] <= threshold(pairs[0], TIER_RATE)
        if not shown.any():
            break
        final = pairs[2, shown & (pairs[2] >= before)]  # no smaller set holds these pairs
        edge = int(final.min()) if len(final) else edge
    return edge


def tiers(rows: Rows, better: str | None, lost: Collection[str] = ()) -> Tiers:
    """The tiers of a column, {row: {seed: value}}; see `compare` for which rows are ranked, and the module for how."""
    return cut(compare(rows, better, lost))


def cut(found: Comparison) -> Tiers:
    """The tiers of the rows that may be ranked.

    Of the ranked rows those are wide that are in the first tier and shown better than no row below it, or below it and shown worse
    than no row in it: too wide an interval to say, which is no merit.
    """
    if not found.rows:
        return Tiers({}, {}, frozenset(), found.apart)
    p = paired_p(found.values)
    starts = edges(p)
    ends = [*starts[1:], len(found.rows)]
    tier, place = dict[str, int](), dict[str, tuple[int, int]]()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        tier.update(dict.fromkeys(found.rows[start:end], number))
        place.update(dict.fromkeys(found.rows[start:end], (start + 1, end)))
    wide = set[str]()
    if len(starts) > 1:
        apart = separated(p)
        sides = [slice(0, starts[1]), slice(starts[1], None)]
        wide = {row for i, row in enumerate(found.rows) if not apart[i, sides[i < starts[1]]].any()}
    return Tiers(tier, place, frozenset(wide), found.apart)
