"""Fully connected encoder and decoder for images of any small shape; the architecture of the digits suite, not a paper's."""

import math
from itertools import pairwise

from torch import nn

from models.networks.network import Pair

WIDTHS = (256, 128)


def mlp(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """D -> 256 -> 128 -> outputs·d and its mirror, ReLU.   (B, C, H, W) -> (B, outputs·d); (B, d) -> (B, C, H, W)"""
    values = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), *layers([values, *WIDTHS, outputs * dim]))
    decoder = nn.Sequential(*layers([dim, *reversed(WIDTHS), values]), nn.Unflatten(1, shape))
    return encoder, decoder


def layers(sizes: list[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    pairs = list(pairwise(sizes))
    hidden = [layer for a, b in pairs[:-1] for layer in (nn.Linear(a, b), nn.ReLU())]
    return [*hidden, nn.Linear(*pairs[-1])]


NETWORKS = [mlp]
