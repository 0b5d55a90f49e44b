"""MMD²_U and its gradients in one pass over tiles: Σ k(|a_i - b_j|²) and Σ_j k'(d²_ij) (a_i - b_j), nothing of size N M kept.

Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558, Algorithm 2; SPEC 1.3. In units of √C, with D = |a - b|² / C:

    IMQ   k = 1 / (1 + D),   -k' = k²        IMQ7   k = Σ_s s / (s + D),   -k' = Σ_s s / (s + D)²        RBF   k = -k' = exp(-D)

Sums are in float64. The product of k' with points, x_i Σ_j k' - Σ_j k' x_j, cancels: within a tile it is in the type of the tile, from
tile to tile in float64.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.tiles import Memory, accumulator, every, trusted, upper

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
Tile = Callable[[Tensor, Tensor, Tensor, Tensor, bool], None]


def imq_tile(k: Tensor, slope: Tensor, d2: Tensor, part: Tensor, sloped: bool) -> None:
    """1 + D in k becomes k; slope becomes -k'."""
    k.reciprocal_()
    if sloped:
        torch.mul(k, k, out=slope)


def imq7_tile(k: Tensor, slope: Tensor, d2: Tensor, part: Tensor, sloped: bool) -> None:
    """D in k."""
    d2.copy_(k)
    k.zero_()
    slope.zero_()
    for s in SCALES:
        torch.add(d2, s, out=part).reciprocal_()
        k.add_(part, alpha=s)
        if sloped:
            slope.addcmul_(part, part, value=s)


def rbf_tile(k: Tensor, slope: Tensor, d2: Tensor, part: Tensor, sloped: bool) -> None:
    """-D in k."""
    k.exp_()
    if sloped:
        slope.copy_(k)


@dataclass(frozen=True)
class Shape:
    """A kernel as a tile computes it, from offset + sign · D."""

    tile: Tile
    offset: float
    sign: int
    smallest: float = 1.0  # the D over which k changes


SHAPES = {
    "imq": Shape(imq_tile, 1.0, 1),
    "imq7": Shape(imq7_tile, 0.0, 1, SCALES[0]),
    "rbf": Shape(rbf_tile, 0.0, -1),
}


class Pairs:
    """A pass over pairs among the points of p and of q, one set after the other, in units of √C around the origin of all."""

    def __init__(self, points: Tensor, C: float, shape: Shape, precision: torch.dtype):
        self.x = points.double() / math.sqrt(C)  # as they are: beside one far point, centred ones would lose their differences
        x = self.x - self.x.mean(0)
        self.shape = shape
        squares, one = x.square().sum(1, keepdim=True), x.new_ones(len(x), 1)
        radius2 = float(squares.max())
        self.product = trusted(radius2, shape.smallest, torch.float64, precision)
        narrow = precision == torch.float32 and trusted(radius2, shape.smallest, torch.float32, precision)
        if self.product:
            self.x = x
        self.dtype = torch.float32 if narrow else torch.float64
        left = torch.cat([x, one, squares], 1)
        self.left = left.to(self.dtype)
        self.right = torch.cat([-2 * shape.sign * x, shape.sign * squares + shape.offset, shape.sign * one], 1).to(self.dtype).mT
        self.weighted = self.left[:, :-1]  # (N, D + 1): -k' times it is Σ_j -k' x_j and Σ_j -k'
        self.of_rows = torch.zeros_like(left[:, :-1])  # those sums, from tiles where the points are the rows
        self.of_columns = torch.zeros_like(left[:, :-1].mT)  # and where they are the columns
        self.pull = torch.zeros_like(x)  # Σ_j -k' (x_j - x_i), where no product is taken
        self.memory = Memory(self.dtype, x.device)

    def mean(self, a: slice, b: slice, weight: float, of_a: bool, of_b: bool) -> Tensor:
        """weight x the mean of k over the pairs of two sets, without i = j where they are one; its slopes.   -> () float64"""
        rows, same = a.stop - a.start, a == b
        pairs = rows * (rows - 1 if same else b.stop - b.start)
        total = self.x.new_zeros(())
        for I, J in upper(a) if same else every(a, b):
            times = 2 if same and I != J else 1  # (i, j) and (j, i) are both in a tile on the diagonal
            k, slope = self.tile(I, J, of_a or of_b)
            total.add_(k.sum(dtype=torch.float64), alpha=times)
            if slope is None:
                continue
            twice = (2 if same else 1) * weight / max(pairs, 1)  # among themselves, points move both arguments of k
            of_rows = of_a and not (same and I == J)
            if not self.product:
                self.pulls(I, J, slope, twice, of_rows, of_b)
                continue
            if of_b:
                self.of_columns[:, J].add_(self.weighted[I].mT @ slope, alpha=twice)
            if of_rows:
                self.of_rows[I].add_(slope @ self.weighted[J], alpha=twice)
        return weight * total / pairs

    def tile(self, I: slice, J: slice, sloped: bool) -> tuple[Tensor, Tensor | None]:
        """k and -k' of a tile; 0 for a point and itself."""
        k, slope, d2, part = self.memory.tile(I, J)[:4]
        if self.product:
            torch.mm(self.left[I], self.right[:, J], out=k)
        else:
            self.differences(I, J, k, part)
        self.shape.tile(k, slope, d2, part, sloped)
        if I == J:
            k.diagonal().zero_()
            slope.diagonal().zero_()
        return k, slope if sloped else None

    def differences(self, I: slice, J: slice, k: Tensor, part: Tensor) -> None:
        """offset + sign · D into k, one dimension after the other."""
        k.zero_()
        for of_a, of_b in zip(self.x[I].mT, self.x[J].mT, strict=True):
            torch.sub(of_a[:, None], of_b, out=part)
            k.addcmul_(part, part)
        k.mul_(self.shape.sign).add_(self.shape.offset)

    def pulls(self, I: slice, J: slice, slope: Tensor, twice: float, of_rows: bool, of_columns: bool) -> None:
        """What a tile adds to both sets' pulls, from the differences."""
        part = self.memory.tile(I, J)[3]
        for k, (of_a, of_b) in enumerate(zip(self.x[I].mT, self.x[J].mT, strict=True)):
            torch.sub(of_a[:, None], of_b, out=part).mul_(slope)
            if of_columns:
                self.pull[J, k].add_(part.sum(0), alpha=twice)
            if of_rows:
                self.pull[I, k].sub_(part.sum(1), alpha=twice)

    def gradient(self, C: float, a: slice) -> Tensor:
        """Σ_j 2 k' (x_i - x_j) / √C.   -> (N, D)"""
        sums = self.of_rows[a] + self.of_columns[:, a].mT
        return (self.pull[a] + sums[:, :-1] - self.x[a] * sums[:, -1:]).mul_(2 / math.sqrt(C))


def tiled_mmd(p: Tensor, q: Tensor, C: float, kernel: str, of_p: bool, of_q: bool) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """MMD²_U with the kernel of that name, and its gradients where they are wanted.   (N, D), (M, D) -> (), (N, D), (M, D)"""
    precision = accumulator(p, q)
    pairs = Pairs(torch.cat([p, q]), C, SHAPES[kernel], precision)
    a, b = slice(0, len(p)), slice(len(p), len(p) + len(q))
    value = pairs.mean(a, a, 1.0, of_p, of_p) + pairs.mean(b, b, 1.0, of_q, of_q) + pairs.mean(a, b, -2.0, of_p, of_q)
    to_p = pairs.gradient(C, a).to(p.dtype) if of_p else None
    to_q = pairs.gradient(C, b).to(q.dtype) if of_q else None
    return value.to(precision), to_p, to_q


class TiledMMD(torch.autograd.Function):
    """The gradients are formed with the value; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor, C: float, kernel: str) -> Tensor:
        """The unbiased MMD² of two groups of points.   (n, D), (m, D) -> ()"""
        value, of_p, of_q = tiled_mmd(p, q, C, kernel, *ctx.needs_input_grad[:2])
        ctx.save_for_backward(of_p, of_q)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (N, D), (M, D)"""
        of_p, of_q = ctx.saved_tensors
        return (*(None if gradient is None else upstream.to(gradient.dtype) * gradient for gradient in (of_p, of_q)), None, None)
