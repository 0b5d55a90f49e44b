"""Networks of LaDDer's code for MNIST, Fashion-MNIST and CelebA 128×128 (arXiv:2009.00088; SPEC 3.5).

Leaky ReLU 0.2 throughout, weights Glorot-uniform, biases 0. The decoders' last activation (ReLU for the small images, none for
faces) is the cost's `output`.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.networks.layers import check_shape, same_conv
from models.networks.network import Pair

SLOPE = 0.2
FACE = 512  # width of the style network


def ladder_mnist(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """28×28×1 padded to 32, through three stride-2 convolutions to 4×4×256; back by depth-to-space.

    (B, 1, 28, 28) -> (B, outputs·d); (B, d) -> (B, 1, 28, 28)
    """
    check_shape("ladder_mnist", shape, (1, 28, 28))
    encoder = nn.Sequential(
        *(Mirror(28, 2), *conv(1, 16, 32, stride=2), *conv(16, 64, 16, stride=2), *conv(64, 256, 8, stride=2)),
        *(nn.Flatten(), nn.Linear(4096, 64), nn.LeakyReLU(SLOPE), nn.Linear(64, outputs * dim)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(dim, 4096), nn.LeakyReLU(SLOPE), nn.Unflatten(1, (4096, 1, 1)), nn.PixelShuffle(4)),
        *(*conv(256, 256, 4), nn.PixelShuffle(2), *conv(64, 64, 8), nn.PixelShuffle(2), *conv(16, 16, 16), nn.PixelShuffle(2)),
        nn.Conv2d(4, 1, 5),
    )
    return glorot(encoder), glorot(decoder)


def ladder_fashion(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """28×28×1 padded to 32, through four convolutions to 2×2×128; back from 1×1×256 by depth-to-space.

    (B, 1, 28, 28) -> (B, outputs·d); (B, d) -> (B, 1, 28, 28)
    """
    check_shape("ladder_fashion", shape, (1, 28, 28))
    encoder = nn.Sequential(
        *(Mirror(28, 2), *conv(1, 64, 32, stride=2), *conv(64, 64, 16, stride=2), *conv(64, 128, 8, stride=2)),
        *(nn.Conv2d(128, 128, 3), nn.LeakyReLU(SLOPE), nn.Flatten()),
        *(nn.Linear(512, 256), nn.LeakyReLU(SLOPE), nn.Linear(256, outputs * dim)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(dim, 256), nn.LeakyReLU(SLOPE), nn.Unflatten(1, (256, 1, 1)), nn.PixelShuffle(2)),
        *(nn.Conv2d(64, 256, 1), nn.LeakyReLU(SLOPE), nn.PixelShuffle(2)),
        *(layer for size in (4, 8, 16) for layer in (*conv(64, 256, size), nn.PixelShuffle(2))),
        nn.Conv2d(64, 1, 5),
    )
    return glorot(encoder), glorot(decoder)


def ladder_celeba(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """128×128×3 through six convolutions with batch norm to 2×2×512; a style-modulated decoder.

    (B, 3, 128, 128) -> (B, outputs·d); (B, d) -> (B, 3, 128, 128)
    """
    check_shape("ladder_celeba", shape, (3, 128, 128))
    return glorot(face_encoder(outputs * dim, running=True)), glorot(StyleDecoder(dim))


def ladder_celeba_code(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """`ladder_celeba` whose batch norm never leaves batch statistics, as in the code; a flaw (SPEC T35)."""
    check_shape("ladder_celeba_code", shape, (3, 128, 128))
    return glorot(face_encoder(outputs * dim, running=False)), glorot(StyleDecoder(dim))


def face_encoder(features: int, *, running: bool) -> nn.Sequential:
    """Convolutions with batch norm and leaky ReLU.   (B, 3, 128, 128) -> (B, features)"""
    channels, blocks = (3, 128, 128, 256, 256, 512), list[nn.Module]()
    for level, (a, b) in enumerate(pairwise(channels)):
        blocks += [same_conv(a, b, kernel=3, stride=2, size=128 >> level), *normed(b, running=running)]
    blocks += [nn.Conv2d(512, 512, 3), *normed(512, running=running)]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(2048, features))


def normed(channels: int, *, running: bool) -> list[nn.Module]:
    """Batch norm and leaky ReLU."""
    return [nn.BatchNorm2d(channels, track_running_stats=running), nn.LeakyReLU(SLOPE)]


class StyleDecoder(nn.Module):
    """e of the code, and eight layers more, the style; e becomes an image that the style modulates at four places."""

    capturable = True

    def __init__(self, dim: int):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(dim, FACE), nn.LeakyReLU(SLOPE))
        self.style = nn.Sequential(*(layer for _ in range(8) for layer in (nn.Linear(FACE, FACE), nn.LeakyReLU(SLOPE))))
        self.first = nn.Sequential(nn.Unflatten(1, (FACE, 1, 1)), nn.Conv2d(FACE, FACE, 1), upsample(2))
        self.styled = nn.ModuleList(StyledConv(a, b) for a, b in ((512, 512), (512, 512), (512, 256), (256, 128)))
        self.after = nn.ModuleList(
            (
                nn.Identity(),  # 2×2
                nn.Sequential(upsample(4), *conv(512, 512, 8), upsample(2)),  # 16×16
                nn.Sequential(upsample(2), *conv(256, 256, 32), upsample(2)),  # 64×64
                nn.Sequential(upsample(2), *conv(128, 128, 128)),  # 128×128
            )
        )
        self.last = nn.Conv2d(128, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        """(B, d) -> (B, 3, 128, 128)"""
        e = self.embed(z)
        style, x = self.style(e), self.first(e)
        for styled, after in zip(self.styled, self.after, strict=True):
            x = after(styled(x, style))
        y: Tensor = self.last(x)
        return y


class StyledConv(nn.Module):
    """Convolution, instance norm, then x (1 + scale) + shift per channel with both from the style, leaky ReLU."""

    capturable = True

    def __init__(self, channels: int, out: int):
        super().__init__()
        self.conv, self.norm, self.modulation = nn.Conv2d(channels, out, 3, padding=1), nn.InstanceNorm2d(out), nn.Linear(FACE, 2 * out)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(B, channels, H, W), (B, 512) -> (B, out, H, W)"""
        scale, shift = self.modulation(style)[..., None, None].chunk(2, dim=1)
        return nn.functional.leaky_relu(self.norm(self.conv(x)) * (1 + scale) + shift, SLOPE)


class Mirror(nn.Module):
    """Padding by the mirrored border, the outermost row included.   (B, C, size, size) -> (B, C, size + 2 by, size + 2 by)"""

    capturable = True

    order: Tensor

    def __init__(self, size: int, by: int):
        super().__init__()
        inside = list(range(size))
        order = [*reversed(inside[:by]), *inside, *reversed(inside[-by:])]
        self.register_buffer("order", torch.tensor(order), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """See above."""
        return x[:, :, self.order][..., self.order]


def conv(channels: int, out: int, size: int, *, stride: int = 1) -> list[nn.Module]:
    """3×3 convolution with SAME padding and leaky ReLU.   (B, channels, size, size) -> (B, out, size/stride, size/stride)"""
    return [same_conv(channels, out, kernel=3, stride=stride, size=size), nn.LeakyReLU(SLOPE)]


def upsample(factor: int) -> nn.Upsample:
    """Bilinear."""
    return nn.Upsample(scale_factor=factor, mode="bilinear")


def leaky_layers(sizes: list[int]) -> list[nn.Module]:
    """Linear layers with leaky ReLU between them."""
    pairs = list(pairwise(sizes))
    hidden = [layer for a, b in pairs[:-1] for layer in (nn.Linear(a, b), nn.LeakyReLU(SLOPE))]
    return [*hidden, nn.Linear(*pairs[-1])]


def glorot(net: nn.Module) -> nn.Module:
    """Weights uniform as by Glorot & Bengio, biases 0."""
    for module in net.modules():
        match module:
            case nn.Conv2d() | nn.Linear():
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
    return net


NETWORKS = [ladder_mnist, ladder_fashion, ladder_celeba, ladder_celeba_code]
