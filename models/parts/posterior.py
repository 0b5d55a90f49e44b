"""Encoder noise models q(z|x): features -> one reparameterised draw per image (SPEC 1.1, 1.2, 1.5)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

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


Head = Literal["relu", "softplus"]
FLOOR = 0.001  # of a deviation σ
CLIP = 50.0  # of the raw outputs that become variances; no paper states it


def softplus_variance(raw: Tensor) -> Tensor:
    """σ² = softplus of the clipped raw output (SPEC 3.6).   (B, D) -> (B, D)"""
    return softplus(raw.clamp(-CLIP, CLIP))


def deviation(std: Tensor) -> tuple[Tensor, Tensor]:
    """σ -> σ, log σ²"""
    return std, 2 * std.log()


def variance(square: Tensor) -> tuple[Tensor, Tensor]:
    """σ² -> σ, log σ²"""
    return square.sqrt(), square.log()


SIGMAS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {  # raw output -> σ, log σ²
    "exp": lambda raw: ((0.5 * raw).exp(), raw),
    "relu": lambda raw: deviation(FLOOR + raw.relu()),
    "softplus": lambda raw: deviation(FLOOR + softplus(raw)),
    "softplus variance": lambda raw: variance(softplus_variance(raw)),
}


@dataclass(frozen=True)
class DiagonalGaussian:
    """z = μ(x) + σ(x) ⊙ ε; the network gives μ and what becomes σ (Kingma & Welling, arXiv:1312.6114, section 2.4; SPEC 1.2).

    sigma: "exp", the network gives log σ²; "relu" and "softplus", σ is that and 0.001 more (arXiv:2009.00088; a ReLU may freeze
    there); "softplus variance", σ² is the softplus (arXiv:2010.03467).
    """

    capturable = True
    sigma: Literal["exp", "relu", "softplus", "softplus variance"] = "exp"
    outputs = 2
    variance = None

    def moments(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 2D), means then raw outputs -> mean, σ, log σ², (B, D) each"""
        mean, raw = features.chunk(2, dim=1)
        return mean, *SIGMAS[self.sigma](raw)

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, 2D), means then raw outputs -> Draw"""
        mean, std, log_variance = self.moments(features)
        return Draw(mean + std * standard_normal_like(mean, noise), mean, log_variance, noise)

    def __str__(self) -> str:
        return "diagonal Gaussian" + (f", σ from {self.sigma}" if self.sigma in ("relu", "softplus") else "")
