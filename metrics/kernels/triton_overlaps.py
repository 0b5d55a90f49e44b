# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False
"""KL_UB of a batch's mixture and its gradients on CUDA, by logarithms of variances; nothing of size M M in memory.

The equations are those of `metrics/kernels/overlaps.py`. Means and log σ² come as (D, M). No host synchronises. Gradients of more than
a tile of dimensions are formed by several programs, as in `metrics/kernels/triton_mmd.py`.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.triton_mmd import COLUMNS, block_rows, tile_of


@triton.jit
def pair(mean, log_variance, i, j, k, m):
    """δ/√s, at most 1e15, log s and log σ_i² of a tile's pairs in dimension k."""
    a = tl.load(log_variance + k * m + i, mask=i < m, other=0.0)[:, None]
    b = tl.load(log_variance + k * m + j, mask=j < m, other=0.0)[None, :]
    both = tl.maximum(a, b) + tl.log(1.0 + tl.exp(-tl.abs(a - b)))
    delta = tl.load(mean + k * m + i, mask=i < m, other=0.0)[:, None] - tl.load(mean + k * m + j, mask=j < m, other=0.0)[None, :]
    return tl.minimum(tl.maximum(delta * tl.exp(-0.5 * both), -1e15), 1e15), both, a


@triton.jit
def log_overlaps(mean, log_variance, i, j, m, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """L of a tile, without -½ D log 2π; -∞ where there is no column."""
    minus_twice = tl.zeros((ROWS, COLUMNS), tl.float32)
    for k in range(D):
        apart, both, _ = pair(mean, log_variance, i, j, k, m)
        minus_twice += apart * apart + both
    return tl.where((j < m)[None, :], -0.5 * minus_twice, -float("inf"))


@triton.jit
def mixture_kernel(mean, log_variance, out, m, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """log Σ_j exp L_ij, without the constant."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    top = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, m, COLUMNS):
        L = log_overlaps(mean, log_variance, i, start + tl.arange(0, COLUMNS), m, D, ROWS, COLUMNS)
        new = tl.maximum(top, tl.max(L, 1))
        total = total * tl.exp(top - new) + tl.sum(tl.exp(L - new[:, None]), 1)
        top = new
    tl.store(out + i, top + tl.log(total), mask=i < m)


@triton.jit
def gradient_kernel(
    mean, log_variance, log_mixtures, of_mean, of_log_variance, m, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DIMS: tl.constexpr
):
    """Of Σ_i log Σ_j exp L_ij, into (D, M). The grid is blocks of rows by tiles of DIMS dimensions."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first = tl.program_id(1) * DIMS
    dims = first + tl.arange(0, DIMS)
    mine = tl.load(log_mixtures + i, mask=i < m, other=0.0)[:, None]
    to_mean = tl.zeros((ROWS, DIMS), tl.float32)
    to_log_variance = tl.zeros((ROWS, DIMS), tl.float32)
    for start in range(0, m, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        L = log_overlaps(mean, log_variance, i, j, m, D, ROWS, COLUMNS)
        Q = tl.exp(L - mine) + tl.exp(L - tl.load(log_mixtures + j, mask=j < m, other=0.0)[None, :])
        Q = tl.where((i < m)[:, None] & (j < m)[None, :], Q, 0.0)
        for k in range(first, tl.minimum(first + DIMS, D)):
            apart, both, own = pair(mean, log_variance, i, j, k, m)
            here = dims[None, :] == k
            to_mean += tl.where(here, -tl.sum(Q * apart * tl.exp(-0.5 * both), 1)[:, None], 0.0)
            to_log_variance += tl.where(here, 0.5 * tl.sum(Q * (apart * apart - 1.0) * tl.exp(own - both), 1)[:, None], 0.0)
    at, live = dims[None, :] * m + i[:, None], (i < m)[:, None] & (dims < D)[None, :]
    tl.store(of_mean + at, to_mean, mask=live)
    tl.store(of_log_variance + at, to_log_variance, mask=live)


class TritonBound(torch.autograd.Function):
    """The gradients are formed with the value; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_variance: Tensor) -> Tensor:
        """(M, D), (M, D) -> ()"""
        (m, d), rows = mean.shape, block_rows(len(mean))
        mu, lv = (x.float().mT.contiguous() for x in (mean, log_variance))
        log_mixtures, grid = torch.empty(m, device=mean.device), (triton.cdiv(m, rows),)
        mixture_kernel[grid](mu, lv, log_mixtures, m, d, ROWS=rows, COLUMNS=COLUMNS)
        wide, variance = mean.double(), log_variance.double().exp()
        cross_entropy = 0.5 * (wide.square().sum() + variance.sum()) / m
        value = log_mixtures.double().mean() - math.log(m) + cross_entropy  # the two D/2 log 2π cancel
        if any(ctx.needs_input_grad):
            of_mean, of_log_variance = torch.empty_like(mu), torch.empty_like(lv)
            dims = tile_of(d)
            gradient_kernel[(*grid, triton.cdiv(d, dims))](
                mu, lv, log_mixtures, of_mean, of_log_variance, m, d, ROWS=rows, COLUMNS=COLUMNS, DIMS=dims
            )
            gradients = (of_mean.mT + wide) / m, (of_log_variance.mT + 0.5 * variance) / m
            ctx.save_for_backward(*(gradient.to(x.dtype) for gradient, x in zip(gradients, (mean, log_variance), strict=True)))
        return value.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (M, D), (M, D)"""
        return tuple(upstream.to(gradient.dtype) * gradient for gradient in ctx.saved_tensors)
