"""Convolutions with the "SAME" geometry of the papers' code, written out for PyTorch (SPEC 3, padding)."""

import math

from torch import Tensor, nn


def same_conv(channels: int, out: int, *, kernel: int, stride: int, size: int) -> nn.Sequential:
    """Convolution of a size×size map to ceil(size/stride), padded as TensorFlow's SAME does: the odd row goes after.

    (B, channels, size, size) -> (B, out, ceil(size/stride), ceil(size/stride))
    """
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    before, after = total // 2, total - total // 2
    return nn.Sequential(nn.ZeroPad2d((before, after, before, after)), nn.Conv2d(channels, out, kernel, stride))


class SameTransposedConv(nn.Module):
    """Transposed convolution to size·stride; kernel 4 at stride 1 makes one row and column too many, which are dropped.

    (B, channels, size, size) -> (B, out, size·stride, size·stride)
    """

    capturable = True

    def __init__(self, channels: int, out: int, *, kernel: int, stride: int):
        super().__init__()
        # an odd surplus goes before and comes back as output padding, which torch allows only at strides above 1
        padding = (kernel - stride + (stride > 1)) // 2
        missing = max(0, stride - (kernel - 2 * padding))
        self.conv = nn.ConvTranspose2d(channels, out, kernel, stride, padding=padding, output_padding=missing)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, out, H·stride, W·stride)"""
        height, width = x.shape[-2] * self.stride, x.shape[-1] * self.stride
        return self.conv(x)[..., :height, :width]


def check_shape(network: str, shape: tuple[int, int, int], wanted: tuple[int, int, int]) -> None:
    """ValueError where a network meets images it is not made for."""
    if shape != wanted:
        raise ValueError(f"network {network!r} takes {'×'.join(map(str, wanted))} images (C×H×W), not {'×'.join(map(str, shape))}")
