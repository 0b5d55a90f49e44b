"""Fully connected encoders and decoders for images of any small shape; `mlp` is the digits suite's, no paper's."""

import math
from itertools import pairwise

from torch import nn

from models.networks.network import Pair

WIDTHS, MOG_WIDTHS = (256, 128), (64, 64)


def mlp(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """D -> 256 -> 128 -> outputs·d and its mirror, ReLU.   (B, C, H, W) -> (B, outputs·d); (B, d) -> (B, C, H, W)"""
    return mirrored(shape, dim, outputs, WIDTHS)


def mog_mlp(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """D -> 64 -> 64 -> outputs·d and its mirror, ReLU (SPEC 3.3; VCAE states none).   As `mlp`."""
    return mirrored(shape, dim, outputs, MOG_WIDTHS)


def mirrored(shape: tuple[int, int, int], dim: int, outputs: int, widths: tuple[int, ...]) -> Pair:
    """Hidden layers of those widths, and the same backwards."""
    values = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), *layers([values, *widths, outputs * dim]))
    decoder = nn.Sequential(*layers([dim, *reversed(widths), values]), nn.Unflatten(1, shape))
    return encoder, decoder


def layers(sizes: list[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    pairs = list(pairwise(sizes))
    hidden = [layer for a, b in pairs[:-1] for layer in (nn.Linear(a, b), nn.ReLU())]
    return [*hidden, nn.Linear(*pairs[-1])]


NETWORKS = [mlp, mog_mlp]
