# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False
"""log Σ_j w_j N(z; μ_j, diag σ_j²) and its gradients on CUDA, from differences; nothing of size N K in memory.

The equations are those of `metrics/kernels/log_mixture.py`. Samples come as (D, N), components as (D, K). No host synchronises.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.log_mixture import LOG_2PI
from metrics.kernels.triton_mmd import block_rows


@triton.jit
def squares(z, mean, rate, i, j, n, K, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Σ_k (z_ik - μ_jk)² / σ_jk² of a tile; rate is 1/σ."""
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for k in range(D):
        delta = tl.load(z + k * n + i, mask=i < n, other=0.0)[:, None] - tl.load(mean + k * K + j, mask=j < K, other=0.0)[None, :]
        apart = delta * tl.load(rate + k * K + j, mask=j < K, other=0.0)[None, :]
        total += apart * apart
    return total


@triton.jit
def density_kernel(z, mean, rate, constant, out, n, K, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """log q(z_i)."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    top = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for start in range(0, K, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        terms = tl.load(constant + j, mask=j < K, other=-float("inf"))[None, :]
        terms -= 0.5 * squares(z, mean, rate, i, j, n, K, D, ROWS, COLUMNS)
        new = tl.maximum(tl.maximum(top, tl.max(terms, 1)), -3e38)  # a weight may be 0
        total = total * tl.exp(top - new) + tl.sum(tl.exp(terms - new[:, None]), 1)
        top = new
    tl.store(out + i, top + tl.log(total), mask=i < n)


@triton.jit
def samples_kernel(
    z, mean, rate, constant, density, upstream, of_z, n, K, D, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DIMS: tl.constexpr
):
    """g_i Σ_j R_ij (μ_j - z_i) / σ_j², into (D, N)."""
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    dims = tl.arange(0, DIMS)
    level = tl.load(density + i, mask=i < n, other=0.0)[:, None]
    pulls = tl.zeros((ROWS, DIMS), tl.float32)
    for start in range(0, K, COLUMNS):
        j = start + tl.arange(0, COLUMNS)
        terms = tl.load(constant + j, mask=j < K, other=-float("inf"))[None, :]
        R = tl.exp(terms - 0.5 * squares(z, mean, rate, i, j, n, K, D, ROWS, COLUMNS) - level)
        for k in range(D):
            delta = tl.load(mean + k * K + j, mask=j < K, other=0.0)[None, :] - tl.load(z + k * n + i, mask=i < n, other=0.0)[:, None]
            per = tl.load(rate + k * K + j, mask=j < K, other=0.0)[None, :]
            pulls += tl.where(dims[None, :] == k, tl.sum(R * (delta * per * per), 1)[:, None], 0.0)
    pulls *= tl.load(upstream + i, mask=i < n, other=0.0)[:, None]
    tl.store(of_z + dims[None, :] * n + i[:, None], pulls, mask=(i < n)[:, None] & (dims < D)[None, :])


@triton.jit
def components_kernel(
    z, mean, rate, constant, density, upstream, of_mean, of_log_variance, of_weight, n, K, D,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    """Here columns are a program's own components, and it walks the samples. Into (D, K), (D, K), (K,)."""
    j = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    dims = tl.arange(0, DIMS)
    own = tl.load(constant + j, mask=j < K, other=-float("inf"))[None, :]
    to_mean = tl.zeros((DIMS, COLUMNS), tl.float32)
    to_log_variance = tl.zeros((DIMS, COLUMNS), tl.float32)
    to_weight = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, n, ROWS):
        i = start + tl.arange(0, ROWS)
        level = tl.load(density + i, mask=i < n, other=0.0)[:, None]
        R = tl.exp(own - 0.5 * squares(z, mean, rate, i, j, n, K, D, ROWS, COLUMNS) - level)
        R = tl.where((i < n)[:, None], R * tl.load(upstream + i, mask=i < n, other=0.0)[:, None], 0.0)
        to_weight += tl.sum(R, 0)
        for k in range(D):
            delta = tl.load(z + k * n + i, mask=i < n, other=0.0)[:, None] - tl.load(mean + k * K + j, mask=j < K, other=0.0)[None, :]
            per = tl.load(rate + k * K + j, mask=j < K, other=0.0)[None, :]
            apart = delta * per
            here = dims[:, None] == k
            to_mean += tl.where(here, tl.sum(R * apart * per, 0)[None, :], 0.0)
            to_log_variance += tl.where(here, 0.5 * tl.sum(R * (apart * apart - 1.0), 0)[None, :], 0.0)
    at, live = dims[:, None] * K + j[None, :], (dims < D)[:, None] & (j < K)[None, :]
    tl.store(of_mean + at, to_mean, mask=live)
    tl.store(of_log_variance + at, to_log_variance, mask=live)
    tl.store(of_weight + j, to_weight, mask=j < K)


class TritonLogMixture(torch.autograd.Function):
    """The second pass computes the terms anew; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor | None) -> Tensor:
        """(N, D), (K, D), (K, D), (K,) -> (N,)"""
        (n, d), K, rows = z.shape, len(mean), block_rows(len(z))
        constant = -0.5 * (log_variance.double() + LOG_2PI).sum(1)
        constant = constant - torch.full_like(constant, K).log() if log_weights is None else constant + log_weights.double()
        columns = [x.float().mT.contiguous() for x in (z, mean, (-0.5 * log_variance).exp())]
        density = torch.empty(n, device=z.device)
        density_kernel[(triton.cdiv(n, rows),)](*columns, constant.float(), density, n, K, d, ROWS=rows, COLUMNS=64)
        ctx.save_for_backward(*columns, constant.float(), density)
        ctx.dtypes = [x if x is None else x.dtype for x in (z, mean, log_variance, log_weights)]
        return density.to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (N, D), (K, D), (K, D), (K,)"""
        z, mean, *_ = saved = ctx.saved_tensors
        (d, n), K, g = z.shape, mean.shape[1], upstream.float().contiguous()
        rows, sizes = block_rows(n), {"DIMS": triton.next_power_of_2(d)}
        of_z, of_mean, of_log_variance, of_weights = torch.empty_like(z), torch.empty_like(mean), torch.empty_like(mean), z.new_empty(K)
        if ctx.needs_input_grad[0]:
            samples_kernel[(triton.cdiv(n, rows),)](*saved, g, of_z, n, K, d, ROWS=rows, COLUMNS=64, **sizes)
        if any(ctx.needs_input_grad[1:]):
            grid = (triton.cdiv(K, 16),)
            components_kernel[grid](*saved, g, of_mean, of_log_variance, of_weights, n, K, d, ROWS=64, COLUMNS=16, **sizes)
        gradients = zip((of_z.mT, of_mean.mT, of_log_variance.mT, of_weights), ctx.dtypes, ctx.needs_input_grad, strict=True)
        return tuple(gradient.to(dtype) if needed else None for gradient, dtype, needed in gradients)
