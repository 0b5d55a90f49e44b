"""WAE-MMD with a learned diagonal Gaussian encoder, and the penalty that keeps its variances from vanishing.

Tolstikhin et al., arXiv:1711.01558, Eq. 4, Algorithm 2; Gaujac et al., "Learning Deep-Latent Hierarchies by Stacking Wasserstein
Autoencoders", arXiv:2010.03467, Eq. 17; SPEC 1.1, T15, T16:

    min  E_{p(x)} E_{q(z|x)} SSE(x, G(z))  +  λ MMD²(Q_Z, P_Z)  +  λ_Σ E_{p(x)} Σ_k |log σ_k²(x)|
"""

from dataclasses import dataclass, replace

from torch import Tensor

from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.posterior import DiagonalGaussian
from models.parts.schedule import Weight, non_negative
from models.wae import KernelName, wae_mmd


@dataclass(frozen=True)
class LogVariancePenalty:
    """Mean over the batch of Σ_k |log σ_k²| (Eq. 17): it pulls variances to 1, from either side."""

    capturable = True
    name = "log_variance"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert draw.log_variance is not None
        return draw.log_variance.abs().sum(1).mean()

    def __str__(self) -> str:
        return "Σ|log σ²|"


def wae_gauss(dim: int, *, weight: Weight = 10.0, penalty: Weight = 2.5, kernel: KernelName = "imq") -> Recipe:
    """WAE-MMD behind learned Gaussian noise; penalty is λ_Σ, whose value is that of StackedWAE's first level (its B.2)."""
    base = wae_mmd(dim, weight=weight, kernel=kernel)
    return replace(
        base, posterior=DiagonalGaussian(), regularisers=(*base.regularisers, (non_negative(penalty, "penalty"), LogVariancePenalty()))
    )


METHODS = [wae_gauss]
