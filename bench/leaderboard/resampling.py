"""Means and ranks over resampled training seeds (Efron, Ann. Statist. 7 (1979) 1), the same seeds for all rows.

A bootstrap over three to five seeds is too narrow: a row that leads on each of them gets rank 1 alone, though a test leaves more
open. Its intervals are shown beside tiers, not instead of them.
"""

import itertools
from typing import Any

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.leaderboard.statistics import binary_scale

RESAMPLES = 1000


def counts(seeds: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each seed is in each resample.  -> (resamples, seeds) integers; all resamples once, if they are no more than that."""
    if seeds**seeds <= resamples:
        drawn = np.array(list(itertools.product(range(seeds), repeat=seeds)))
        return (drawn[:, :, None] == np.arange(seeds)).sum(1)
    return np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)


def means(drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of each row in each resample.  (resamples, seeds), (rows, seeds) -> (resamples, rows); equal rows have equal means.

    A loop over seeds, not a matrix product: BLAS may round the sums of two columns differently.
    """
    scale = binary_scale(values)
    total = np.zeros((len(drawn), len(values)))
    for count, column in zip(drawn.T, np.ldexp(values, -scale).T, strict=True):
        total += count[:, None] * column
    return np.ldexp(total / drawn.shape[1], scale)


def ranks(scores: np.ndarray) -> np.ndarray:
    """1 for the lowest score of each line; equal scores share a rank.  (..., rows) -> (..., rows) integers."""
    return scipy.stats.rankdata(scores, method="min", axis=-1).astype(int)


def rank_intervals(values: np.ndarray, level: float = 0.95, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest rank of each row in the middle `level` of resamples.  (rows, seeds), lower is better -> 2 × (rows,).

    `options` are `resamples` and `seed` of `counts`.
    """
    found = ranks(means(counts(values.shape[1], **options), values))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    return low.astype(int), high.astype(int)
