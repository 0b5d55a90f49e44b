"""The Feature Likelihood Divergence (FLD): how likely test images are, on a network's features, under Gaussians around the samples.

Jiralerspong et al., "Feature Likelihood Divergence: Evaluating the Generalization of Generative Models Using Samples", arXiv:2302.04440,
section 3, as its authors' code has it. Features are scaled to mean 0 and deviation 1 over the test images. Around each of m samples lies a
Gaussian of a width of its own, chosen so that training images are likely; of D features, in nats per feature and times 100,

    p(x)    1/m Σ_j N(x; x_j, σ_j² I)
    FLD     100/D (E_test -log p(x) - the same of half of the training images, of widths chosen by the other half)
    gap     100/D (E_train -log p(x) - E_test -log p(x))

A copy of a training image gets a narrow Gaussian, which is of no use to test images: FLD rises, and the gap falls far below 0. The widths
are those of 50 steps of Adam, and no optimum; while they are chosen, but not afterwards, one more Gaussian around the mean image keeps
images that no sample is near from deciding alone. Samples of too little variance are no worse by it: their Gaussians are wider then.
docs/copies.md has values where copies were planted.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from metrics.features import inception, lite0
from metrics.features.backbone import DINOV2
from metrics.features.scores import SAMPLES, Family
from metrics.finite import require_finite, require_rows
from metrics.fixed_subset import subset, subset_indices
from metrics.metric import Metric

IMAGES = 2000  # of each set at most: pairs of them are held at once
STEPS, RATE = 50, 0.5  # of Adam
NEAR, NARROWEST, WIDEST = 1e-3, -40.0, 20.0  # added to the first squared width; bounds of its logarithm
TOWARDS_MEAN = 0.9**2  # of squared distances to the mean image
SOURCE = "arXiv:2302.04440 section 3"
BIAS = (
    "too high where few samples stand for many, so compare at one count; too low for samples of too little variance, whose Gaussians are "
    "as wide as they need to be; copies of training images that are not among those taken go unseen"
)


class Scaled(NamedTuple):
    """Sets of features scaled to mean 0 and deviation 1 over the test images; a feature that is one number there is only moved."""

    train: Tensor
    test: Tensor
    samples: Tensor


def scaled(train: Tensor, test: Tensor, samples: Tensor) -> Scaled:
    """IMAGES of each at most, float64; Unavailable where there are fewer than 4 or they are not finite.   (N, D), (M, D), (m, D)"""
    for rows in (train, test, samples):
        require_rows("images", rows, 4)
        require_finite("rows of features", rows)
    parts = [subset(rows, IMAGES).double() for rows in (train, test, samples)]
    mean, deviation = parts[1].mean(0), parts[1].std(0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return Scaled(*((rows - mean) / deviation for rows in parts))


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(N, D), (m, D) -> (N, m)"""
    return torch.cdist(a, b).square()


def log_gaussians(squares: Tensor, log_variance: Tensor, dim: int) -> Tensor:
    """log N(x; x_j, σ_j² I) of D = dim features by squared distances.   (N, m), (m,) -> (N, m)"""
    return -0.5 * squares / log_variance.exp() - 0.5 * dim * (log_variance + math.log(2 * math.pi))


def log_density(x: Tensor, centres: Tensor, log_variance: Tensor) -> Tensor:
    """log p(x).   (N, D), (m, D), (m,) -> (N,)"""
    return log_gaussians(squared_distances(x, centres), log_variance, x.shape[1]).logsumexp(1) - math.log(len(centres))


def fitted_widths(centres: Tensor, train: Tensor) -> Tensor:
    """log σ_j² that make training images likely.   (m, D), (N, D) -> (m,)"""
    dim, squares = train.shape[1], squared_distances(train, centres)
    to_mean = TOWARDS_MEAN * squared_distances(train, train.mean(0, keepdim=True))
    with torch.enable_grad():
        widths = ((squares.min(0).values + NEAR) / dim).log().requires_grad_()
        widest = squares.new_zeros(1).requires_grad_()  # of the Gaussian around the mean image
        adam = torch.optim.Adam([widths, widest], lr=RATE)
        for _ in range(STEPS):
            adam.zero_grad()
            of_samples = log_gaussians(squares, widths, dim) - math.log(len(centres))
            both = torch.cat([of_samples, log_gaussians(to_mean, widest, dim)], 1).logsumexp(1)
            (-both.mean() / dim).backward()
            adam.step()
            with torch.no_grad():
                widths.clamp_(NARROWEST, WIDEST)
    return widths.detach()


def surprise(x: Tensor, centres: Tensor, log_variance: Tensor) -> Tensor:
    """Mean -log p(x), times 100, per feature.   -> ()"""
    return -100 * log_density(x, centres, log_variance).mean() / x.shape[1]


def of_real(sets: Scaled) -> Tensor:
    """The surprise of test images under half of the training images, of widths chosen by the other half; without the samples.   -> ()"""
    half = torch.zeros(len(sets.train), dtype=torch.bool)
    half[subset_indices(len(half), len(half) // 2)] = True
    half = half.to(sets.train.device)
    one, other = sets.train[half], sets.train[~half]
    return surprise(sets.test, one, fitted_widths(one, other))


def of_samples(sets: Scaled) -> tuple[Tensor, Tensor]:
    """The surprise of training and of test images under the samples.   -> (), ()"""
    widths = fitted_widths(sets.samples, sets.train)
    return surprise(sets.train, sets.samples, widths), surprise(sets.test, sets.samples, widths)


def fld(train: Tensor, test: Tensor, samples: Tensor) -> Tensor:
    """Of features of three sets.   (N, D), (M, D), (m, D) -> ()"""
    sets = scaled(train, test, samples)
    return of_samples(sets)[1] - of_real(sets)


def fld_gap(train: Tensor, test: Tensor, samples: Tensor) -> Tensor:
    """Of features of three sets.   (N, D), (M, D), (m, D) -> ()"""
    of_train, of_test = of_samples(scaled(train, test, samples))
    return of_train - of_test


def on(family: Family) -> Iterator[Metric]:
    """The divergence and the gap of samples on one network's features."""
    counts = f"up to {IMAGES:,} of each"
    for of, (side, against) in SAMPLES.items():
        views = ("train.features", "test.features", f"{side}.features")
        words = f"FLD of {{held_out}} images under Gaussians around {against}, widths by random training images, {counts}"
        yield family.metric(f"fld_{family.label}_{of}", fld, views, words, SOURCE, bias=BIAS)
        words = f"FLD's gap of random training and {{held_out}} images under Gaussians around {against}, {counts}; copies lie far below 0"
        gap = family.metric(f"fld_gap_{family.label}_{of}", fld_gap, views, words, SOURCE, bias=BIAS)
        yield replace(gap, better=None, group="generalisation")


FAMILIES = [Family("classifier", "classifier"), lite0.FAMILY, Family(inception.NAME, "inception"), Family(f"timm:{DINOV2}", "dinov2")]
METRICS_ON_REQUEST = [metric for family in FAMILIES for metric in on(family)]
