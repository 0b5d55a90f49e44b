"""Mixtures of diagonal Gaussians at the size of a data set: the aggregate posterior q(z) = 1/N Σ_n q(z|x_n), a VampPrior.

Tomczak & Welling, "VAE with a VampPrior", arXiv:1705.07120, Eq. 9; Makhzani et al., arXiv:1511.05644, section 2; SPEC 0.1, 1.8.
"""

import math

import torch
from torch import Tensor

from metrics.kernels.backends import FEW, backend_of
from metrics.kernels.log_mixture import LOG_2PI, TiledLogMixture
from metrics.kernels.tiles import guarded

BROADCAST_ON_CUDA = 2**26  # N K D up to which 256 MB a copy are no matter, and a step can be recorded in a CUDA graph


def log_mixture_density(
    z: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor | None = None, *, backend: str | None = None
) -> Tensor:
    """log Σ_j w_j N(z; μ_j, diag σ_j²), nats; None is w_j = 1/K. Differentiable once, in all four; any number of samples and components.

    (N, D), (K, D), (K, D), (K,) -> (N,).   In float32 within 1e-4 nats of float64's, however narrow the components. NaN, and so are its
    gradients, of a sample that is not finite, and everywhere if a component is not; log w_j may be -∞.
    backend: `metrics.kernels.backends`, None the best one. "broadcast" holds (N, K, D) numbers; "compiled" and "triton" have no kernel
    for it, and are "broadcast" where that is little and "tiled" elsewhere. On CUDA tiles wait for the device.
    """
    numbers = z.numel() * len(mean)
    form = backend_of(z.device, z.dtype, backend, numbers)
    if form in ("compiled", "triton"):
        form = "broadcast" if numbers <= (BROADCAST_ON_CUDA if z.is_cuda else FEW) else "tiled"
    density = (TiledLogMixture.apply if form == "tiled" else log_mixture_broadcast)(z, mean, log_variance, log_weights)
    weights = () if log_weights is None else (log_weights.detach().clamp(min=torch.finfo(log_weights.dtype).min),)
    return guarded(density * (1 + (0 * z.detach()).sum(1)), mean, log_variance, *weights)


def log_mixture_broadcast(z: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor | None) -> Tensor:
    """The formula itself, on all differences at once.   (N, D), (K, D), (K, D), (K,) -> (N,)"""
    squared = ((z[:, None] - mean) * (-0.5 * log_variance).exp()).square()  # (N, K, D)
    log_normal = -0.5 * (squared + log_variance + LOG_2PI).sum(2)
    if log_weights is None:
        return torch.logsumexp(log_normal, 1) - math.log(len(mean))
    return torch.logsumexp(log_normal + log_weights, 1)
