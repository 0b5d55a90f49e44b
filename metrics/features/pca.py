"""Principal components of the training images as features: linear, in closed form, without labels or files.

Pearson (1901), as in SPEC 2's baseline; images larger than 32×32 are averaged over areas first, as pixel features are.
"""

import torch
from torch import Tensor

from metrics.features.network import Network, content_hash
from metrics.finite import require_rows
from metrics.fixed_subset import subset
from metrics.frechet import MAX_SIDE, moments, pixel_features

COMPONENTS, IMAGES = 64, 10_000


def pca(images: Tensor) -> Network:
    """The leading components of up to IMAGES training images; Unavailable of fewer than two.   (N, C, H, W) uint8"""
    require_rows("training images", images)
    images = subset(images, IMAGES)
    mean, covariance = moments(unit_rows(images))
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :COMPONENTS]  # (D, k), largest variance first

    def rows(part: Tensor) -> Tensor:
        return ((unit_rows(part).double() - mean) @ directions).float()

    name = f"pca, {directions.shape[1]} components of {len(images):,} training images"
    return Network(name, content_hash(images), f"area-averaged to at most {MAX_SIDE}×{MAX_SIDE}", rows)


def unit_rows(images: Tensor) -> Tensor:
    """Pixels in [0, 1].   (N, C, H, W) uint8 -> (N, D)"""
    return torch.cat([pixel_features(part.float() / 255) for part in images.split(1000)])
