"""AAE: a likelihood by loops beside WAE-GAN's adversary, and WAE-GAN itself where the likelihood is that of a squared error."""

import math

import pytest
from small_methods import DIM, build, images, noise, rows, sigmoid

from models.aae import aae
from models.wae import wae_gan

X = images(6)


def test_the_reconstruction_term_is_the_negative_log_likelihood_of_the_loops() -> None:
    method = build(lambda: aae(DIM))
    y = method.raw(method.draw(X, noise(4)).z)
    nll = [
        -sum(x * math.log(sigmoid(v)) + (1 - x) * math.log(1 - sigmoid(v)) for x, v in zip(one, other, strict=True))
        for one, other in zip(rows(X), rows(y), strict=True)
    ]
    assert method.terms(X, noise(4))["reconstruction"].item() == pytest.approx(sum(nll) / len(X), rel=1e-5)


def test_the_adversary_is_weighted_once_against_the_likelihood() -> None:
    """Eq. 8: λ = 1, and -E log D(z̃) of the critic's logits."""
    method = build(lambda: aae(DIM, width=8))
    critic = method.recipe.regularisers[0][1]
    logits = critic.logit(method.draw(X, noise(4)).z, method.prior).tolist()
    expected = sum(math.log1p(math.exp(-v)) for v in logits) / len(X)
    assert method.terms(X, noise(4))["prior_match"].item() == pytest.approx(expected, rel=1e-5)


def test_with_a_gaussian_of_variance_one_half_it_is_wae_gan() -> None:
    gaussian = build(lambda: aae(DIM, weight=3.0, likelihood="gaussian", decoder_variance=0.5, width=8))
    squared = build(lambda: wae_gan(DIM, weight=3.0, width=8))
    for one, other in zip(gaussian.players(), squared.players(), strict=True):
        assert one.name == other.name
        found, known = one.terms(X, noise(4)), other.terms(X, noise(4))
        assert {name: term.item() for name, term in found.items()} == pytest.approx({name: term.item() for name, term in known.items()})
    assert gaussian.likelihood == "gaussian"
    assert squared.likelihood is None


def test_options_reach_the_critic() -> None:
    critic = aae(DIM, width=9, pz_trick=True, critic_lr=0.2).regularisers[0][1]
    assert (critic.net[0].out_features, critic.pz_trick, critic.lr) == (9, True, 0.2)
    with pytest.raises(ValueError, match="likelihood must be 'bernoulli' or 'gaussian', not 'laplace'"):
        aae(DIM, likelihood="laplace")
