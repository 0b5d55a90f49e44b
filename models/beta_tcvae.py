"""β-TCVAE: a VAE whose total correlation alone costs more, without a discriminator.

Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", arXiv:1802.04942, Eq. 2-4, appendix C:

    E -log p(x|z)  +  α I_q(z; n)  +  β KL(q(z) || Π_k q(z_k))  +  γ Σ_k KL(q(z_k) || p(z_k)),      α = γ = 1

which is the VAE's loss and (β - 1) TC. From a minibatch of M codes z_i ~ q(z|x_i) of N images,

    TC ≈ 1/M Σ_i [ log q̂(z_i) - Σ_k log q̂(z_ik) ]
    MWS   q̂(z_i) = 1/NM Σ_j q(z_i|x_j)                                                                       (Eq. 3)
    MSS   q̂(z_i) = 1/N q(z_i|x_i) + 1/(M-1) Σ_{j≠i,i'} q(z_i|x_j) + (N-M+1)/N(M-1) q(z_i|x_i'),   i' = i + 1     (C.2)

In MWS, N adds the constant (D-1) log N, which has no gradient: it is left out.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from metrics.total_correlation import total_correlation, weighted
from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.cost import LikelihoodName, cost_of
from models.parts.elbo import KL, LOG_2PI
from models.parts.schedule import Weight, non_negative
from models.vae import vae_bernoulli

Estimate = Literal["mws", "mss"]


def log_terms(draw: Draw) -> Tensor:
    """log q(z_ik|x_j) of a diagonal Gaussian.   -> (M, M, D)"""
    assert draw.log_variance is not None
    squared = (draw.z[:, None] - draw.mean).square() * (-draw.log_variance).exp()
    return -0.5 * (squared + draw.log_variance + LOG_2PI)


def stratified_weights(m: int, n: int, like: Tensor) -> Tensor:
    """Of q(z_i|x_j) in MSS.   -> (m, m)"""
    here = torch.eye(m, dtype=like.dtype, device=like.device)
    return (1 - here) / (m - 1) + here / n + here.roll(1, 1) * ((n - m + 1) / (n * (m - 1)) - 1 / (m - 1))


@dataclass(frozen=True)
class MinibatchTotalCorrelation:
    """TC above, nats; images: N, of MSS."""

    capturable = True
    estimate: Estimate
    images: int
    name = "total_correlation"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        terms = log_terms(draw)
        m = len(terms)
        weights = torch.full_like(terms[:, :, 0], 1 / m) if self.estimate == "mws" else stratified_weights(m, self.images, terms)
        return total_correlation(weighted(terms, weights.log()))

    def __str__(self) -> str:
        return "TC, minibatch weighted" if self.estimate == "mws" else f"TC, minibatch stratified, {self.images:,} images"


def beta_tcvae(
    dim: int,
    *,
    beta: Weight = 6.0,
    estimate: Estimate = "mws",
    images: int = 60_000,
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
) -> Recipe:
    """β-TCVAE, α = γ = 1 (Eq. 4); the regulariser's weight is β - 1, so that of a schedule too. images: N of the stratified estimate."""
    if images < 2:
        raise ValueError(f"images must be at least 2, not {images}")
    extra = shifted(beta)
    total = MinibatchTotalCorrelation(estimate, images)
    return replace(vae_bernoulli(dim), cost=cost_of(likelihood, decoder_variance), regularisers=((1.0, KL()), (extra, total)))


def shifted(beta: Weight) -> Weight:
    """β - 1; ValueError where β is below 1, for which the loss is no longer that of a VAE and more."""
    less = beta - 1 if isinstance(beta, int | float) else replace(beta, start=beta.start - 1, end=beta.end - 1)
    try:
        return non_negative(less)
    except ValueError:
        raise ValueError(f"beta must be 1 or larger, not {beta}") from None


METHODS = [beta_tcvae]
