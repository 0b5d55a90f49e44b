"""The sliced Wasserstein distance between two sets of features: on Inception's, the Monge Inception distance (MIND).

Berthet et al., "MIND: Monge Inception Distance for Generative Models Evaluation", arXiv:2605.06797, for D features, M random directions u
and x_(1) ≤ x_(2) ≤ ... along each:

    3 D / nM Σ_i Σ_j (u_i·x_(j) - u_i·y_(j))²

It fits no Gaussian: two sets of equal means and covariances, between which a Fréchet distance is 0, are apart where their laws are.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from metrics.features import inception, lite0
from metrics.features.scores import SAMPLES, Family
from metrics.finite import require_finite, require_rows
from metrics.fixed_subset import subset
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.metric import Metric

DIRECTIONS, SCALE = 1000, 3
CHUNK = 100  # directions at a time
SOURCE = "arXiv:2605.06797"
BIAS = "too high: of two sets of one law it falls as 1/n; compare at one count"
SIDES = SAMPLES | {"reconstruction": ("reconstructions", "their reconstructions from one noise draw")}


def monge_distance(a: Tensor, b: Tensor) -> Tensor:
    """In float64, of as many rows of each as the smaller set has; Unavailable where there are none or they are not finite.

    (N, D), (M, D) -> ()
    """
    for rows in (a, b):
        require_rows("images", rows)
        require_finite("rows of features", rows)
    count, dim = min(len(a), len(b)), a.shape[1]
    p, q = (subset(rows, count).double() for rows in (a, b))
    parts = unit_vectors(DIRECTIONS, dim).to(a.device).split(CHUNK)
    return SCALE * dim / DIRECTIONS * torch.stack([len(part) * squared_sliced_wasserstein(p, q, part) for part in parts]).sum()


def on(family: Family) -> Iterator[Metric]:
    """Of samples and reconstructions, and the floor, on one network's features."""
    stem = "mind" if family.is_inception else f"monge_{family.label}"
    words = f"{SCALE} D times the squared sliced Wasserstein distance, {DIRECTIONS} directions, of {{held_out}} images and "
    for of, (side, against) in SIDES.items():
        yield family.metric(f"{stem}_{of}", monge_distance, ("test.features", f"{side}.features"), words + against, SOURCE, bias=BIAS)
    views = ("test.features", "train.features")
    floor = family.metric(f"{stem}_floor", monge_distance, views, words + "random training images", SOURCE, bias=BIAS)
    yield replace(floor, better=None, group="reference", details=(floor.details[0], "counts.train"))


FAMILIES = [Family("classifier", "classifier"), lite0.FAMILY, Family(inception.NAME, "inception")]
METRICS_ON_REQUEST = [metric for family in FAMILIES for metric in on(family)]
