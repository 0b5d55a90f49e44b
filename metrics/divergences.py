"""Distances between the aggregate posterior Q_Z, seen through a batch of codes, and a prior P_Z.

Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558, Algorithm 2; SPEC 1.3. With z ~ P_Z and z̃ the codes:

    MMD²_U = Σ_{l≠j} k(z_l, z_j) / n(n-1) + Σ_{l≠j} k(z̃_l, z̃_j) / n(n-1) - 2 Σ_{l,j} k(z_l, z̃_j) / n²

The kernels are functions of squared distances and of C = 2 d σ_z², the mean squared distance of two prior draws.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from metrics.kernels.backends import backend_of
from metrics.kernels.distances import SquaredDistances
from metrics.kernels.mmd import SCALES, TiledMMD
from metrics.kernels.native import NativeMMD
from metrics.kernels.tiles import accumulator, guarded

Kernel = Callable[[Tensor, float], Tensor]  # squared distances, C -> similarities of the same shape


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i - b_j|² from the differences themselves, exact for near points.   (N, D), (M, D) -> (N, M)"""
    return (a[:, None] - b).square().sum(-1)


def imq(d2: Tensor, C: float) -> Tensor:
    """Inverse multiquadratic kernel C / (C + d²) of the WAE paper, section 4.   (N, M) -> (N, M)"""
    return C / (C + d2)


def imq7(d2: Tensor, C: float) -> Tensor:
    """Sum of seven IMQ kernels at C·s, s = 0.1 ... 10, as in the WAE authors' code.   (N, M) -> (N, M)"""
    return torch.stack([imq(d2, scale * C) for scale in SCALES]).sum(0)


def rbf(d2: Tensor, C: float) -> Tensor:
    """Gaussian kernel exp(-d² / σ_k²) with σ_k² = C (WAE paper, section 4; SPEC T5).   (N, M) -> (N, M)"""
    return torch.exp(-d2 / C)


def u_statistic(pp: Tensor, qq: Tensor, pq: Tensor) -> Tensor:
    """Unbiased MMD² from three kernel matrices; may be negative and is not clamped (SPEC T3).   (N, N), (M, M), (N, M) -> ()"""
    return off_diagonal_mean(pp) + off_diagonal_mean(qq) - 2 * pq.mean()


def off_diagonal_mean(k: Tensor) -> Tensor:
    """Σ_{i≠j} k_ij / n(n-1).   (N, N) -> ()"""
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


def mmd(p: Tensor, q: Tensor, C: float, kernel: Kernel = imq, *, backend: str | None = None) -> Tensor:
    """MMD²_U between prior draws p and codes q, and its gradient, for the three kernels above without (N, M, D) in memory.

    (N, D), (M, D) -> (); NaN, and so are its gradients, if a number is not finite.   backend: `metrics.kernels.backends`, None the
    best one. Only "broadcast", and so any other kernel, has a second derivative.
    """
    name = FUSED.get(kernel)
    form = backend_of(p.device, accumulator(p, q), backend) if name else "broadcast"
    if name and form == "compiled":
        return NativeMMD.apply(p, q, C, name)
    if name and form == "tiled":
        return guarded(TiledMMD.apply(p, q, C, name), p, q)
    if name and form == "triton":
        from metrics.kernels.triton_mmd import TritonMMD  # needs what few machines have

        return guarded(TritonMMD.apply(p, q, C, name), p, q)
    return guarded(mmd_broadcast(p, q, C, kernel), p, q)


def mmd_broadcast(p: Tensor, q: Tensor, C: float, kernel: Kernel) -> Tensor:
    """The formula itself, on all differences at once.   (N, D), (M, D) -> ()"""
    return u_statistic(*(kernel(squared_distances(a, b), C) for a, b in ((p, p), (q, q), (p, q))))


FUSED: dict[Kernel, str] = {imq: "imq", imq7: "imq7", rbf: "rbf"}


def mmd_rbf_median(p: Tensor, q: Tensor) -> Tensor:
    """MMD²_U with kernel exp(-d² / 2s), s chosen from the batch as the WAE authors' code does (SPEC 1.3): the sum of the
    n(n-1)/2-th largest of the n² cross distances and of the n² distances within the codes. Its gradient is biased. Where both are 0,
    k is 1 of equal points and 0 of others, as in the limit, and constant.

    (N, D), (N, D) -> (), whatever the backend by broadcasting; ValueError for samples of two sizes.
    """
    if len(p) != len(q):
        raise ValueError(f"as many prior draws as codes are needed, not {len(p)} and {len(q)}")
    p, q = (guarded(x, p, q) for x in (p, q))  # not only the value: a constant kernel would keep NaN from the gradients
    pp, qq, pq = (SquaredDistances.apply(a, b) for a, b in ((p, p), (q, q), (p, q)))
    s = upper_median(pq) + upper_median(qq)
    width = torch.where(s == 0, 1, 2 * s)  # here too: a gradient through 0/0 would be NaN even where it is not taken
    return u_statistic(*(torch.where(s == 0, (d2 == 0).to(d2), torch.exp(-d2 / width)) for d2 in (pp, qq, pq)))


def upper_median(d2: Tensor) -> Tensor:
    """The n(n-1)/2-th largest of n² values.   (N, N) -> ()"""
    n = len(d2)
    return d2.flatten().kthvalue(n * n + 1 - max(1, n * (n - 1) // 2)).values


@torch.no_grad()
def mmd_chunked(p: Tensor, q: Tensor, C: float) -> float:
    """MMD²_U with the IMQ kernel for large samples, in float64, holding a tile of the pairs at a time.   (N, D), (M, D) -> value"""
    return float(mmd(p.double(), q.double(), C, backend="tiled"))


def gaussian_kl(mean: Tensor, log_variance: Tensor, variance: float = 1.0) -> Tensor:
    """KL(N(μ, diag σ²) || N(0, v I)) = ½ Σ_k ((μ_k² + σ_k²) / v - 1 - log σ_k² + log v), nats per image (SPEC 0.1).

    (B, D), (B, D) -> (B,); v = 1 is the standard normal.
    """
    if variance == 1:
        return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    return 0.5 * ((mean.square() + log_variance.exp()) / variance - 1 - log_variance + math.log(variance)).sum(-1)
