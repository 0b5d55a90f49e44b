"""Autoencoders without a divergence on Q_Z, and the VAE family.

Kingma & Welling, arXiv:1312.6114; WAE paper (arXiv:1711.01558) Eq. 6; SPEC 1.2:

    ae         E c(x, G(z)),                   c = SSE
    vae        E [ -log p(x|z) ] + KL(q(z|x) || N(0, I))
    beta_vae   the same with β KL              (Higgins et al., ICLR 2017)
"""

from dataclasses import replace

from models.method import Recipe
from models.parts.cost import Bernoulli, Gaussian, LikelihoodName, SquaredError, cost_of
from models.parts.elbo import KL
from models.parts.posterior import Deterministic, DiagonalGaussian
from models.parts.prior import StandardNormal
from models.parts.schedule import Weight, non_negative


def ae(dim: int) -> Recipe:
    """Plain autoencoder: squared error, no noise, no prior (WAE section 3)."""
    return Recipe(Deterministic(), SquaredError(), (), None)


def vae_bernoulli(dim: int) -> Recipe:
    """VAE with a Bernoulli likelihood (WAE Eq. 6, its MNIST baseline; WiSE-ALE Eq. 26)."""
    return Recipe(DiagonalGaussian(), Bernoulli(), ((1.0, KL()),), StandardNormal(dim))


def vae_gauss(dim: int, *, decoder_variance: float = 0.1) -> Recipe:
    """VAE with a Gaussian likelihood of fixed variance σ_G², which no paper states (SPEC 1.2)."""
    return replace(vae_bernoulli(dim), cost=Gaussian(decoder_variance))


def beta_vae(
    dim: int,
    *,
    beta: Weight = 4.0,
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
) -> Recipe:
    """β-VAE: the KL times β (WiSE-ALE section 5; β not stated there).

    Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework".
    """
    return replace(vae_bernoulli(dim), cost=cost_of(likelihood, decoder_variance), regularisers=((non_negative(beta, "beta"), KL()),))


METHODS = [ae, vae_bernoulli, vae_gauss, beta_vae]
