"""Scores of identifiable representations: is each factor a latent, a linear map of all latents, untouched by the other factors?

Hyvärinen & Morioka, "Unsupervised Feature Extraction by Time-Contrastive Learning and Nonlinear ICA", arXiv:1605.06336, section 5 (MCC);
von Kügelgen et al., "Self-Supervised Learning with Data Augmentations Provably Isolates Content from Style", arXiv:2106.04619, section 5
(R²); Suter et al., "Robustly Disentangled Causal Mechanisms", arXiv:1811.00007, section 4 (IRS):

    MCC   mean over factors of |corr(r_j, k)|, latents and factors paired one to one for the largest sum; 0 for a factor without one
    R²    mean over factors of the share of variance that a linear regression from all latents explains, on other images
    IRS   Σ_j w_j max_k (1 - E_v max |r_j - E[r_j|k=v]| / w_j) / Σ_j w_j,      w_j = max |r_j - E r_j|,     max within k = v: 99 % quantile

MCC and R² hold for factors whose values are numbers in order, and see linear relations: a circle's angle or a class scores low however
well it is encoded, and R² of a code that mixes all factors linearly is 1. IRS holds for independent factors; of a latent that knows of no
factor it is above 0, for a quantile is below the largest deviation.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from metrics.disentanglement.representation import TEST, TRAIN, Represented, of_views, split
from metrics.metric import Metric, Unavailable

QUANTILE = 0.99


def correlations(data: Represented) -> np.ndarray:
    """|corr(r_j, k)|, 0 for a constant latent.   -> (D, K)"""
    codes, factors = (rows - rows.mean(0) for rows in (data.codes, data.factors.astype(np.float64)))
    spread = np.outer(np.sqrt((codes**2).sum(0)), np.sqrt((factors**2).sum(0)))
    found: np.ndarray = np.abs(np.divide(codes.T @ factors, spread, out=np.zeros_like(spread), where=spread > 0))
    return found


def mcc(data: Represented) -> float:
    """Mean correlation coefficient, 0 to 1."""
    found = correlations(data)
    return float(found[linear_sum_assignment(found, maximize=True)].sum() / found.shape[1])


def r2(data: Represented) -> float:
    """Of a linear regression with an intercept, on other images; 1 at most, below 0 where it is worse than the mean."""
    train, test = split(data)
    with_one = [np.concatenate([part.codes, np.ones((len(part.codes), 1))], 1) for part in (train, test)]
    weights = np.linalg.lstsq(with_one[0], train.factors.astype(np.float64), rcond=None)[0]
    residual = ((test.factors - with_one[1] @ weights) ** 2).sum(0)
    total = ((test.factors - test.factors.mean(0)) ** 2).sum(0)
    if not (total > 0).all():
        raise Unavailable(f"too few images: a factor of variation has one value among the {len(test.codes)} that are judged")
    return float((1 - residual / total).mean())


def irs(data: Represented) -> float:
    """Interventional robustness score, 0 to 1; 0 where every latent is constant."""
    widest = np.abs(data.codes - data.codes.mean(0)).max(0)
    codes, widest = data.codes[:, widest > 0], widest[widest > 0]
    if len(widest) == 0:
        return 0.0
    deviation = np.stack([within(codes, factor) for factor in data.factors.T], 1)  # (D, K)
    return float(np.average((1 - deviation / widest[:, None]).max(1), weights=widest))


def within(codes: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Mean over a factor's values of the largest deviation from the mean code of that value.   (N, D), (N,) -> (D,)"""
    groups = [codes[factor == value] for value in np.unique(factor)]
    found: np.ndarray = np.mean([np.quantile(np.abs(group - group.mean(0)), QUANTILE, axis=0) for group in groups], 0)
    return found


def of_train(score: Callable[[Represented], float]) -> Callable[[Represented], float]:
    """The score of a random part of the images."""
    return lambda data: score(split(data)[0])


def metric(name: str, score: Callable[[Represented], float], words: str, source: str, bias: str) -> Metric:
    """One of the three."""
    return Metric(
        name=name,
        fn=of_views(score),
        needs=("train.codes", "train.factors"),
        protocol=words,
        source=source,
        better="higher",
        group="disentanglement",
        bias=bias,
    )


FIRST = f"mean codes of up to {TRAIN:,} random training images, seed 0"
LINEAR = "holds for factors whose values are numbers in order; blind to relations that are not linear"
METRICS_ON_REQUEST = [
    metric(
        "mcc",
        of_train(mcc),
        f"mean |Pearson correlation| of factors and the latents that are paired with them by the Hungarian method; {FIRST}",
        "arXiv:1605.06336 section 5",
        f"too high by chance where there are many latents and few images; {LINEAR}",
    ),
    metric(
        "r2_linear",
        r2,
        f"mean R² of linear regressions from all latents; {FIRST} to fit, {TEST:,} others to judge (two thirds, one third of fewer)",
        "arXiv:2106.04619 section 5",
        f"none: on other images; {LINEAR}; 1 for a code that mixes all factors linearly",
    ),
    metric(
        "irs",
        of_train(irs),
        f"max within a value by its {100 * QUANTILE:g} % quantile, weighted by the largest deviation; {FIRST}",
        "arXiv:1811.00007 section 4",
        "too high: above 0 for codes that know of no factor, for a quantile is below the largest deviation; more so of few images a value",
    ),
]
