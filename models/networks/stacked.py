"""Networks of StackedWAE (Gaujac et al., "Learning deep-latent hierarchies by stacking Wasserstein autoencoders", appendix B).

Each returns the encoders q_1 ... q_N and the generators p_1 ... p_N of a hierarchy (SPEC 3.6). Codes are flat between levels.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from models.networks.layers import SameTransposedConv, check_shape, same_conv
from models.networks.network import Levels

Shape = tuple[int, int, int]
Stack = tuple[Levels, Levels]

SMALL = (256, 128, 64)
MNIST = (2048, 1024, 512, 256, 128)


def stacked_mlp(shape: Shape, dim: int, outputs: int) -> Stack:
    """Three levels of 4d, 2d and d latents, for images of any small shape: the paper's MNIST networks made small, not its own."""
    return mlp_levels(shape, dim, outputs, SMALL)


def stacked_mnist(shape: Shape, dim: int, outputs: int) -> Stack:
    """Appendix B.1: five levels of 16d, 8d, 4d, 2d and d latents, two hidden layers each; the paper's d is 2."""
    check_shape("stacked_mnist", shape, (1, 28, 28))
    return mlp_levels(shape, dim, outputs, MNIST)


def mlp_levels(shape: Shape, dim: int, outputs: int, widths: tuple[int, ...]) -> Stack:
    """A level for each width; each has half the latents of the one below."""
    dims = tuple(dim * 2**above for above in reversed(range(len(widths))))
    sizes = (math.prod(shape), *dims)
    encoders = [dense(a, outputs * b, width) for (a, b), width in zip(pairwise(sizes), widths, strict=True)]
    generators = [dense(b, (outputs if n else 1) * a, width) for n, ((a, b), width) in enumerate(zip(pairwise(sizes), widths, strict=True))]
    first = nn.Sequential(nn.Flatten(), *encoders[0])
    last = nn.Sequential(*generators[0], nn.Unflatten(1, shape))
    return Levels([first, *encoders[1:]], dims), Levels([last, *generators[1:]], dims)


def dense(features: int, out: int, width: int) -> nn.Sequential:
    """Two hidden layers, each Dense, batch norm, ReLU; their biases are batch norm's.   (B, features) -> (B, out)"""
    hidden = [(nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()) for size in (features, width)]
    return nn.Sequential(*hidden[0], *hidden[1], nn.Linear(width, out))


@dataclass(frozen=True)
class Level:
    """A row of Fig. 10: filters of the residual network, whether it halves the map, features of the latent."""

    kernel: int
    filters: int
    resample: bool
    features: int


SVHN = (
    Level(5, 64, True, 2),
    Level(3, 64, False, 1),
    Level(3, 96, True, 2),
    Level(3, 96, False, 1),
    Level(3, 128, True, 2),
    Level(3, 128, False, 1),
)
CELEBA = (
    Level(7, 64, True, 8),
    Level(5, 64, False, 6),
    Level(3, 64, False, 4),
    Level(3, 64, True, 8),
    Level(3, 96, False, 6),
    Level(3, 96, False, 4),
    Level(3, 96, True, 8),
    Level(3, 128, False, 6),
    Level(3, 128, False, 4),
    Level(3, 128, True, 8),
)


def stacked_svhn(shape: Shape, dim: int, outputs: int) -> Stack:
    """Fig. 10, top: six residual levels, 16×16×2 (512 latents) to 4×4×1 (16)."""
    check_shape("stacked_svhn", shape, (3, 32, 32))
    return residual_levels("stacked_svhn", shape, dim, outputs, SVHN)


def stacked_celeba(shape: Shape, dim: int, outputs: int) -> Stack:
    """Fig. 10, bottom: ten residual levels, 32×32×8 (8192 latents) to 4×4×8 (128)."""
    check_shape("stacked_celeba", shape, (3, 64, 64))
    return residual_levels("stacked_celeba", shape, dim, outputs, CELEBA)


def residual_levels(network: str, shape: Shape, dim: int, outputs: int, table: tuple[Level, ...]) -> Stack:
    """The levels of a table; ValueError where its top level has another number of latents than `dim`."""
    below, encoders, generators, dims = shape, list[nn.Module](), list[nn.Module](), list[int]()
    for level in table:
        size = below[1] // (2 if level.resample else 1)
        above = (level.features, size, size)
        encoders.append(flat(below, encoder_of(level, below, outputs), flat_in=bool(dims)))
        generators.append(flat(above, generator_of(level, above, below[0] * (outputs if dims else 1)), flat_out=bool(dims)))
        dims.append(math.prod(above))
        below = above
    if dim != dims[-1]:
        raise ValueError(f"network {network!r} has {dims[-1]} latents at its top level, not {dim}; set latent_dim = {dims[-1]}")
    return Levels(encoders, tuple(dims)), Levels(generators, tuple(dims))


def flat(shape: Shape, net: nn.Module, *, flat_in: bool = True, flat_out: bool = True) -> nn.Sequential:
    """A network between maps as one between flat codes: (B, 2F, H, W) flattens to means, then pre-variances."""
    return nn.Sequential(*[nn.Unflatten(1, shape)] * flat_in, net, *[nn.Flatten()] * flat_out)


def encoder_of(level: Level, below: Shape, outputs: int) -> nn.Module:
    """q_n: (B, *below) -> (B, outputs·features, H, W)"""
    channels, size, _ = below
    k, filters = level.kernel, level.filters
    wide, stride = (2 * filters, 2) if level.resample else (filters, 1)
    return Residual(
        nn.Sequential(
            *(same_conv(channels, filters, kernel=k, stride=1, size=size), nn.BatchNorm2d(filters), nn.ReLU()),
            *(same_conv(filters, filters, kernel=k, stride=1, size=size), nn.BatchNorm2d(filters), nn.ReLU()),
            same_conv(filters, wide, kernel=k, stride=stride, size=size),
        ),
        # an identity skip needs equal channel counts, which no level of the paper has (SPEC T20)
        nn.Identity() if (channels, stride) == (wide, 1) else same_conv(channels, wide, kernel=k, stride=stride, size=size),
        wide,
        same_conv(wide, outputs * level.features, kernel=k, stride=1, size=size // stride),
    )


def generator_of(level: Level, above: Shape, out: int) -> nn.Module:
    """p_n: (B, *above) -> (B, out, H, W), twice as high and wide where the encoder halves"""
    channels, size, _ = above
    k, filters = level.kernel, level.filters

    def resampling(channels: int) -> nn.Module:
        if level.resample:
            return SameTransposedConv(channels, filters // 2, kernel=k, stride=2)
        return same_conv(channels, filters, kernel=k, stride=1, size=size)

    wide, stride = (filters // 2, 2) if level.resample else (filters, 1)
    return Residual(
        nn.Sequential(
            *(same_conv(channels, filters, kernel=k, stride=1, size=size), nn.BatchNorm2d(filters), nn.ReLU()),
            *(same_conv(filters, filters, kernel=k, stride=1, size=size), nn.BatchNorm2d(filters), nn.ReLU()),
            resampling(filters),
        ),
        nn.Identity() if (channels, stride) == (wide, 1) else resampling(channels),
        wide,
        same_conv(wide, out, kernel=k, stride=1, size=size * stride),
    )


class Residual(nn.Module):
    """ "Residual network with 3 hidden convolutions" (Fig. 9): last(ReLU(BN(path(x) + skip(x))))."""

    capturable = True

    def __init__(self, path: nn.Module, skip: nn.Module, channels: int, last: nn.Module):
        super().__init__()
        self.path, self.skip, self.last = path, skip, last
        self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')"""
        return self.last(self.norm(self.path(x) + self.skip(x)))


NETWORKS = [stacked_mlp, stacked_mnist, stacked_svhn, stacked_celeba]
