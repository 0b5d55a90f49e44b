"""The Fréchet distance between Gaussians fitted to two sets of features; as metrics, of the pixels themselves.

Heusel et al., arXiv:1706.08500, Eq. 6:  |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½). On pixels it needs no network and no
weights; it is not the FID, whose features are Inception's, and is never written under that name.

With C = F Fᵀ for each side, tr (C₁ C₂)^½ is the sum of the singular values of F₁ᵀ F₂, and their squares are the eigenvalues
of the symmetric F₁ᵀ C₂ F₁: no root of a matrix that is not symmetric is ever taken. F is a Cholesky factor, a symmetric
root, or, for N rows of D > N values, the centred rows themselves. All in float64. A Cholesky factor is triangular: of F₁ᵀ C₂ F₁
only the lower half is formed, by a third of the products, and it is all that the eigenvalues are computed from.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.finite import require_finite, require_rows
from metrics.metric import Metric, Unavailable

MAX_SIDE = 32
MAX_VALUES = 4096  # of a row: the roots of larger covariances would take longer than the run
CHUNK = 1000  # rows in float64 at a time
PANEL = 256  # columns of a triangular factor at a time


class Gaussian(NamedTuple):
    """N(m, C) fitted to N rows of D features: C itself where N > D, else the centred rows that make it."""

    mean: Tensor  # (D,) float64
    covariance: Tensor | None  # (D, D) float64, divisor N - 1
    rows: Tensor | None  # (N, D) float64, (x_i - m) / √(N - 1), so that C = rowsᵀ rows

    @property
    def trace(self) -> Tensor:
        """tr C.   -> ()"""
        return self.covariance.trace() if self.covariance is not None else self.factor.square().sum()

    @property
    def factor(self) -> Tensor:
        """F with F Fᵀ = C.   -> (D, D) or (D, N)"""
        if self.rows is not None:
            return self.rows.T
        assert self.covariance is not None
        return root(self.covariance)[0]


def root(C: Tensor) -> tuple[Tensor, bool]:
    """A factor L of a covariance, L Lᵀ = C, and whether it is triangular: Cholesky's, or the symmetric one where C is singular.

    (D, D) -> (D, D)
    """
    L, failed = torch.linalg.cholesky_ex(C)
    return (symmetric_root(C), False) if failed else (L, True)


def symmetric_root(C: Tensor) -> Tensor:
    """S with S S = C, of a covariance that may be singular.   (D, D) -> (D, D)"""
    values, vectors = torch.linalg.eigh(C)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def lower_congruence(L: Tensor, C: Tensor) -> Tensor:
    """Lower half of Lᵀ C L, where L is lower triangular and C symmetric; what is above is not.   (D, D), (D, D) -> (D, D)

    Entry (i, j ≤ i) needs L[i:, i] and rows from i of C L, and these L's rows from j: in panels, 4/3 D³ flops instead of 4 D³.
    """
    right, product = torch.zeros_like(C), torch.zeros_like(C)
    panels = [(a, a + PANEL) for a in range(0, len(L), PANEL)]
    for a, b in panels:
        right[a:, a:b] = C[a:, a:] @ L[a:, a:b]
    for a, b in panels:
        product[a:b, :b] = L[a:, a:b].T @ right[a:, :b]
    return product


def frechet_distance(m1: Tensor, C1: Tensor, m2: Tensor, C2: Tensor) -> Tensor:
    """Fréchet distance of N(m1, C1) and N(m2, C2), in float64; NaN where a number is not finite.   (D,), (D, D), (D,), (D, D) -> ()"""
    if not all(part.isfinite().all() for part in (m1, C1, m2, C2)):
        return m1.new_full((), torch.nan)  # of which no eigenvalues exist
    L, triangular = root(C1)
    product = lower_congruence(L, C2) if triangular else L.T @ C2 @ L
    cross = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    return (m1 - m2).square().sum() + C1.trace() + C2.trace() - 2 * cross


def distance(a: Gaussian, b: Gaussian) -> Tensor:
    """Fréchet distance of two fitted Gaussians; by singular values where one has fewer rows than values.   -> ()"""
    if a.covariance is not None and b.covariance is not None:
        return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)
    cross = torch.linalg.svdvals(a.factor.T @ b.factor).sum()
    return (a.mean - b.mean).square().sum() + a.trace + b.trace - 2 * cross


class Moments:
    """Mean and covariance of rows that come in batches, in float64.

    Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979), Eq. 2.1: with δ
    the difference of the means of what has come and of a batch of k,  S += S_batch + δ δᵀ n k / (n + k).  S is of centred
    rows, so an offset that is large beside the spread costs no digits.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu"):
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64, device=device)  # Σ (x - m)(x - m)ᵀ

    def update(self, batch: Tensor) -> None:
        """Add rows.   (B, D)"""
        batch = batch.double()
        mean, n, k = batch.mean(0), self.count, len(batch)
        centred, delta = batch - mean, mean - self.mean
        self.scatter.addmm_(centred.T, centred).addr_(delta, delta, alpha=n * k / (n + k))
        self.mean += delta * (k / (n + k))
        self.count = n + k

    def covariance(self) -> Tensor:
        """Divisor N - 1.   -> (D, D)"""
        return self.scatter / (self.count - 1)


def moments_of(batches: Iterable[Tensor], dim: int, device: torch.device | str = "cpu") -> Moments:
    """Moments of rows in batches.   (B, D) each"""
    found = Moments(dim, device)
    for batch in batches:
        found.update(batch)
    return found


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance (divisor N - 1) in float64.   (N, D) -> (D,), (D, D)"""
    found = moments_of(features.split(CHUNK), features.shape[1], features.device)
    return found.mean, found.covariance()


def fit(features: Tensor) -> Gaussian:
    """The Gaussian of N ≥ 2 rows; Unavailable of fewer, or of rows that are not finite.   (N, D) -> Gaussian"""
    require_rows("images", features)
    require_finite("rows of features", features)
    n, dim = features.shape
    if n > dim:
        return Gaussian(*moments(features), None)
    mean = features.mean(0, dtype=torch.float64)
    return Gaussian(mean, None, (features.double() - mean) / (n - 1) ** 0.5)


def frechet_of_features(a: Tensor, b: Tensor) -> Tensor:
    """Fréchet distance of Gaussians fitted to two sets of features.   (N, D), (M, D) -> (); Unavailable for D above MAX_VALUES"""
    if a.shape[1] > MAX_VALUES:
        raise Unavailable(f"not computed on more than {MAX_VALUES} values")
    return distance(fit(a), fit(b))


def pixel_features(images: Tensor) -> Tensor:
    """Images as rows of pixels, averaged over areas to at most 32×32.   (N, C, H, W) in [0, 1] -> (N, C·h·w)"""
    height, width = images.shape[-2:]
    if max(height, width) > MAX_SIDE:
        images = F.adaptive_avg_pool2d(images, (min(height, MAX_SIDE), min(width, MAX_SIDE)))
    return images.flatten(1)


def value_features(signals: Tensor) -> Tensor:
    """Signals as rows of their values, all of them.   (N, C, H, W) -> (N, C·H·W)"""
    return signals.flatten(1)


BIAS = "too high, by about a constant over the count of images, which differs from model to model; compare at one count only"


def pixel_metric(name: str, view: str, words: str, group: str = "samples") -> Metric:
    """One Fréchet distance on pixels against the test images."""
    return Metric(
        name=name,
        fn=frechet_of_features,
        needs=("test.features.pixels", view),
        protocol=f"Fréchet distance on pixels (area-averaged to at most 32×32), up to 10,000 {{held_out}} images against {words}",
        source="arXiv:1706.08500 Eq. 6",
        better="lower" if group == "samples" else None,
        group=group,
        bias=BIAS,
    )


METRICS = [
    pixel_metric("frechet_pixels_pz", "samples.features.pixels", "as many decoded prior draws"),
    pixel_metric("frechet_pixels_qz", "density_samples.features.pixels", "as many decoded draws of the density fitted to its codes"),
    pixel_metric("frechet_pixels_reconstruction", "reconstructions.features.pixels", "their reconstructions from one noise draw"),
    pixel_metric("frechet_pixels_floor", "train.features.pixels", "at most as many random training images", group="reference"),
]
