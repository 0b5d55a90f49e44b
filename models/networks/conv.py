"""A convolutional pair for images of any size from 8 pixels on that CPU cores train in minutes; its own architecture, no paper's.

Of the kind of VCAE's for 64×64 (Table 4): kernels of 4 at stride 2, 32 channels at first and 64 then, until the shorter side has less
than 8 pixels; a dense layer of 256. Group norm as in `small_conv`.
"""

from itertools import pairwise

from torch import nn

from models.networks.network import Pair

CHANNELS, WIDER, HIDDEN, GROUPS = 32, 64, 256, 4
LEAST = 8  # pixels of a side that is halved


def conv(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """C×H×W, halved while both sides have 8 pixels, then dense; and its mirror.   (B, C, H, W) -> (B, outputs·d); (B, d) -> (B, C, H, W)"""
    channels, height, width = shape
    if min(height, width) < LEAST:
        raise ValueError(f"network 'conv' takes images of at least {LEAST}×{LEAST} pixels, not {height}×{width}")
    sizes = halved(height, width)
    planes = [channels, *(CHANNELS if level < 2 else WIDER for level in range(len(sizes) - 1))]
    (last_height, last_width), flat = sizes[-1], planes[-1] * sizes[-1][0] * sizes[-1][1]
    encoder = nn.Sequential(
        *(layer for a, b in pairwise(planes) for layer in (nn.Conv2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(GROUPS, b), nn.ReLU())),
        *(nn.Flatten(), nn.Linear(flat, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs * dim)),
    )
    decoder: list[nn.Module] = [nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, flat), nn.ReLU()]
    decoder.append(nn.Unflatten(1, (planes[-1], last_height, last_width)))
    for level in reversed(range(len(sizes) - 1)):
        odd = (sizes[level][0] % 2, sizes[level][1] % 2)  # the row and column that halving left out
        decoder.append(nn.ConvTranspose2d(planes[level + 1], planes[level], 4, stride=2, padding=1, output_padding=odd))
        decoder += [nn.GroupNorm(GROUPS, planes[level]), nn.ReLU()] if level else []
    return encoder, nn.Sequential(*decoder)


def halved(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of the maps, from the image's on.   halved(28, 20) -> [(28, 20), (14, 10), (7, 5)]"""
    sizes = [(height, width)]
    while min(sizes[-1]) >= LEAST:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


NETWORKS = [conv]
