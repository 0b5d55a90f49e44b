"""Convolutions of 3×3 and 5×5 with fewer products than one for each tap, for feature networks on a CPU.

Winograd's algorithm (Lavin and Gray, arXiv:1509.09308, section 4): tiles of 6×6 numbers are transformed, multiplied with transformed
weights and transformed back, 4 or 2.8 times fewer products. Equal to the convolution of finite numbers but for rounding, relative
errors of some 1e-6; one that is not finite spoils its whole tile. The work is done in C, as an operation that `torch.compile` leaves alone.
"""

import torch
from torch import Tensor, nn

from metrics.kernels import native

POINTS = (0, 1, -1, 2, -2)  # and infinity
SCALES = (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24)
TAPS = (3, 5)
COLUMNS, LANES = 32, 16  # channels of the result, and of the image, come in multiples of these

OPERATIONS = torch.library.Library("latentbench", "DEF")
OPERATIONS.define("winograd(Tensor x, Tensor weights, Tensor bias, int taps, int padding) -> Tensor")


def empty(x: Tensor, weights: Tensor, bias: Tensor, taps: int, padding: int) -> Tensor:
    """For the result.   (N, C, H, W) -> (N, K, H', W'), channels last"""
    n, _, h, w = x.shape
    more = 2 * padding - taps + 1
    shape = (n, len(bias), h + more, w + more)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def convolution(x: Tensor, weights: Tensor, bias: Tensor, taps: int, padding: int) -> Tensor:
    """With the weights of `packed`.   (N, C, H, W), (36, K/32, C, 32), (K,) float32 -> (N, K, H', W'), channels last"""
    n, c, h, w = x.shape
    parts = (x, weights, bias)
    if any(part.dtype is not torch.float32 for part in parts) or not (weights.is_contiguous() and bias.is_contiguous()):
        raise ValueError(f"images, weights and bias must be float32 and contiguous, not {', '.join(str(part.dtype) for part in parts)}")
    if weights.shape != (36, len(bias) / COLUMNS, c, COLUMNS) or c % LANES or taps not in TAPS:
        raise ValueError(f"{c} channels, {len(bias)} offsets and {taps} taps do not go with weights of {tuple(weights.shape)}")
    x = x.contiguous(memory_format=torch.channels_last)
    out = empty(x, weights, bias, taps, padding)
    native.call("winograd", x, weights, bias, n, h, w, c, len(bias), taps, padding, torch.get_num_threads(), out)
    return out


OPERATIONS.impl("winograd", convolution, "CPU")
OPERATIONS.impl("winograd", empty, "Meta")


def packed(weight: Tensor) -> Tensor:
    """G w Gᵀ, as C reads it.   (K, C, R, R) -> (36, K/32, C, 32) float32"""
    k, c, _, taps = weight.shape
    powers = torch.tensor(POINTS, dtype=torch.float64)[:, None] ** torch.arange(taps)
    last = torch.eye(taps, dtype=torch.float64)[-1:]
    G = torch.cat([torch.tensor(SCALES, dtype=torch.float64)[:, None] * powers, last])
    found = torch.einsum("ai,bj,kcij->abck", G, G, weight.double()).reshape(-1, c, k // COLUMNS, COLUMNS)
    return found.transpose(1, 2).float().contiguous()


class Winograd(nn.Module):
    """A convolution that `fits`; ValueError for another. It has no gradient."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        if not fits(conv):
            raise ValueError(
                f"only float32 convolutions of a CPU, of stride 1, {LANES} C to {COLUMNS} K channels and {TAPS} taps, not {conv}"
            )
        self.taps, self.padding = conv.kernel_size[0], conv.padding[0]
        bias = conv.weight.new_zeros(len(conv.weight)) if conv.bias is None else conv.bias.detach()
        self.register_buffer("weights", packed(conv.weight.detach()))
        self.register_buffer("bias", bias.clone())

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 -> (N, K, H', W') float32"""
        return torch.ops.latentbench.winograd(x, self.weights, self.bias, self.taps, self.padding)


def fits(conv: nn.Conv2d) -> bool:
    """Whether it is a convolution that `Winograd` computes, and faster."""
    return (
        conv.kernel_size in [(taps, taps) for taps in TAPS]
        and conv.stride == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and isinstance(conv.padding, tuple)
        and conv.padding[0] == conv.padding[1]
        and conv.in_channels % LANES == 0 == conv.out_channels % COLUMNS
        and conv.weight.dtype is torch.float32
        and conv.weight.is_cpu
    )


def with_fewer_products(net: nn.Module) -> nn.Module:
    """All of its convolutions that fit, replaced, where there is a C compiler."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and fits(child) and native.library():
                setattr(module, name, Winograd(child))
    return net
