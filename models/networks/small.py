"""A small convolutional pair for 28×28 images that two CPU cores train in minutes; its own architecture, not a paper's.

Like SPEC 3.1 with an eighth of its channels and less, and group norm for batch norm: a variance constraint on a batch's codes then
holds for the codes of a whole set too, while batch norm spreads them further in evaluation mode than in training.
"""

from torch import nn

from models.networks.layers import SameTransposedConv, check_shape, same_conv
from models.networks.network import Pair

CHANNELS = (16, 32)
HIDDEN = 256
GROUPS = 4


def small_conv(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """28×28×1 -> 14×14×16 -> 7×7×32 -> 256 -> outputs·d, and its mirror.   (B, 1, 28, 28) -> (B, outputs·d); (B, d) -> (B, 1, 28, 28)"""
    check_shape("small_conv", shape, (1, 28, 28))
    a, b = CHANNELS
    encoder = nn.Sequential(
        *(same_conv(1, a, kernel=4, stride=2, size=28), nn.GroupNorm(GROUPS, a), nn.ReLU()),
        *(same_conv(a, b, kernel=4, stride=2, size=14), nn.GroupNorm(GROUPS, b), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(b * 49, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs * dim)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(dim, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, b * 49), nn.ReLU(), nn.Unflatten(1, (b, 7, 7))),
        *(SameTransposedConv(b, a, kernel=4, stride=2), nn.GroupNorm(GROUPS, a), nn.ReLU()),
        SameTransposedConv(a, 1, kernel=4, stride=2),
    )
    return encoder, decoder


NETWORKS = [small_conv]
