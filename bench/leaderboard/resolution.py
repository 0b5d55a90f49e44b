"""What the seeds of a board can tell apart, and how far its columns agree."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.leaderboard.tiers import RATE, paired_p, separated

MOST_SEEDS = 400  # more are not worth a number: "400 or more"


def share_separated(values: np.ndarray) -> float:
    """The share of pairs of rows that the seeds separate, at a false discovery rate of 5 %.  (rows, seeds) -> 0 ... 1.

    NaN for fewer than two rows: there is no pair.
    """
    rows = len(values)
    if rows < 2:
        return math.nan
    return float(separated(paired_p(values))[np.triu_indices(rows, 1)].mean())


def seeds_needed(differences: Sequence[float], power: float = 0.8, level: float = RATE, most: int = MOST_SEEDS) -> int | None:
    """Seeds with which the paired t test would find a difference with that power, if differences go on spreading as these do.

    The smallest n ≤ most with P(|T| > t_{n-1}(1 - level / 2)) ≥ power, where T has the noncentral t distribution of n - 1 degrees of
    freedom and noncentrality √n |mean| / s (Cohen, Statistical Power Analysis, 2.3). `differences` holds one number a seed; s from
    three seeds is uncertain by a factor of 0.5 to 6, so n is a rough number. `most` means that or more; None where all differences
    are zero or where there are fewer than two; 2 where they all are one other number.
    """
    values = np.asarray(differences, dtype=float)
    largest = float(np.abs(values).max(initial=0.0))
    if len(values) < 2 or largest == 0:
        return None
    mean, spread = float((values / largest).mean()), float((values / largest).std(ddof=1))
    if mean == 0:
        return most
    n = np.arange(2, most + 1)
    if spread == 0:
        return 2
    edge, shift = scipy.stats.t.ppf(1 - level / 2, n - 1), np.sqrt(n) * abs(mean) / spread
    other_tail = np.nan_to_num(scipy.stats.nct.cdf(-edge, n - 1, shift))  # NaN in scipy 1.17 where it is below 1e-15
    reached = scipy.stats.nct.sf(edge, n - 1, shift) + other_tail >= power
    return int(n[reached.argmax()]) if reached.any() else most


def kendall_tau(columns: Mapping[str, Mapping[str, float]]) -> dict[tuple[str, str], float]:
    """Kendall's tau-b of each pair of columns over the rows that both have; {column: {row: mean, lower is better}}.

    1: the same order, -1: the reverse (Kendall, Biometrika 33 (1945) 239). NaN for fewer than two common rows or a constant column.
    """
    names = list(columns)
    found = {}
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = columns[first], columns[second]
            common = sorted(a.keys() & b.keys())
            pair = [[of[row] for row in common] for of in (a, b)]
            found[first, second] = float(scipy.stats.kendalltau(*pair).statistic) if len(common) > 1 else math.nan
    return found


def winner_changes(columns: Mapping[str, Mapping[str, float]]) -> tuple[int, int]:
    """In how many of the other columns the first column's best row is not the best, and how many there are; lower is better.

    Compared over the rows that all columns have; a row of the same best value is as good as the best. (0, 0) without two columns.
    """
    first, *others = columns.values()
    common = sorted(first.keys() & set.intersection(*map(set, columns.values())))
    winners = {row for row in common if first[row] == min(first[row] for row in common)}
    changed = [of for of in others if not winners & {row for row in common if of[row] == min(of[row] for row in common)}]
    return len(changed), len(others)
