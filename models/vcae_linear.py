"""VCAE, dVCAE and cWAE with the linear output that VCAE's Table 4 prints, where the rows without it end in WAE's sigmoid.

"Variance Constrained Autoencoding", arXiv:2005.03807, Eq. 3, 7, Table 4; SPEC 3.1.
"""

from dataclasses import replace

from models.method import Recipe
from models.parts.linear_output import LinearOutput
from models.parts.schedule import Weight
from models.vcae import dvcae, vcae
from models.wae import KernelName, cwae


def vcae_linear(dim: int, *, weight: Weight = 0.1, target: float | None = None, noise_variance: float = 0.05) -> Recipe:
    """VCAE whose decoder ends in a linear layer (Table 4)."""
    return replace(vcae(dim, weight=weight, target=target, noise_variance=noise_variance), cost=LinearOutput())


def dvcae_linear(dim: int, *, weight: Weight = 0.1, target: float | None = None) -> Recipe:
    """dVCAE whose decoder ends in a linear layer (Table 4, section 6.2)."""
    return replace(dvcae(dim, weight=weight, target=target), cost=LinearOutput())


def cwae_linear(dim: int, *, weight: Weight = 50.0, noise_variance: float = 0.05, kernel: KernelName = "imq") -> Recipe:
    """cWAE whose decoder ends in a linear layer (Table 4, Eq. 3)."""
    return replace(cwae(dim, weight=weight, noise_variance=noise_variance, kernel=kernel), cost=LinearOutput())


METHODS = [vcae_linear, dvcae_linear, cwae_linear]
