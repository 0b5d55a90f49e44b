"""log Σ_j w_j N(z; μ_j, diag σ_j²) at the size of a data set, and its gradients: tiles of samples and components, a running sum.

Each logarithm is one row times one column of a product,  [z², z, 1] · [-1/2σ², μ/σ², log w - ½ Σ_k (μ²/σ² + log 2πσ²)].  In float32 it
errs by 0.2 nats where σ is 0.01; in float64 by 1e-9. Components too narrow for that too are taken dimension by dimension.
With R_ij = w_j N_j(z_i) / Σ_j w_j N_j(z_i) and g_i the loss's derivative by the i-th logarithm, the second pass forms

    ∂z_i = g_i Σ_j R_ij (μ_j - z_i) / σ_j²,    ∂μ_j = Σ_i g_i R_ij (z_i - μ_j) / σ_j²,
    ∂log σ_j² = ½ Σ_i g_i R_ij ((z_i - μ_j)² / σ_j² - 1),    ∂log w_j = Σ_i g_i R_ij
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.tiles import Memory, spans

SAMPLES, COMPONENTS = 256, 1024  # of a tile
LOST_NATS = {torch.float32: 1e-5, torch.float64: 1e-9}  # at most, by the product
LOG_2PI = math.log(2 * math.pi)


class Some(NamedTuple):
    """Components of one tile, in float64 around the samples' origin."""

    where: slice
    mean: Tensor  # (J, D)
    precision: Tensor  # (J, D)
    log_scale: Tensor  # (J,) log w - ½ Σ_k log 2πσ²
    factor: Tensor | None  # (J, 2D + 1), the columns of the product; None: too narrow for it


class Tiles:
    """Samples, and components as they come: of these only one tile is kept in float64."""

    def __init__(self, z: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor | None):
        self.mean, self.log_variance, self.log_weights = mean, log_variance, log_weights
        self.exact = z.dtype == torch.float64
        self.lost = LOST_NATS.get(z.dtype, LOST_NATS[torch.float32])
        self.origin = mean.mean(0, dtype=torch.float64)
        self.z = z.double() - self.origin
        self.left = torch.cat([self.z.square(), self.z, self.z.new_ones(len(z), 1)], 1)
        self.radius2 = float(self.z.square().sum(1).max())
        self.memory = Memory(torch.float64, z.device)

    def components(self) -> Iterator[Some]:
        """Tile after tile."""
        for J in spans(slice(0, len(self.mean)), COMPONENTS):
            mean, log_variance = self.mean[J].double() - self.origin, self.log_variance[J].double()
            precision = (-log_variance).exp()
            log_scale = -0.5 * (log_variance + LOG_2PI).sum(1)
            log_scale += -math.log(len(self.mean)) if self.log_weights is None else self.log_weights[J].double()
            largest = max(self.radius2, float(mean.square().sum(1).max())) * float(precision.max())
            factor = None
            if 4 * largest * torch.finfo(torch.float64).eps <= self.lost:
                scaled = mean * precision
                constant = (log_scale - 0.5 * (scaled * mean).sum(1))[:, None]
                factor = torch.cat([-0.5 * precision, scaled, constant], 1)
            yield Some(J, mean, precision, log_scale, factor)

    def samples(self) -> Iterator[slice]:
        """Tile after tile."""
        return spans(slice(0, len(self.z)), SAMPLES)

    def log_terms(self, I: slice, some: Some) -> Tensor:
        """log w_j N_j(z_i), in memory that the next tile overwrites.   -> (samples, components) float64"""
        terms, delta, _, _, _ = self.memory.tile(I, some.where)
        if some.factor is not None:
            return torch.mm(self.left[I], some.factor.mT, out=terms)
        terms.zero_()
        for of_z, of_mean, precision in zip(self.z[I].mT, some.mean.mT, some.precision.mT, strict=True):
            torch.sub(of_z[:, None], of_mean, out=delta).square_()
            terms.addcmul_(delta, precision)
        return terms.mul_(-0.5).add_(some.log_scale)

    def density(self) -> Tensor:
        """log q(z), nats.   -> (N,) float64"""
        top = self.z.new_full((len(self.z),), -torch.inf)
        total = torch.zeros_like(top)
        for some in self.components():
            for I in self.samples():
                terms = self.log_terms(I, some)
                new = torch.maximum(top[I], terms.amax(1)).clamp_(min=torch.finfo(torch.float64).min)  # a weight may be 0
                below = terms if self.exact else self.memory.narrow(I, some.where)  # float32 is exact enough below 0
                torch.sub(terms, new[:, None], out=below)
                total[I] = total[I] * (top[I] - new).exp() + below.exp_().sum(1)
                top[I] = new
        return top + total.log()

    def gradients(self, density: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of Σ_i upstream_i log q(z_i).   (N,), (N,) -> (N, D), (K, D), (K, D), (K,) float64"""
        d = self.z.shape[1]
        of_z = torch.zeros_like(self.z)
        of_mean, of_log_variance = (self.z.new_empty(self.mean.shape) for _ in range(2))
        of_weights = self.z.new_empty(len(self.mean))
        for some in self.components():
            sums, squares = self.z.new_zeros(2, *some.mean.shape)  # Σ_i g R (z - μ), Σ_i g R (z - μ)²
            weights = torch.zeros_like(some.log_scale)
            for I in self.samples():
                R = self.log_terms(I, some).sub_(density[I, None]).exp_().mul_(upstream[I, None])
                weights += R.sum(0)
                if some.factor is None:
                    self.narrow_gradients(I, some, R, of_z, sums, squares)
                    continue
                moments = R.mT @ self.left[I, : 2 * d]
                sums += moments[:, d:]
                squares += moments[:, :d]
                pulls = R @ some.factor[:, : 2 * d]
                of_z[I] += pulls[:, d:] + 2 * self.z[I] * pulls[:, :d]
            if some.factor is not None:
                squares += some.mean * (some.mean * weights[:, None] - 2 * sums)
                sums -= some.mean * weights[:, None]
            of_mean[some.where] = sums * some.precision
            of_log_variance[some.where] = 0.5 * (squares * some.precision - weights[:, None])
            of_weights[some.where] = weights
        return of_z, of_mean, of_log_variance, of_weights

    def narrow_gradients(self, I: slice, some: Some, R: Tensor, of_z: Tensor, sums: Tensor, squares: Tensor) -> None:
        """What a tile adds, from the differences."""
        _, delta, x, _, _ = self.memory.tile(I, some.where)
        for k in range(self.z.shape[1]):
            torch.sub(self.z[I, k, None], some.mean[:, k], out=delta)
            torch.mul(R, delta, out=x)
            of_z[I, k] -= x @ some.precision[:, k]
            sums[:, k] += x.sum(0)
            squares[:, k] += x.mul_(delta).sum(0)


class TiledLogMixture(torch.autograd.Function):
    """The second pass computes the terms anew, so that nothing of size N K is kept; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor | None) -> Tensor:
        """The log density of every point.   (N, D), (K, D), (K, D), (K,) -> (N,)"""
        density = Tiles(z, mean, log_variance, log_weights).density()
        ctx.save_for_backward(z, mean, log_variance, log_weights, density)
        return density.to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (N, D), (K, D), (K, D), (K,)"""
        *inputs, density = ctx.saved_tensors
        gradients = Tiles(*inputs).gradients(density, upstream.double())
        wanted = zip(gradients, inputs, ctx.needs_input_grad, strict=True)
        return tuple(gradient.to(x.dtype) if needed else None for gradient, x, needed in wanted)
