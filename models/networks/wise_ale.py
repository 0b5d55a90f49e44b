"""Networks of the WiSE-ALE paper (arXiv:1902.06160, appendix D; SPEC 3.4), with what its printed tables need to work.

D.1's last layer is printed with 16 filters and a ReLU although a signal of 256 values, half of them negative, is to come out of
it: it has one filter and no activation here. D.2's encoder is lost: it is the mirror of its decoder here. D.3's last layer is
printed with one filter although three colours come out of it: it has three here.
"""

from torch import nn

from models.networks.layers import check_shape, same_conv
from models.networks.mlp import layers
from models.networks.network import Pair
from models.networks.wae import conv_decoder


def wise_ale_sine(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """D.1: signals of 256 values through five stride-2 convolutions to 8×64; back from 1×16 by four of stride 4.

    (B, 1, 1, 256) -> (B, outputs·d); (B, d) -> (B, 1, 1, 256)
    """
    check_shape("wise_ale_sine", shape, (1, 1, 256))
    encoder = nn.Sequential(
        nn.Flatten(2),
        *halving(1, 16, kernel=16),
        *halving(16, 16, kernel=16),
        *halving(16, 32, kernel=16),
        *halving(32, 32, kernel=16),
        *halving(32, 64, kernel=8),
        *(nn.Flatten(), nn.Linear(8 * 64, 64), nn.Linear(64, outputs * dim)),  # no activation between them is printed
    )
    decoder = nn.Sequential(
        *(nn.Linear(dim, 16), nn.ReLU(), nn.Unflatten(1, (16, 1))),
        *(nn.Conv1d(16, 128, 1), nn.ReLU()),
        *(times_four(128, 64, kernel=8), nn.ReLU()),
        *(times_four(64, 32, kernel=16), nn.ReLU()),
        *(times_four(32, 16, kernel=16), nn.ReLU()),
        *(times_four(16, 1, kernel=16), nn.Unflatten(1, (1, 1))),
    )
    return encoder, decoder


def wise_ale_mnist(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """D.2: 784 -> 128 -> 16 -> outputs·d and its mirror, ReLU.   (B, 1, 28, 28) -> (B, outputs·d); (B, d) -> (B, 1, 28, 28)"""
    check_shape("wise_ale_mnist", shape, (1, 28, 28))
    encoder = nn.Sequential(nn.Flatten(), *layers([784, 128, 16, outputs * dim]))
    decoder = nn.Sequential(*layers([dim, 16, 128, 784]), nn.Unflatten(1, shape))
    return encoder, decoder


def wise_ale_celeba(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """D.3: WAE's network for faces without batch norm in the encoder.

    The encoder starts as PyTorch starts it: behind no batch norm, WAE's weights of 0.01 would shrink the signal layer by layer.

    (B, 3, 64, 64) -> (B, outputs·d); (B, d) -> (B, 3, 64, 64)
    """
    check_shape("wise_ale_celeba", shape, (3, 64, 64))
    sizes = ((3, 128, 64), (128, 256, 32), (256, 512, 16), (512, 1024, 8))  # channels, out, size
    blocks = [layer for a, b, size in sizes for layer in (same_conv(a, b, kernel=5, stride=2, size=size), nn.ReLU())]
    encoder = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(4 * 4 * 1024, outputs * dim))
    return encoder, conv_decoder(dim, size=8, channels=(1024, 512, 256, 128), kernel=5, out=3)


def halving(channels: int, out: int, *, kernel: int) -> list[nn.Module]:
    """Convolution of stride 2 with SAME padding and ReLU.   (B, channels, L) -> (B, out, L/2), L even"""
    return [nn.Conv1d(channels, out, kernel, stride=2, padding=(kernel - 2) // 2), nn.ReLU()]


def times_four(channels: int, out: int, *, kernel: int) -> nn.ConvTranspose1d:
    """Transposed convolution of stride 4.   (B, channels, L) -> (B, out, 4 L)"""
    return nn.ConvTranspose1d(channels, out, kernel, stride=4, padding=(kernel - 4) // 2)


NETWORKS = [wise_ale_sine, wise_ale_mnist, wise_ale_celeba]
