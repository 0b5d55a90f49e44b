"""Pareto fronts of several objectives, and how sure the seeds are of them."""

from typing import Any

import numpy as np

from bench.leaderboard.resampling import counts, means


def front(points: np.ndarray) -> np.ndarray:
    """The points that no other one beats: at most as large in every objective, and smaller in one.  (..., points, objectives) -> bool.

    Lower is better. Equal points are on the front together. A point with NaN is not on the front, and beats none.
    """
    whole = ~np.isnan(points).any(-1)
    one, other = points[..., :, None, :], points[..., None, :, :]
    beaten = (other <= one).all(-1) & (other < one).any(-1)  # (..., points, by points)
    return whole & ~beaten.any(-1)


def probability_on_front(values: np.ndarray, **options: Any) -> np.ndarray:
    """The share of bootstrap resamples of the seeds in which each row is on the front.  (objectives, rows, seeds) -> (rows,).

    Lower is better; the objectives of a row are measured on the same seeds, which are drawn together. `options` are `resamples` and
    `seed` of `bench.leaderboard.resampling.counts`.
    """
    drawn = counts(values.shape[-1], **options)
    points = np.stack([means(drawn, objective) for objective in values], -1)  # (resamples, rows, objectives)
    return front(points).mean(0)
