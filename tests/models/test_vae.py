"""The VAE family: each objective against torch.distributions, and what differs between its members."""

import math

import pytest
import torch
from small_methods import SHAPE, build, images, noise
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from models.interfaces import Draw
from models.method import AutoEncoder, Recipe
from models.parts.posterior import Deterministic, DiagonalGaussian
from models.parts.prior import StandardNormal
from models.vae import KL, ae, beta_vae, vae_bernoulli, vae_gauss

X, VALUES = images(6), math.prod(SHAPE)


def loss(recipe: Recipe, seed: int = 3) -> torch.Tensor:
    return build(lambda: recipe).terms(X, noise(seed))["loss"]


def parts(method: AutoEncoder, seed: int = 3) -> tuple[Draw, torch.Tensor, torch.Tensor]:
    """One draw, its raw output, and KL(q || N(0, I)) of each image by the library."""
    draw = method.draw(X, noise(seed))
    assert draw.log_variance is not None
    q = Independent(Normal(draw.mean, (0.5 * draw.log_variance).exp()), 1)
    p = Independent(Normal(torch.zeros_like(draw.mean), torch.ones_like(draw.mean)), 1)
    return draw, method.decoder(draw.z), kl_divergence(q, p)


def test_ae_is_the_mean_squared_error_of_images() -> None:
    method = build(lambda: ae(3))
    x_hat = method.decode(method.draw(X, noise()).z)
    by_image = [sum((a - b) ** 2 for a, b in zip(u, v, strict=True)) for u, v in zip(X.flatten(1), x_hat.flatten(1), strict=True)]
    assert method.terms(X, noise())["loss"].item() == pytest.approx((sum(by_image) / 6).item(), rel=1e-5)
    assert isinstance(method.recipe.posterior, Deterministic)
    assert method.sample(2, noise()) is None


def test_vae_bernoulli_is_minus_the_elbo() -> None:
    method = build(lambda: vae_bernoulli(3))
    _, y, kl = parts(method)
    log_likelihood = Bernoulli(logits=y, validate_args=False).log_prob(X).flatten(1).sum(1)
    assert method.terms(X, noise(3))["loss"].item() == pytest.approx((kl - log_likelihood).mean().item(), rel=1e-5)


@pytest.mark.parametrize("variance", [0.1, 0.3])
def test_vae_gauss_is_minus_the_elbo_but_for_its_constant(variance: float) -> None:
    method = build(lambda: vae_gauss(3, decoder_variance=variance))
    draw, _, kl = parts(method)
    log_likelihood = Normal(method.decode(draw.z), math.sqrt(variance)).log_prob(X).flatten(1).sum(1)
    constant = VALUES / 2 * math.log(2 * math.pi * variance)
    assert method.terms(X, noise(3))["loss"].item() + constant == pytest.approx((kl - log_likelihood).mean().item(), rel=1e-5)


def test_the_decoder_variance_is_a_tenth_unless_said_otherwise() -> None:
    assert torch.equal(loss(vae_gauss(3)), loss(vae_gauss(3, decoder_variance=0.1)))
    assert not torch.equal(loss(vae_gauss(3)), loss(vae_gauss(3, decoder_variance=0.2)))


def test_beta_of_one_is_the_vae() -> None:
    assert torch.equal(loss(beta_vae(3, beta=1.0)), loss(vae_bernoulli(3)))
    assert torch.equal(loss(beta_vae(3, beta=1.0, likelihood="gaussian", decoder_variance=0.3)), loss(vae_gauss(3, decoder_variance=0.3)))


@pytest.mark.parametrize("beta", [0.0, 2.0, 10.0])
def test_beta_multiplies_the_kl_and_nothing_else(beta: float) -> None:
    one, other = (build(lambda b=b: beta_vae(3, beta=b)).terms(X, noise()) for b in (1.0, beta))
    assert other["kl"].item() == pytest.approx(beta * one["kl"].item())
    assert torch.equal(other["reconstruction"], one["reconstruction"])


def test_default_beta_is_four() -> None:
    assert torch.equal(loss(beta_vae(3)), loss(beta_vae(3, beta=4.0)))


@pytest.mark.parametrize("beta", [-1.0, math.nan])
def test_a_negative_beta_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=f"beta must be 0 or larger, not {beta}"):
        beta_vae(3, beta=beta)


def test_kl_is_a_mean_over_images_and_nothing_at_the_prior() -> None:
    features = torch.cat([torch.zeros(3, 4), torch.ones(3, 4)])
    draw = DiagonalGaussian()(features, noise())
    of_ones = 0.5 * 2 * (1 + math.e - 1 - 1)  # two latents with μ = 1, log σ² = 1
    assert KL()(draw, StandardNormal(2)).item() == pytest.approx(of_ones / 2)
    assert KL()(DiagonalGaussian()(features[:3], noise()), StandardNormal(2)).item() == 0


def test_the_family_samples_from_a_standard_normal() -> None:
    assert {str(recipe.prior) for recipe in (vae_bernoulli(3), vae_gauss(3), beta_vae(3))} == {"N(0, I)"}
    assert all(recipe.posterior.variance is None for recipe in (vae_bernoulli(3), vae_gauss(3), beta_vae(3)))
