"""Encoder noise models q(z|x): features -> one reparameterised draw per image (SPEC 1.1, 1.2, 1.5)."""

import math

import torch
from torch import Tensor

from models.interfaces import Draw


def standard_normal_like(x: Tensor, noise: torch.Generator) -> Tensor:
    """ε ~ N(0, I) from the given generator.   (B, D) -> (B, D)"""
    return torch.randn(x.shape, generator=noise, device=x.device, dtype=x.dtype)


class Deterministic:
    """z = μ(x); it has no density (WAE, section 4)."""

    capturable = True
    outputs: int = 1
    variance: float | None = 0.0

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, D) -> Draw with log_variance None"""
        return Draw(features, features, None, noise)

    def __str__(self) -> str:
        return "deterministic"


class AdditiveNoise:
    """z = μ(x) + ε, ε ~ N(0, σ_ε² I), one fixed variance (VCAE section 2; SPEC T6). Zero variance draws no noise at all."""

    capturable = True
    outputs: int = 1

    def __init__(self, variance: float):
        if not 0 <= variance < math.inf:
            raise ValueError(f"noise_variance must be a variance, 0 or larger, not {variance}")
        self.variance: float | None = variance
        self.std, self.log_variance = math.sqrt(variance), math.log(variance) if variance else -math.inf

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, D) -> Draw"""
        if self.variance == 0:
            return Draw(features, features, None, noise)
        z = features + self.std * standard_normal_like(features, noise)
        return Draw(z, features, torch.full_like(features, self.log_variance), noise)

    def __str__(self) -> str:
        return f"additive noise, σ² = {self.variance:g}"


class DiagonalGaussian:
    """z = μ(x) + σ(x) ⊙ ε with learned log σ² (Kingma & Welling, arXiv:1312.6114, section 2.4; SPEC 1.2)."""

    capturable = True
    outputs: int = 2
    variance: float | None = None

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, 2D), means then log-variances -> Draw"""
        mean, log_variance = features.chunk(2, dim=1)
        return Draw(mean + (0.5 * log_variance).exp() * standard_normal_like(mean, noise), mean, log_variance, noise)

    def __str__(self) -> str:
        return "diagonal Gaussian"
