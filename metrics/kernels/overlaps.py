"""KL_UB of a batch's mixture and its gradients, over tiles of pairs and a few dimensions: nothing of size M M D is kept.

Lin et al., "WiSE-ALE", arXiv:1902.06160, Eq. 20-24; SPEC 1.9. With s = σ_i² + σ_j², δ = μ_i - μ_j and P_ij = exp L_ij / Σ_j exp L_ij,

    L_ij = -½ Σ_k (δ²/s + log s + log 2π),      Q = P + Pᵀ,
    ∂/∂μ_i = -1/M Σ_j Q_ij δ/s,      ∂/∂σ_i² = 1/2M Σ_j Q_ij (δ²/s² - 1/s)

L is symmetric: half of its tiles are computed. Logarithms are of products of up to 8 variances. Each dimension is in units, a power of
two, of its largest variance, so that variances of e^-44 have squares; where those of one dimension lie too far apart for float32,
float64 is taken.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.tiles import accumulator, spans

ROWS, COLUMNS, FACTORS = 64, 256, 8  # of a tile, and how many dimensions at a time: half a megabyte
KEPT = 2**24  # numbers of L that wait for the second pass, 64 MB; where there are more, they are computed twice
# nats between the variances of one dimension, and largest mean in the deviations of its largest variance, that a type can hold;
# and nats that a product may fall below 1
LIMITS = {torch.float32: (40.0, 1e15, 80.0), torch.float64: (300.0, 1e100, 600.0)}


class Units(NamedTuple):
    """Means and variances in units of each dimension's largest variance, D padded with dimensions that say nothing."""

    mean: Tensor  # (D / K, K, M)
    variance: Tensor  # (D / K, K, M), so that a sum of two is at most 1
    scale: Tensor  # (D,) powers of two, float64: a mean in these units is mean · scale
    constant: Tensor  # () float64, what L lacks: -½ Σ_k (log 2π - 2 log scale)


def units(mean: Tensor, log_variance: Tensor) -> Units | None:
    """In the narrowest type that can hold them; None if there is none.   (M, D), (M, D)"""
    largest, smallest = log_variance.detach().double().amax(0), log_variance.detach().double().amin(0)
    scale = torch.exp2(-((largest / math.log(2) + 1) / 2).ceil())
    spread = float((largest - smallest).max())
    reach = float((mean.detach().double() * scale).abs().max())
    types = (torch.float32, torch.float64) if accumulator(mean, log_variance) == torch.float32 else (torch.float64,)
    dtype = next((dtype for dtype in types if spread <= LIMITS[dtype][0] and reach <= LIMITS[dtype][1]), None)
    if dtype is None:
        return None
    depth = LIMITS[dtype][2]
    factors = 1 << min(FACTORS, int(depth / (spread + 3 * math.log(2)))).bit_length() - 1
    blocks = -(-mean.shape[1] // factors)
    padded = [torch.full((blocks * factors, len(mean)), fill, dtype=dtype, device=mean.device) for fill in (0.0, 0.5)]
    padded[0][: mean.shape[1]] = (mean.detach().double() * scale).mT
    padded[1][: mean.shape[1]] = (log_variance.detach().double() + 2 * scale.log()).exp().mT
    constant = (scale.log() - 0.5 * math.log(2 * math.pi)).sum()
    padded = [x.unflatten(0, (blocks, factors)) for x in padded]
    return Units(padded[0], padded[1], scale, constant)


class Overlaps:
    """The two passes over tiles."""

    def __init__(self, of: Units):
        self.of = of
        _, factors, self.count = of.mean.shape
        rows, columns = min(ROWS, self.count), min(COLUMNS, self.count)
        self.memory = of.mean.new_empty(3, factors * rows * columns)
        self.ones = of.mean.new_ones(columns)
        self.tiles = [(I, J) for I in spans(slice(0, self.count), rows) for J in (I, *spans(slice(I.stop, self.count), columns))]
        self.kept: dict[tuple[int, int], Tensor] | None = {} if self.count**2 <= 2 * KEPT else None

    def buffers(self, I: slice, J: slice) -> tuple[Tensor, ...]:
        """Three of (K, rows, columns)."""
        shape = (self.of.mean.shape[1], I.stop - I.start, J.stop - J.start)
        return tuple(flat[: math.prod(shape)].view(shape) for flat in self.memory)

    def log_overlaps(self, I: slice, J: slice) -> Tensor:
        """L of a tile, without its constant.   -> (rows, columns)"""
        delta, s, _ = self.buffers(I, J)
        minus_twice = torch.zeros_like(delta[0])
        for mean, variance in zip(self.of.mean, self.of.variance, strict=True):
            torch.sub(mean[:, I, None], mean[:, None, J], out=delta)
            torch.add(variance[:, I, None], variance[:, None, J], out=s)
            minus_twice += delta.square_().div_(s).sum(0)
            product = s
            while len(product) > 1:
                half = len(product) // 2
                product = product[:half].mul_(product[half:])
            minus_twice += product[0].log_()
        return minus_twice.mul_(-0.5)

    def log_mixtures(self) -> Tensor:
        """log Σ_j exp L_ij, without the constant.   -> (M,)"""
        sums = self.of.mean.new_full((self.count,), -torch.inf)
        for I, J in self.tiles:
            L = self.log_overlaps(I, J)
            sums[I] = torch.logaddexp(sums[I], L.logsumexp(1))
            if I != J:
                sums[J] = torch.logaddexp(sums[J], L.logsumexp(0))
            if self.kept is not None:
                self.kept[I.start, J.start] = L
        return sums

    def gradients(self, log_mixtures: Tensor) -> tuple[Tensor, Tensor]:
        """Of Σ_i log Σ_j exp L_ij to means and variances in these units.   -> (D, M), (D, M)"""
        of_mean, of_variance = torch.zeros_like(self.of.mean), torch.zeros_like(self.of.variance)
        for I, J in self.tiles:
            L = self.log_overlaps(I, J) if self.kept is None else self.kept.pop((I.start, J.start))
            Q = (L - log_mixtures[I, None]).exp_().add_((L - log_mixtures[J]).exp_())
            for block in range(len(of_mean)):
                self.block_gradients(I, J, Q, block, of_mean[block], of_variance[block])
        return of_mean.flatten(0, 1), of_variance.mul_(0.5).flatten(0, 1)

    def block_gradients(self, I: slice, J: slice, Q: Tensor, block: int, of_mean: Tensor, of_variance: Tensor) -> None:
        """What a tile adds to those of K dimensions."""
        t, s, x = self.buffers(I, J)
        mean, variance = self.of.mean[block], self.of.variance[block]
        torch.sub(mean[:, I, None], mean[:, None, J], out=t)
        torch.add(variance[:, I, None], variance[:, None, J], out=s)
        torch.mul(Q, t.div_(s), out=x)
        of_mean[:, I] -= self.over_columns(x)
        if I != J:
            of_mean[:, J] += x.sum(1)
        x.mul_(t).sub_(torch.div(Q, s, out=s))
        of_variance[:, I] += self.over_columns(x)
        if I != J:
            of_variance[:, J] += x.sum(1)

    def over_columns(self, x: Tensor) -> Tensor:
        """(K, rows, columns) -> (K, rows)"""
        return torch.mv(x.flatten(0, 1), self.ones[: x.shape[2]]).view(x.shape[:2])


class TiledBound(torch.autograd.Function):
    """The gradients are formed with the value; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_variance: Tensor, of: Units) -> Tensor:
        """WiSE-ALE's bound on the KL of the batch's aggregate posterior, nats (arXiv:1902.06160, Eq. 25).   (B, D), (B, D) -> ()"""
        m, d = mean.shape
        wide, variance = mean.double(), log_variance.double().exp()
        passes = Overlaps(of)
        log_mixtures = passes.log_mixtures()
        cross_entropy = 0.5 * ((wide.square().sum() + variance.sum()) / m + d * math.log(2 * math.pi))
        value = log_mixtures.double().mean() + of.constant - math.log(m) + cross_entropy
        if any(ctx.needs_input_grad):
            of_mean, of_variance = (x[:d].mT.double() for x in passes.gradients(log_mixtures))
            of_mean = (of_mean * of.scale + wide) / m
            of_log_variance = variance * (of_variance * of.scale.square() + 0.5) / m
            ctx.save_for_backward(of_mean.to(mean.dtype), of_log_variance.to(log_variance.dtype))
        return value.to(accumulator(mean, log_variance))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (M, D), (M, D)"""
        return (*(upstream.to(gradient.dtype) * gradient for gradient in ctx.saved_tensors), None)
