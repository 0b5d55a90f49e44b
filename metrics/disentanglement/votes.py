"""Scores by votes: sets of images that share the value of one factor, and a classifier that has to name it.

Kim & Mnih, "Disentangling by Factorising", arXiv:1802.05983, section 4, appendix B; Higgins et al., "beta-VAE", ICLR 2017, section 3;
SPEC 5.5:

    FactorVAE score   L images with one value of factor k; j = argmin_j Var(r_j / s_j), s the standard deviations of all codes
                      classifier: the majority of k for each j
    beta-VAE score    L pairs, each with one value of factor k; mean |r - r'|; classifier: linear, multinomial logistic
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import logsumexp, softmax

from metrics.disentanglement.representation import Represented, of_views
from metrics.metric import Metric

VOTES, FRESH, SIZE = 10_000, 5_000, 64  # votes to learn from, votes to be judged on, images of a vote
POINTS, PRUNED = 10_000, 0.05  # codes for the standard deviations; latents below are no part of it
TOGETHER = 500  # votes
STEPS = 100  # of Newton's method at most


class Drawn:
    """Images of a set by the value of a factor."""

    def __init__(self, data: Represented, random: np.random.RandomState):
        self.random = random
        self.orders = [np.argsort(column, kind="stable") for column in data.factors.T]
        self.counts = [np.bincount(column) for column in data.factors.T]

    def sharing(self, factor: int, votes: int, size: int) -> np.ndarray:
        """Indices of `size` images for each vote that share a value of the factor, uniform among its values; with replacement.

        -> (votes, size)
        """
        counts = self.counts[factor]
        value = self.random.randint(len(counts), size=votes)
        place = (self.random.random_sample((votes, size)) * counts[value][:, None]).astype(np.int64)
        found: np.ndarray = self.orders[factor][(np.cumsum(counts) - counts)[value][:, None] + place]
        return found


def batches(votes: int) -> Iterator[int]:
    """How many votes to take at a time."""
    yield from (min(TOGETHER, votes - start) for start in range(0, votes, TOGETHER))


def kept_latents(codes: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Codes over their standard deviation (divisor 1/n) in up to POINTS random images, without latents below PRUNED.   (N, D) -> (N, A)"""
    chosen = random.permutation(len(codes))[:POINTS]
    std = codes[chosen].std(0)
    kept = std >= PRUNED
    return codes[:, kept] / std[kept]


def least_variance(data: Represented, codes: np.ndarray, votes: int, random: np.random.RandomState) -> np.ndarray:
    """How often each latent varied least where each factor was shared.   -> (A, K) counts"""
    drawn, table = Drawn(data, random), np.zeros((codes.shape[1], data.factors.shape[1]), np.int64)
    for n in batches(votes):
        factors = random.randint(table.shape[1], size=n)
        for factor, count in enumerate(np.bincount(factors, minlength=table.shape[1])):
            least = codes[drawn.sharing(factor, count, SIZE)].var(1).argmin(1)
            table[:, factor] += np.bincount(least, minlength=len(table))
    return table


def factorvae_score(data: Represented, seed: int = 0) -> float:
    """Accuracy of the majority classifier on fresh votes; 0 if no latent is kept (SPEC 5.5)."""
    random = np.random.RandomState(seed)
    codes = kept_latents(data.codes, random)
    if codes.shape[1] == 0:
        return 0.0
    learnt, judged = (least_variance(data, codes, votes, random) for votes in (VOTES, FRESH))
    return float(judged[np.arange(len(judged)), learnt.argmax(1)].sum() / FRESH)


def differences(data: Represented, votes: int, random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Mean |r - r'| over SIZE pairs that share a factor's value, each pair one of its own, and the factor.   -> (votes, D), (votes,)"""
    drawn, rows, shared = Drawn(data, random), list[np.ndarray](), list[np.ndarray]()
    for n in batches(votes):
        factors = random.randint(data.factors.shape[1], size=n)
        for factor, count in enumerate(np.bincount(factors, minlength=data.factors.shape[1])):
            pairs = data.codes[drawn.sharing(factor, count * SIZE, 2)]  # (count · SIZE, 2, D)
            rows.append(np.abs(pairs[:, 0] - pairs[:, 1]).reshape(count, SIZE, -1).mean(1))
            shared.append(np.full(count, factor))
    return np.concatenate(rows), np.concatenate(shared)


def logistic(x: np.ndarray, y: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercepts that minimise ½ |w|² + Σ cross-entropy, by Newton's method.   (N, D), (N,) -> (D, classes), (classes,)"""
    inputs, target = np.concatenate([x, np.ones((len(x), 1))], 1), np.eye(classes)[y]
    size = inputs.shape[1]
    penalised = np.ones((size, classes))
    penalised[-1] = 0.0  # not the intercepts
    w = np.zeros((size, classes))

    def loss(w: np.ndarray) -> float:
        return float(0.5 * (penalised * w**2).sum() + (logsumexp(inputs @ w, axis=1) - (inputs @ w)[np.arange(len(y)), y]).sum())

    for _ in range(STEPS):
        p = softmax(inputs @ w, axis=1)
        gradient = penalised * w + inputs.T @ (p - target)
        if np.abs(gradient).max() < 1e-8 * len(y):
            break
        step = np.linalg.lstsq(hessian(inputs, p) + np.diag(penalised.ravel()), gradient.ravel(), rcond=1e-12)[0].reshape(w.shape)
        length, now = 1.0, loss(w)
        while loss(w - length * step) > now and length > 1e-6:
            length /= 2
        w = w - length * step
    return w[:-1], w[-1]


def hessian(x: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Of Σ cross-entropy in the weights (j, c): Σ_n x_nj x_nk p_nc (δ_cd - p_nd).   (N, D), (N, C) -> (D·C, D·C)"""
    size, classes = x.shape[1], p.shape[1]
    found = np.zeros((size, classes, size, classes))
    for c in range(classes):
        for d in range(classes):
            found[:, c, :, d] = (x * (p[:, c] * ((c == d) - p[:, d]))[:, None]).T @ x
    return found.reshape(size * classes, size * classes)


def beta_vae_score(data: Represented, seed: int = 0) -> float:
    """Accuracy on fresh votes of the linear classifier (Higgins et al., Algorithm 1)."""
    random = np.random.RandomState(seed)
    weight, bias = logistic(*differences(data, VOTES, random), data.factors.shape[1])
    x, y = differences(data, FRESH, random)
    return float(((x @ weight + bias).argmax(1) == y).mean())


WORDS = f"mean codes of all training images; L = {SIZE}, {VOTES:,} votes to learn from, {FRESH:,} fresh ones; values and factors uniform"
METRICS = [
    Metric(
        name="factorvae_score",
        fn=of_views(factorvae_score),
        needs=("train.codes", "train.factors"),
        protocol=f"{WORDS}; standard deviations from {POINTS:,} images, latents below {PRUNED:g} left out; majority vote; seed 0",
        source="arXiv:1802.05983 section 4; SPEC 5.5",
        better="higher",
        group="disentanglement",
        bias=(
            f"depends on the codes' scale: latents of a standard deviation below {PRUNED:g} are taken for unused, so that the score is 0 "
            "where all are that small, however well they tell the factors; mig, modularity and dci_* do not"
        ),
    ),
    Metric(
        name="beta_vae_score",
        fn=of_views(beta_vae_score),
        needs=("train.codes", "train.factors"),
        protocol=f"{WORDS}; logistic regression on mean |r - r'| over L pairs, ½ |w|² beside the sum over votes; seed 0",
        source="Higgins et al., ICLR 2017, section 3",
        better="higher",
        group="disentanglement",
        bias="depends on the codes' scale, for the classifier's weights are penalised: too low where codes spread little",
    ),
]
