"""Priors p(z)."""

import math

import torch
from torch import Tensor

from metrics.divergences import gaussian_kl
from models.interfaces import Draw


class StandardNormal:
    """P_Z = N(0, σ_z² I), σ_z² = 1 unless said otherwise (SPEC 0.1)."""

    capturable = True

    def __init__(self, dim: int, variance: float = 1.0):
        if not 0 < variance < math.inf:
            raise ValueError(f"prior_variance must be positive, not {variance}")
        self.dim, self.variance = dim, variance

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """n draws on the generator's device.   -> (n, D)"""
        return math.sqrt(self.variance) * torch.randn(n, self.dim, generator=noise, device=noise.device)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log density in nats.   (B, D) -> (B,)"""
        return -0.5 * (z.square().sum(-1) / self.variance + self.dim * math.log(2 * math.pi * self.variance))

    def mean_log_prob(self, mean: Tensor, variance: Tensor) -> Tensor:
        """E log p(z) of any z with these moments, in closed form, nats (SPEC 5.7).   (B, D), (B, D) -> (B,)"""
        return -0.5 * ((mean.square() + variance) / self.variance + math.log(2 * math.pi * self.variance)).sum(-1)

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """E_{q(z|x)} log p(z) of a diagonal Gaussian q, in closed form, nats.   -> (B,)"""
        assert draw.log_variance is not None
        return self.mean_log_prob(draw.mean, draw.log_variance.exp())

    def gaussian_kl(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """KL(N(μ, diag σ²) || p(z)) in closed form, nats.   (B, D), (B, D) -> (B,)"""
        return gaussian_kl(mean, log_variance, self.variance)

    def __str__(self) -> str:
        return "N(0, I)" if self.variance == 1 else f"N(0, {self.variance:g} I)"
