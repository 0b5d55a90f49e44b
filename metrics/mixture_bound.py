"""What a batch of diagonal Gaussians q(z|x_1) ... q(z|x_M) is as one mixture  q(z|B_M) = 1/M Σ_i q(z|x_i).

Lin et al., "WiSE-ALE: Wide Sample Estimator for Approximate Latent Embedding", arXiv:1902.06160, Eq. 20-24; SPEC 1.9:

    KL(q(z|B_M) || N(0, I))  ≤  KL_UB  =  1/M Σ_i log ( 1/M Σ_j Π_k N(μ_ik; μ_jk, σ_ik² + σ_jk²) )
                                          + 1/2M Σ_i Σ_k (σ_ik² + μ_ik² + log 2π)
"""

import math

import torch
from torch import Tensor

from metrics.kernels.backends import backend_of
from metrics.kernels.native import NativeBound
from metrics.kernels.overlaps import TiledBound, units
from metrics.kernels.tiles import accumulator, guarded

FARTHEST = 1e15  # deviations: an overlap there is 0, its square still a number


def log_overlaps(mean: Tensor, log_variance: Tensor) -> Tensor:
    """log ∫ q(z|x_i) q(z|x_j) dz for every pair, i = j included: a Gaussian in μ_i - μ_j of the summed variances.

    (M, D), (M, D) -> (M, M)

    Logarithms throughout: variances of e^-44 have squares, and so gradients, below the smallest float32.
    """
    log_both = torch.logaddexp(log_variance[:, None], log_variance)  # (M, M, D)
    apart = ((mean[:, None] - mean) * (-0.5 * log_both).exp()).clamp(-FARTHEST, FARTHEST)
    return -0.5 * (apart.square() + log_both + math.log(2 * math.pi)).sum(-1)


def mixture_kl_bound(mean: Tensor, log_variance: Tensor, *, backend: str | None = None) -> Tensor:
    """KL_UB of the batch's mixture to N(0, I), nats (Eq. 21-24; the product over k as a sum of logarithms, SPEC T13).

    An upper bound by Jensen, so it is not 0 at the prior: one N(0, I) has d/2 (1 - log 2).   (M, D), (M, D) -> (); NaN, and so are its
    gradients, if a number is not finite.
    backend: `metrics.kernels.backends`, None the best one. Only "broadcast" has a second derivative.
    """
    form = backend_of(mean.device, accumulator(mean, log_variance), backend, mean.numel() * len(mean))
    if form == "triton":
        from metrics.kernels.triton_overlaps import TritonBound  # needs what few machines have

        return guarded(TritonBound.apply(mean, log_variance), mean, log_variance)
    if form == "compiled":
        return NativeBound.apply(mean, log_variance)
    of = units(mean, log_variance) if form == "tiled" else None
    if of is not None:
        return guarded(TiledBound.apply(mean, log_variance, of), mean, log_variance)
    if form == "tiled":
        return guarded(kl_bound_broadcast(mean.double(), log_variance.double()), mean, log_variance).to(accumulator(mean, log_variance))
    return guarded(kl_bound_broadcast(mean, log_variance), mean, log_variance)


def kl_bound_broadcast(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The formula itself, on all differences at once: for variances beyond e^±300 of each other too.   (M, D), (M, D) -> ()"""
    log_mixture = torch.logsumexp(log_overlaps(mean, log_variance), 1) - math.log(len(mean))
    cross_entropy = 0.5 * (log_variance.exp() + mean.square() + math.log(2 * math.pi)).sum(-1)
    return (log_mixture + cross_entropy).mean()
