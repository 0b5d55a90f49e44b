# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False
"""MMD²_U and its gradients on CUDA: one program for each block of rows, differences as they are, nothing of size N M in memory.

The equations are those of `metrics/kernels/mmd.py`. Points come as (D, N), so that neighbours are read together. No host synchronises.
A program keeps the gradient of at most TILE dimensions in registers; where there are more, others take the rest, and each forms the
distances anew, so that no registers spill into memory. `python -m bench gpu-check --compile-only` shows both.
"""

import math
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.mmd import SCALES

FAMILIES = {"imq": (1.0,), "imq7": SCALES, "rbf": ()}  # the scales of an inverse multiquadratic kernel; none: Gaussian
TILE = 32  # dimensions of a program's gradient
COLUMNS = 64  # points that a block of rows meets at a time
MANY = 2048  # points from which there are enough blocks of 64 rows for a device


def block_rows(n: int) -> int:
    """Rows of a block: few, where there are few points."""
    return 64 if n >= MANY else 16


@triton.jit
def pairs_kernel(
    x, y, scales, sums, slopes, n, m, D,
    COUNT: tl.constexpr, SAME: tl.constexpr, SLOPED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    """Σ_ij k into sums, one for each block, and Σ_j -k'(D_ij) (x_i - y_j) into slopes (D, N); D = |x_i - y_j|².

    The grid is blocks of rows by tiles of DIMS dimensions of the slopes.
    """
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * DIMS
    dims = first + tl.arange(0, DIMS)
    total = tl.zeros((ROWS,), tl.float64)
    pulls = tl.zeros((ROWS, DIMS), tl.float32)
    for start in range(0, m, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        d2 = tl.zeros((ROWS, COLUMNS), tl.float32)
        for k in range(D):
            apart = tl.load(x + k * n + i, mask=i < n, other=0.0)[:, None] - tl.load(y + k * m + j, mask=j < m, other=0.0)[None, :]
            d2 += apart * apart
        live = (i < n)[:, None] & (j < m)[None, :]
        if SAME:
            live = live & (i[:, None] != j[None, :])
        if COUNT == 0:
            similar = tl.exp(-d2)
            slope = similar
        else:
            similar = tl.zeros((ROWS, COLUMNS), tl.float32)
            slope = tl.zeros((ROWS, COLUMNS), tl.float32)
            for one in range(COUNT):
                scale = tl.load(scales + one)
                r = 1.0 / (scale + d2)
                similar += scale * r
                slope += scale * r * r
        total += tl.sum(tl.where(live, similar, 0.0), 1).to(tl.float64)
        if SLOPED:
            slope = tl.where(live, slope, 0.0)
            for k in range(first, tl.minimum(first + DIMS, D)):
                apart = tl.load(x + k * n + i, mask=i < n, other=0.0)[:, None] - tl.load(y + k * m + j, mask=j < m, other=0.0)[None, :]
                pulls += tl.where(dims[None, :] == k, tl.sum(slope * apart, 1)[:, None], 0.0)
    tl.store(sums + tl.program_id(0), tl.sum(total, 0), mask=first == 0)  # every tile has the same
    if SLOPED:
        tl.store(slopes + dims[None, :] * n + i[:, None], pulls, mask=(i < n)[:, None] & (dims < D)[None, :])


def tile_of(d: int) -> int:
    """DIMS of a program whose gradient has d dimensions, or its share of them."""
    return min(triton.next_power_of_2(d), TILE)


@cache
def scales_of(kernel: str, device: torch.device) -> Tensor:
    """Copied to the device once: a copy is not allowed while a graph is captured."""
    return torch.tensor(FAMILIES[kernel] or (1.0,), device=device)


def pairs(x: Tensor, y: Tensor, kernel: str, same: bool, sloped: bool) -> tuple[Tensor, Tensor]:
    """Σ k, float64, and Σ_j -k' (x_i - y_j).   (D, N), (D, M) in units of √C -> (), (D, N)"""
    (d, n), m, rows = x.shape, y.shape[1], block_rows(x.shape[1])
    blocks = triton.cdiv(n, rows)
    sums = torch.empty(blocks, dtype=torch.float64, device=x.device)
    slopes = torch.empty_like(x) if sloped else x
    scales = scales_of(kernel, x.device)
    dims = tile_of(d)
    pairs_kernel[(blocks, triton.cdiv(d, dims) if sloped else 1)](
        x, y, scales, sums, slopes, n, m, d,
        COUNT=len(FAMILIES[kernel]), SAME=same, SLOPED=sloped, ROWS=rows, COLUMNS=COLUMNS, DIMS=dims,
    )  # fmt: skip
    return sums.sum(), slopes


class TritonMMD(torch.autograd.Function):
    """The gradients are formed with the value; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor, C: float, kernel: str) -> Tensor:
        """(N, D), (M, D) -> ()"""
        n, m, unit = len(p), len(q), 1 / math.sqrt(C)
        a, b = ((x.float() * unit).mT.contiguous() for x in (p, q))
        of_p, of_q = ctx.needs_input_grad[:2]
        pp, p_from_p = pairs(a, a, kernel, True, of_p)
        qq, q_from_q = pairs(b, b, kernel, True, of_q)
        pq, q_from_p = pairs(b, a, kernel, False, of_q)
        within_p, within_q, across = (1 / (count or math.nan) for count in (n * (n - 1), m * (m - 1), n * m))
        to_p = to_q = None
        if of_p:
            p_from_q = pairs(a, b, kernel, False, True)[1]
            to_p = (4 * unit * (across * p_from_q - within_p * p_from_p)).mT.to(p.dtype)
        if of_q:
            to_q = (4 * unit * (across * q_from_p - within_q * q_from_q)).mT.to(q.dtype)
        ctx.save_for_backward(to_p, to_q)
        return (within_p * pp + within_q * qq - 2 * across * pq).float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (N, D), (M, D)"""
        return (*(None if gradient is None else upstream.to(gradient.dtype) * gradient for gradient in ctx.saved_tensors), None, None)
