"""Networks of the WAE and VCAE papers (arXiv:1711.01558, section 4 and its code; VCAE Table 4; SPEC 3.1, 3.2)."""

from itertools import pairwise

from torch import nn

from models.networks.layers import SameTransposedConv, check_shape, same_conv
from models.networks.network import Pair

INIT_STD = 0.01


def wae_mnist(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """SPEC 3.1: 28×28×1 through four stride-2 convolutions to 2×2×1024; back from 7×7×1024 (SPEC T9: not a mirror).

    (B, 1, 28, 28) -> (B, outputs·d); (B, d) -> (B, 1, 28, 28)
    """
    check_shape("wae_mnist", shape, (1, 28, 28))
    encoder = conv_encoder(1, size=28, channels=(128, 256, 512, 1024), kernel=4, features=outputs * dim)
    decoder = conv_decoder(dim, size=7, channels=(1024, 512, 256), kernel=4, out=1)
    return encoder, decoder


def wae_celeba(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """SPEC 3.2: 64×64×3 through four stride-2 convolutions to 4×4×1024; back from 8×8×1024.

    (B, 3, 64, 64) -> (B, outputs·d); (B, d) -> (B, 3, 64, 64)
    """
    check_shape("wae_celeba", shape, (3, 64, 64))
    encoder = conv_encoder(3, size=64, channels=(128, 256, 512, 1024), kernel=5, features=outputs * dim)
    decoder = conv_decoder(dim, size=8, channels=(1024, 512, 256, 128), kernel=5, out=3)
    return encoder, decoder


def conv_encoder(colours: int, *, size: int, channels: tuple[int, ...], kernel: int, features: int) -> nn.Sequential:
    """Stride-2 convolutions with batch norm and ReLU, then one dense layer.   (B, colours, size, size) -> (B, features)"""
    blocks: list[nn.Module] = []
    for before, after in zip((colours, *channels), channels, strict=False):
        blocks += [same_conv(before, after, kernel=kernel, stride=2, size=size), nn.BatchNorm2d(after), nn.ReLU()]
        size = (size + 1) // 2
    return initialised(nn.Sequential(*blocks, nn.Flatten(), nn.Linear(size * size * channels[-1], features)))


def conv_decoder(dim: int, *, size: int, channels: tuple[int, ...], kernel: int, out: int) -> nn.Sequential:
    """One dense layer with ReLU, stride-2 transposed convolutions with batch norm and ReLU, one of stride 1.

    (B, dim) -> (B, out, size·2^m, size·2^m), raw
    """
    first = channels[0]
    blocks: list[nn.Module] = [nn.Linear(dim, size * size * first), nn.ReLU(), nn.Unflatten(1, (first, size, size))]
    for before, after in pairwise(channels):
        blocks += [SameTransposedConv(before, after, kernel=kernel, stride=2), nn.BatchNorm2d(after), nn.ReLU()]
    return initialised(nn.Sequential(*blocks, SameTransposedConv(channels[-1], out, kernel=kernel, stride=1)))


def initialised(net: nn.Sequential) -> nn.Sequential:
    """Weights normal (convolutions truncated at two deviations) with std 0.01, biases 0, as in WAE's code (SPEC 3.2)."""
    for module in net.modules():
        match module:
            case nn.Conv2d() | nn.ConvTranspose2d():
                nn.init.trunc_normal_(module.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD)
            case nn.Linear():
                nn.init.normal_(module.weight, std=INIT_STD)
            case _:
                continue
        assert module.bias is not None
        nn.init.zeros_(module.bias)
    return net


NETWORKS = [wae_mnist, wae_celeba]
