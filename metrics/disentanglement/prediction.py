"""Scores from predictors of the factors.

Kumar et al., "Variational Inference of Disentangled Latent Concepts", arXiv:1711.00848, section 3 (SAP); Eastwood & Williams, "A
Framework for the Quantitative Evaluation of Disentangled Representations", ICLR 2018, section 2 (DCI):

    SAP               mean over factors of the gap in accuracy of the two best predictors from one latent each
    R_jk              how much latent j matters to a predictor of factor k from all latents, its columns of sum 1
    disentanglement   Σ_j ρ_j (1 - H_K(R_j· / Σ_k R_jk)),   ρ_j = Σ_k R_jk / K
    completeness      mean over k of 1 - H_D(R_·k)
    informativeness   mean accuracy on other images
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import numpy as np

from metrics.disentanglement.representation import TEST, TRAIN, Represented, of_views, represented, split
from metrics.metric import Metric

COST, STEPS = 0.01, 100  # C of the support vector machine, and Newton steps at most
TREES, LEAF = 50, 5  # of a random forest, and images of a leaf at least


def squared_hinge(x: np.ndarray, sign: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(w, b) that minimise ½ (w² + b²) + COST Σ_n s_n max(0, 1 - y_n (w x_n + b))², by Newton's method.

    One problem for each latent and class. x: (N, D); sign y: (N, C) of ±1; weight s: (N, C) -> (D, C, 2)
    """
    found = np.zeros((x.shape[1], sign.shape[1], 2))
    for j, latent in enumerate(x.T):
        for c in range(sign.shape[1]):
            found[j, c] = newton(np.stack([latent, np.ones_like(latent)], 1), sign[:, c], weight[:, c])
    return found


def newton(x: np.ndarray, y: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The minimum of one such problem, in a finite number of steps for a function made of parabolas.   (N, 2), (N,), (N,) -> (2,)"""

    def value(w: np.ndarray) -> float:
        return float(0.5 * w @ w + COST * (s * np.maximum(0, 1 - y * (x @ w)) ** 2).sum())

    w = np.zeros(2)
    for _ in range(STEPS):
        margin = 1 - y * (x @ w)
        inside = s * (margin > 0)
        gradient = w - 2 * COST * (x * (inside * y * margin)[:, None]).sum(0)
        if np.abs(gradient).max() < 1e-9:
            break
        step = np.linalg.solve(np.eye(2) + 2 * COST * (x * inside[:, None]).T @ x, gradient)
        size, now = 1.0, value(w)
        while value(w - size * step) > now and size > 1e-10:
            size /= 2
        w = w - size * step
    return w


def accuracies(train: Represented, test: Represented) -> np.ndarray:
    """Of a linear support vector machine from each latent alone, for each factor, one class against the rest.   -> (D, K)"""
    return np.stack([accuracy(train.codes, test.codes, *columns) for columns in zip(train.factors.T, test.factors.T, strict=True)], 1)


def accuracy(x: np.ndarray, fresh: np.ndarray, y: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of one factor from each latent: a class's images count as much as all images over the number of classes.   -> (D,)"""
    values, counts = np.unique(y, return_counts=True)
    balance = len(y) / (len(values) * counts)
    if len(values) == 2:  # one machine for both
        w = squared_hinge(x, np.where(y == values[1], 1.0, -1.0)[:, None], np.where(y == values[1], balance[1], balance[0])[:, None])[:, 0]
        return np.array([(values[(a * latent + b > 0).astype(int)] == truth).mean() for latent, (a, b) in zip(fresh.T, w, strict=True)])
    mine = y[:, None] == values
    w = squared_hinge(x, np.where(mine, 1.0, -1.0), np.where(mine, balance, 1.0))  # (D, C, 2)
    said = (fresh[:, :, None] * w[:, :, 0] + w[:, :, 1]).argmax(2)  # (N, D)
    share: np.ndarray = (values[said] == truth[:, None]).mean(0)
    return share


def sap(data: Represented) -> float:
    """Separated attribute predictability, 0 to 1. Of one latent the second is at accuracy 0."""
    found = np.sort(accuracies(*split(data)), 0)[::-1]
    return float((found[0] - (found[1] if len(found) > 1 else 0.0)).mean())


class DCI(NamedTuple):
    """Three scores, 0 to 1."""

    disentanglement: float
    completeness: float
    informativeness: float


def importances(train: Represented, test: Represented) -> tuple[np.ndarray, float]:
    """R and the mean accuracy on `test`, by random forests of all latents.   -> (D, K), value"""
    from sklearn.ensemble import RandomForestClassifier

    columns, shares = list[np.ndarray](), list[float]()
    for factor, truth in zip(train.factors.T, test.factors.T, strict=True):
        forest = RandomForestClassifier(TREES, min_samples_leaf=LEAF, max_features=None, random_state=0).fit(train.codes, factor)
        columns.append(forest.feature_importances_)
        shares.append(float((forest.predict(test.codes) == truth).mean()))
    return np.stack(columns, 1), float(np.mean(shares))


def spread(shares: np.ndarray) -> np.ndarray:
    """1 - entropy of each row over the largest possible one; 0 for a row of zeros, 1 for rows of one column.   (A, B) -> (A,)"""
    total = shares.sum(1, keepdims=True)
    p = np.divide(shares, total, out=np.full_like(shares, 1 / shares.shape[1]), where=total > 0)
    logs = np.log(p, out=np.zeros_like(p), where=p > 0)
    if shares.shape[1] == 1:
        return np.ones(len(shares))
    value: np.ndarray = 1 + (p * logs).sum(1) / np.log(shares.shape[1])
    return value


def scores(relevance: np.ndarray, informativeness: float) -> DCI:
    """DCI of R; latents that matter more count more.   (D, K), value -> DCI"""
    rho = relevance.sum(1) / max(relevance.sum(), 1e-300)
    return DCI(float((rho * spread(relevance)).sum()), float(spread(relevance.T).mean()), informativeness)


def dci(codes: np.ndarray, factors: np.ndarray) -> DCI:
    """All three.   (N, D), (N, K) -> DCI"""
    return scores(*importances(*split(represented(codes, factors))))


def one_of(field: str) -> Callable[[DCI], float]:
    """One of the three."""
    return lambda found: float(getattr(found, field))


WORDS = f"mean codes of up to {TRAIN:,} random training images to fit, {TEST:,} others to judge (two thirds, one third of fewer), seed 0"
METRICS = [
    Metric(
        name="sap",
        fn=of_views(sap),
        needs=("train.codes", "train.factors"),
        protocol=f"linear support vector machines of one latent, squared hinge, C = {COST:g}, classes balanced; {WORDS}",
        source="arXiv:1711.00848 section 3",
        better="higher",
        group="disentanglement",
        bias=(
            "depends on the codes' scale and offset, for the machines' weights and intercepts are penalised: towards 0 where codes spread "
            "little (1e-3) or lie far from 0 (1e4), however well they tell the factors; mig, modularity and dci_* do not"
        ),
    ),
    *(
        Metric(
            name=f"dci_{name}",
            fn=one_of(name),
            needs=("train.dci",),
            protocol=(
                f"random forests of {TREES} trees that may split by any latent, leaves of {LEAF} or more, "
                f"scikit-learn {version('scikit-learn')}; {WORDS}"
            ),
            source="Eastwood & Williams, ICLR 2018, section 2",
            better="higher",
            group="disentanglement",
        )
        for name in DCI._fields
    ),
]
