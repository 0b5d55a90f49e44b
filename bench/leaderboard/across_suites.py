"""Rows compared over several suites: mean ranks and what tells them apart, the interquartile mean, the chance to be best.

Friedman's test and Nemenyi's critical difference as in Demšar, J. Mach. Learn. Res. 7 (2006) 1, section 3.2.2; interquartile mean
with a stratified bootstrap as in Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.leaderboard.resampling import RESAMPLES, means


@dataclass(frozen=True)
class CriticalDifference:
    """A critical-difference diagram: mean ranks, the distance that is shown, and the rows that are not told apart."""

    ranks: np.ndarray  # (rows,), 1 is best
    p: float  # Friedman's test: all rows are equal
    distance: float  # of mean ranks that differ at the level
    cliques: tuple[tuple[int, ...], ...]  # maximal sets of rows closer than that, the best first


def critical_difference(scores: np.ndarray, level: float = 0.05) -> CriticalDifference:
    """Friedman's test and Nemenyi's critical difference of rows over suites.  (suites, rows), lower is better.

    distance = q √(r (r + 1) / (6 N)) for r rows and N suites, q the studentised range's quantile over √2 (Demšar, table 5a). Equal
    scores share their mean rank. Raises ValueError for fewer than 3 rows or 2 suites, or for a score that is not finite.
    """
    suites, rows = scores.shape
    if rows < 3 or suites < 2 or not np.isfinite(scores).all():
        raise ValueError(f"a critical difference needs 3 rows or more on 2 suites or more, all finite; {suites} suites, {rows} rows")
    ranks = scipy.stats.rankdata(scores, axis=1).mean(0)
    same = (scores == scores[:, :1]).all()
    p = 1.0 if same else float(scipy.stats.friedmanchisquare(*scores.T).pvalue)
    q = float(scipy.stats.studentized_range.ppf(1 - level, rows, math.inf)) / math.sqrt(2)
    distance = q * math.sqrt(rows * (rows + 1) / (6 * suites))
    return CriticalDifference(ranks, p, distance, cliques(ranks, distance))


def nemenyi_p(scores: np.ndarray) -> np.ndarray:
    """The p value of Nemenyi's test of each pair of rows.  (suites, rows) -> (rows, rows), 1 on the diagonal."""
    suites, rows = scores.shape
    ranks = scipy.stats.rankdata(scores, axis=1).mean(0)
    q = np.abs(ranks[:, None] - ranks) / math.sqrt(rows * (rows + 1) / (6 * suites)) * math.sqrt(2)
    return np.asarray(np.minimum(1.0, scipy.stats.studentized_range.sf(q, rows, math.inf)))


def cliques(ranks: np.ndarray, distance: float) -> tuple[tuple[int, ...], ...]:
    """The maximal sets of two or more rows whose mean ranks lie within a distance: the bars of the diagram."""
    order = np.argsort(ranks, kind="stable")
    found = list[tuple[int, ...]]()
    for start in range(len(order)):
        bar = tuple(int(row) for row in order[start:] if ranks[row] - ranks[order[start]] < distance)
        if len(bar) > 1 and (not found or bar[-1] != found[-1][-1]):
            found.append(bar)
    return tuple(found)


def interquartile_mean(scores: Sequence[np.ndarray]) -> float:
    """The mean of the middle half of one row's scores, (seeds,) for each suite, on one scale: a quarter is cut off at each end."""
    return float(scipy.stats.trim_mean(np.concatenate(scores), 0.25))


def interquartile_interval(
    scores: Sequence[np.ndarray], level: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of the interquartile mean over resamples of the seeds, within each suite by themselves."""
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([suite[rng.integers(0, len(suite), (resamples, len(suite)))] for suite in scores], axis=1)
    low, high = np.quantile(scipy.stats.trim_mean(drawn, 0.25, axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def probability_best(scores: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The share of resamples in which each row has the best mean rank over suites.  (rows, seeds) for each suite -> (rows,).

    Lower is better. Seeds are drawn within each suite by themselves, the same for all rows; rows that tie share a resample.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((resamples, len(scores[0])))
    for values in scores:
        n = values.shape[1]
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)
        total += scipy.stats.rankdata(means(drawn, values), axis=1)
    best = total == total.min(1, keepdims=True)
    return np.asarray((best / best.sum(1, keepdims=True)).mean(0))
