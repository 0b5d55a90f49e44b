"""The Fréchet distance between Gaussians fitted to two sets of features, here the pixels themselves.

Heusel et al., arXiv:1706.08500, Eq. 6:  |m₁ - m₂|² + tr(C₁ + C₂ - 2 (C₁ C₂)^½).  It needs no network and no weights; it is
not the FID, whose features are Inception's, and is never written under that name.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.metric import Metric, Unavailable

MAX_SIDE = 32
MAX_VALUES = 4096  # of a row: the roots of larger covariances would take longer than the run


def frechet_distance(m1: Tensor, C1: Tensor, m2: Tensor, C2: Tensor) -> Tensor:
    """Fréchet distance of N(m1, C1) and N(m2, C2), in float64.   (D,), (D, D), (D,), (D, D) -> ()

    tr (C₁C₂)^½ is the sum of the square roots of the eigenvalues of the symmetric C₁^½ C₂ C₁^½.
    """
    values, vectors = torch.linalg.eigh(C1)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ C2 @ root).clamp(min=0).sqrt().sum()
    return (m1 - m2).square().sum() + C1.trace() + C2.trace() - 2 * cross


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance (divisor N - 1) in float64.   (N, D) -> (D,), (D, D)"""
    features = features.double()
    return features.mean(0), torch.cov(features.T)


def pixel_features(images: Tensor) -> Tensor:
    """Images as rows of pixels, averaged over areas to at most 32×32.   (N, C, H, W) in [0, 1] -> (N, C·h·w)"""
    height, width = images.shape[-2:]
    if max(height, width) > MAX_SIDE:
        images = F.adaptive_avg_pool2d(images, (min(height, MAX_SIDE), min(width, MAX_SIDE)))
    return images.flatten(1)


def value_features(signals: Tensor) -> Tensor:
    """Signals as rows of their values, all of them.   (N, C, H, W) -> (N, C·H·W)"""
    return signals.flatten(1)


def frechet_of_features(a: Tensor, b: Tensor) -> Tensor:
    """Fréchet distance of Gaussians fitted to two sets of features.   (N, D), (M, D) -> (); Unavailable for D above MAX_VALUES"""
    if a.shape[1] > MAX_VALUES:
        raise Unavailable(f"not computed on more than {MAX_VALUES} values")
    return frechet_distance(*moments(a), *moments(b))


def pixel_metric(name: str, view: str, words: str, group: str = "samples") -> Metric:
    """One Fréchet distance on pixels against the test images."""
    return Metric(
        name=name,
        fn=frechet_of_features,
        needs=("test.features.pixels", view),
        protocol=f"Fréchet distance on pixels (area-averaged to at most 32×32), up to 10,000 test images against {words}",
        source="arXiv:1706.08500 Eq. 6",
        better="lower" if group == "samples" else None,
        group=group,
    )


METRICS = [
    pixel_metric("frechet_pixels_pz", "samples.features.pixels", "as many decoded prior draws"),
    pixel_metric("frechet_pixels_qz", "density_samples.features.pixels", "as many decoded draws of the density fitted to its codes"),
    pixel_metric("frechet_pixels_reconstruction", "reconstructions.features.pixels", "their reconstructions from one noise draw"),
    pixel_metric("frechet_pixels_floor", "train.features.pixels", "at most as many training images", group="reference"),
]
