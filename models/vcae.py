"""VCAE and dVCAE: a variance constraint instead of a prior.

"Variance Constrained Autoencoding", arXiv:2005.03807, Eq. 7, Algorithm 1; SPEC 1.5, T10:

    min  1/n Σ_i SSE(x_i, x̂_i)  +  λ | Σ_k Var(z_k) - v |,      z = μ(x) + ε,  ε ~ N(0, σ_ε² I)

The variance is that of the noisy z over the batch, divisor 1/n, summed over dimensions before the absolute value.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from metrics.latent import total_variance
from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.cost import SquaredError
from models.parts.posterior import AdditiveNoise, Deterministic
from models.parts.schedule import Weight, non_negative


@dataclass(frozen=True)
class VarianceConstraint:
    """| Σ_k Var(z_k) - v | over the batch (Eq. 7)."""

    capturable = True
    target: float  # v
    name = "variance"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        return (total_variance(draw.z) - self.target).abs()

    def __str__(self) -> str:
        return f"|ΣVar - {self.target:g}|"


def vcae(dim: int, *, weight: Weight = 0.1, target: float | None = None, noise_variance: float = 0.05) -> Recipe:
    """VCAE: λ = weight, v = target (None is the latent size), no prior (Eq. 6-7)."""
    v = float(dim) if target is None else target
    if not v > 0:
        raise ValueError(f"target must be positive, not {target}")
    if noise_variance * dim >= v:
        raise ValueError(
            f"noise_variance must be below target / latent_dim = {v / dim:g}, or the noise alone exceeds the target; not {noise_variance}"
        )
    return Recipe(AdditiveNoise(noise_variance), SquaredError(), ((non_negative(weight), VarianceConstraint(v)),), None, target_variance=v)


def dvcae(dim: int, *, weight: Weight = 0.1, target: float | None = None) -> Recipe:
    """dVCAE: VCAE without noise (section 6.2)."""
    return replace(vcae(dim, weight=weight, target=target, noise_variance=0.0), posterior=Deterministic())


METHODS = [vcae, dvcae]
