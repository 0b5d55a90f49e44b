"""Codes beside the factors of variation of their images: what every disentanglement score is a function of.

Rows are put into an order of their own before anything is drawn from them, so that no score depends on the order of the images.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from metrics.latent import Codes
from metrics.metric import Unavailable

TRAIN, TEST = 10_000, 5_000  # images that a predictor is fitted to, and others on which it is measured


class Represented(NamedTuple):
    """Images by their codes and factors, in canonical order; only factors that vary."""

    codes: np.ndarray  # (N, D) float64
    factors: np.ndarray  # (N, K) int64, values 0 .. K_k - 1, all of them present


def represented(codes: np.ndarray, factors: np.ndarray) -> Represented:
    """Sorted by factors, then by codes; values of a factor are renumbered, factors of one value left out.

    (N, D), (N, K) -> Represented; Unavailable without any factor, or where values are not finite: bins, sorts and votes would take them
    """
    for what, rows in (("codes", codes), ("images' factors", factors)):
        if bad := int((~np.isfinite(rows)).any(1).sum()):
            raise Unavailable(f"{bad} of {len(rows)} {what} have values that are not finite")
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors, np.int64)
    order = np.lexsort((*codes.T[::-1], *factors.T[::-1]))
    columns = [np.unique(column, return_inverse=True)[1] for column in factors[order].T]
    kept = [column for column in columns if column.max() > 0]
    if not kept:
        raise Unavailable("no factor of variation has more than one value")
    return Represented(codes[order], np.stack(kept, 1))


def split(data: Represented, seed: int = 0) -> tuple[Represented, Represented]:
    """TRAIN and TEST images at random, disjoint; two thirds and one third of a smaller set.

    Unavailable where those are so few that a factor has one value among the first.
    """
    order = np.random.RandomState(seed).permutation(len(data.codes))
    cut = min(TRAIN, 2 * len(order) // 3)
    train, test = order[:cut], order[cut : cut + TEST]
    if (data.factors[train].max(0) == data.factors[train].min(0)).any():
        raise Unavailable(f"too few images: a factor of variation has one value among the {cut} that are taken")
    return Represented(data.codes[train], data.factors[train]), Represented(data.codes[test], data.factors[test])


def of_views(score: Callable[[Represented], float]) -> Callable[[Codes, Tensor], float]:
    """A score as a function of the views `train.codes` and `train.factors`: of mean codes."""

    def value(codes: Codes, factors: Tensor) -> float:
        return score(represented(codes.mean.double().cpu().numpy(), factors.cpu().numpy()))

    return value
