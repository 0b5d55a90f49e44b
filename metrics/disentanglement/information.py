"""Scores from the mutual information of single latents and factors.

Chen et al., arXiv:1802.04942, section 4 (MIG); Ridgeway & Mozer, "Learning Deep Disentangled Embeddings", arXiv:1802.05312, section 3:

    MIG         mean over factors k of  [ I(r_j(1); k) - I(r_j(2); k) ] / H(k),       j(1), j(2) the latents that say most of k
    modularity  mean over latents j of  1 - Σ_{k≠k*} I(r_j; k)² / (K - 1) I(r_j; k*)²,   k* the factor of which j says most

I is that of the latent cut into equal bins, in nats; no other library takes part.
"""

from collections.abc import Callable

import numpy as np

from metrics.disentanglement.representation import TRAIN, Represented, of_views, split
from metrics.metric import Metric, Unavailable

BINS = 20


def binned(codes: np.ndarray) -> np.ndarray:
    """Each latent's number of its bin, of BINS equal ones from its least to its largest value.   (N, D) -> (N, D)"""
    low, high = codes.min(0), codes.max(0)
    width = np.where(high > low, high - low, 1.0)
    cut: np.ndarray = np.minimum((BINS * (codes - low) / width).astype(np.int64), BINS - 1)
    return cut


def entropy(counts: np.ndarray) -> float:
    """Of the relative counts, nats.   (any shape) -> value"""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def mutual_information(data: Represented) -> np.ndarray:
    """I(r_j; k) for every latent and factor, nats, not below 0.   -> (D, K)"""
    bins, found = binned(data.codes), np.zeros((data.codes.shape[1], data.factors.shape[1]))
    for j, latent in enumerate(bins.T):
        for k, factor in enumerate(data.factors.T):
            counts = np.bincount(latent * (factor.max() + 1) + factor, minlength=BINS * (factor.max() + 1)).reshape(BINS, -1)
            found[j, k] = entropy(counts.sum(0)) + entropy(counts.sum(1)) - entropy(counts)
    return np.maximum(found, 0.0)


def mig(data: Represented) -> float:
    """Mutual information gap, 0 to 1. Of one latent the second is 0."""
    information = np.sort(mutual_information(data), 0)[::-1]
    second = information[1] if len(information) > 1 else 0.0
    entropies = np.array([entropy(np.bincount(factor)) for factor in data.factors.T])
    return float(((information[0] - second) / entropies).mean())


def modularity(data: Represented) -> float:
    """0 to 1; a latent that says nothing counts 0. Unavailable for a single factor."""
    information = mutual_information(data)
    if information.shape[1] < 2:
        raise Unavailable("modularity needs two factors of variation")
    squared = information**2
    most = squared.max(1)
    others = (squared.sum(1) - most) / np.where(most > 0, most * (information.shape[1] - 1), 1.0)
    return float(np.where(most > 1e-18, 1 - others, 0.0).mean())


WORDS = f"mean codes of up to {TRAIN:,} random training images, seed 0; latents in {BINS} equal bins"


def metric(name: str, score: Callable[[Represented], float], words: str, source: str) -> Metric:
    """A score of a random part of the images."""
    return Metric(
        name=name,
        fn=of_views(lambda data: score(split(data)[0])),
        needs=("train.codes", "train.factors"),
        protocol=f"{words}; {WORDS}",
        source=source,
        better="higher",
        group="disentanglement",
    )


METRICS = [
    metric("mig", mig, "mean over factors of the gap of the two most informative latents over the entropy", "arXiv:1802.04942 section 4"),
    metric("modularity", modularity, "mean over latents, 0 for one that says nothing", "arXiv:1802.05312 section 3"),
]
