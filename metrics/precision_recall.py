"""Do samples look real (precision, density), and do they show all that is real (recall, coverage)? By nearest neighbours.

Kynkäänniemi et al., arXiv:1904.06991, Eq. 1-2, with B(x) the ball around x that reaches its k-th neighbour in x's own set:

    precision = share of samples inside the ball of any real image       recall = share of real images inside any sample's ball

Naeem et al., arXiv:2002.09797, Eq. 3-4, from the real images' balls alone, which outliers among the samples cannot widen:

    density = 1/(k M) Σ_samples (real balls that it is in)               coverage = share of real balls with a sample inside

A ball holds its surface in the first pair and not in the second, as in the code of either paper.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from metrics.finite import require_finite
from metrics.metric import Unavailable

K, K_DENSITY = 3, 5  # neighbours, as the papers have them
CHUNK = 500  # rows of a distance matrix at a time
ROUNDING = 1e-12  # relative; squared distances below are between copies of one point


class Real(NamedTuple):
    """Features of real images around their mean, with their balls' squared radii."""

    centre: Tensor  # (D,) float64
    features: Tensor  # (N, D) float64, without the centre: squares of small numbers lose least
    radii: Tensor  # (N,), to the K-th neighbour
    density_radii: Tensor  # (N,), to the K_DENSITY-th


class Scores(NamedTuple):
    """All four, higher is better; density may exceed 1."""

    precision: float
    recall: float
    density: float
    coverage: float


def squared_distances(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """|a_i - b_j|² in float64, CHUNK rows at a time, of points around one origin.   (N, D), (M, D) -> (CHUNK, M) each"""
    norms = b.square().sum(1)
    for rows in a.split(CHUNK):
        scale = rows.square().sum(1, keepdim=True) + norms
        d2 = torch.addmm(scale, rows, b.T, alpha=-2)
        yield torch.where(d2 < ROUNDING * scale, 0.0, d2)


def squared_radii(features: Tensor, *ks: int) -> list[Tensor]:
    """Squared distance of each row to its k-th nearest other row.   (N, D) float64 -> (N,) for each k"""
    if len(features) <= max(ks):
        raise Unavailable(f"{len(features)} images have no {max(ks)} neighbours each")
    nearest = [d2.topk(max(ks) + 1, largest=False).values for d2 in squared_distances(features, features)]  # itself is the first
    return [torch.cat(nearest)[:, k] for k in ks]


def real(features: Tensor) -> Real:
    """The real images' side of all four scores; Unavailable where rows are not finite.   (N, D)"""
    require_finite("rows of features", features)
    centre = features.mean(0, dtype=torch.float64)
    features = features.double() - centre
    return Real(centre, features, *squared_radii(features, K, K_DENSITY))


def scores(real: Real, samples: Tensor) -> Scores:
    """Precision, recall (k = K), density, coverage (k = K_DENSITY) of samples; Unavailable where rows are not finite.   (M, D)"""
    require_finite("rows of features", samples)
    samples = samples.double() - real.centre
    sample_radii = squared_radii(samples, K)[0]
    inside, balls = 0, 0
    found = torch.zeros(len(real.features), dtype=torch.bool, device=samples.device)
    nearest = torch.full_like(real.radii, torch.inf)
    for d2, radii in zip(squared_distances(samples, real.features), sample_radii.split(CHUNK), strict=True):  # d2: (CHUNK, N)
        inside += int((d2 <= real.radii).any(1).sum())
        balls += int((d2 < real.density_radii).sum())
        found |= (d2 <= radii[:, None]).any(0)
        nearest = torch.minimum(nearest, d2.min(0).values)
    return Scores(
        precision=inside / len(samples),
        recall=float(found.double().mean()),
        density=balls / (K_DENSITY * len(samples)),
        coverage=float((nearest < real.density_radii).double().mean()),
    )
