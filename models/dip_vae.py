"""DIP-VAE I and II: a VAE whose codes' covariance is drawn to the identity.

Kumar et al., "Variational Inference of Disentangled Latent Concepts from Unlabeled Observations", arXiv:1711.00848, Eq. 5-7:

    E -log p(x|z)  +  KL(q(z|x) || p(z))  +  λ_od Σ_{k≠l} C_kl²  +  λ_d Σ_k (C_kk - 1)²
    I    C = Cov μ(x)
    II   C = Cov z = Cov μ(x) + E diag σ²(x)

Covariances are those of the batch, divisor 1/n.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.cost import LikelihoodName, cost_of
from models.parts.elbo import KL
from models.parts.schedule import Weight, non_negative
from models.vae import vae_bernoulli


@dataclass(frozen=True)
class CovarianceMismatch:
    """Σ_{k≠l} C_kl² + ratio Σ_k (C_kk - 1)², of the means' covariance, or with the encoder's noise of the codes'."""

    capturable = True
    ratio: float  # λ_d / λ_od
    noise: bool
    name = "covariance"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        centred = draw.mean - draw.mean.mean(0)
        covariance = centred.T @ centred / len(centred)
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        if self.noise:
            assert draw.log_variance is not None
            diagonal = diagonal + draw.log_variance.exp().mean(0)
        return off + self.ratio * (diagonal - 1).square().sum()

    def __str__(self) -> str:
        return f"|Cov {'z' if self.noise else 'μ'} - I|², diagonal × {self.ratio:g}"


def dip_vae(dim: int, noise: bool, weight: Weight, ratio: float, likelihood: LikelihoodName, decoder_variance: float) -> Recipe:
    """Both of them; noise: whether C has the encoder's."""
    if not ratio >= 0:
        raise ValueError(f"ratio must be 0 or larger, not {ratio}")
    mismatch = non_negative(weight), CovarianceMismatch(ratio, noise)
    return replace(vae_bernoulli(dim), cost=cost_of(likelihood, decoder_variance), regularisers=((1.0, KL()), mismatch))


def dip_vae_i(
    dim: int, *, weight: Weight = 10.0, ratio: float = 10.0, likelihood: LikelihoodName = "bernoulli", decoder_variance: float = 0.1
) -> Recipe:
    """DIP-VAE-I: λ_od = weight, λ_d = ratio λ_od (Eq. 6)."""
    return dip_vae(dim, False, weight, ratio, likelihood, decoder_variance)


def dip_vae_ii(
    dim: int, *, weight: Weight = 10.0, ratio: float = 1.0, likelihood: LikelihoodName = "bernoulli", decoder_variance: float = 0.1
) -> Recipe:
    """DIP-VAE-II: λ_od = weight, λ_d = ratio λ_od (Eq. 7)."""
    return dip_vae(dim, True, weight, ratio, likelihood, decoder_variance)


METHODS = [dip_vae_i, dip_vae_ii]
