"""The Fréchet wavelet distance: the mean over bands of frequency of the Fréchet distance on an image's wavelet packets; no network.

Veeramacheneni et al., "Fréchet Wavelet Distance: A Domain-Agnostic Metric for Image Generation", arXiv:2312.15289, section 3.2. With
Haar's wavelet the packets of level L are Walsh-Hadamard transforms of blocks of 2^L×2^L pixels in [0, 1], H[u] block H[v] / 2^L: packet
(u, v) holds that coefficient of every block and channel.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from scipy.linalg import hadamard
from torch import Tensor

from metrics.finite import require_finite, require_rows
from metrics.frechet import BIAS, frechet_of_features
from metrics.metric import Metric, Unavailable
from metrics.monge import SIDES

LEVEL = 4  # the paper's, for 256×256
CHUNK, AT_ONCE = 500, 4  # images, and rows of the transform, at a time: a quarter of all packets is held
SOURCE = "arXiv:2312.15289 section 3.2"
WORDS = (
    f"mean over Haar wavelet packets, of level {LEVEL} or the largest that leaves two blocks of 2^level pixels each way, of the Fréchet "
    "distance of up to 10,000 {held_out} images, 8 bit, and "
)


def level_of(height: int, width: int) -> int:
    """The largest level up to LEVEL at which blocks fill the image, two of them at least each way; Unavailable where there is none."""
    fitting = [n for n in range(1, LEVEL + 1) if all(side % 2**n == 0 and side >= 2 ** (n + 1) for side in (height, width))]
    if not fitting:
        raise Unavailable(f"images of {height}×{width} have no wavelet packets: both sides must be even, and 4 at least")
    return max(fitting)


def packets(images: Tensor) -> Iterator[Tensor]:
    """Rows of each packet.   (N, C, H, W) uint8 -> 4^L times (N, C·H·W/4^L) float64"""
    _, channels, height, width = images.shape
    level = level_of(height, width)
    size = 2**level
    transform = torch.from_numpy(hadamard(size)).to(images.device, torch.float64)
    for some in (transform / size).split(AT_ONCE):
        half = torch.cat([some @ (part.double() / 255).reshape(-1, channels, height // size, size, width) for part in images.split(CHUNK)])
        whole = half.unflatten(-1, (-1, size)) @ transform  # (N, C, H/2^L, some, W/2^L, 2^L)
        for u, v in product(range(len(some)), range(size)):
            yield whole[:, :, :, u, :, v].flatten(1)


def frechet_wavelet(a: Tensor, b: Tensor) -> Tensor:
    """The mean of the packets' Fréchet distances, in float64.   (N, C, H, W), (M, C, H, W) uint8 -> ()"""
    for images in (a, b):
        require_rows("images", images)
    return torch.stack([frechet_of_features(p, q) for p, q in zip(packets(a), packets(b), strict=True)]).mean()


def of_images(test: Any, others: Any) -> Tensor:
    """Of two sets as an evaluation keeps them; Unavailable where images were not finite, which their bytes do not show.   -> ()"""
    require_finite("images", test.features, others.features)
    return frechet_wavelet(test.eight_bit, others.eight_bit)


def metric(of: str, side: str, words: str, group: str = "samples") -> Metric:
    """One of them."""
    return Metric(
        name=f"frechet_wavelet_{of}",
        fn=of_images,
        needs=("test.images", f"{side}.images"),
        protocol=WORDS + words,
        source=SOURCE,
        better="lower" if group == "samples" else None,
        group=group,
        bias=BIAS,
    )


METRICS_ON_REQUEST = [
    *(metric(of, side, words) for of, (side, words) in SIDES.items()),
    metric("floor", "train", "at most as many random training images", "reference"),
]
