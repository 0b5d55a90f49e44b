"""β-TCVAE: both minibatch estimates by loops and against the metrics', and what β = 1 is."""

import math

import pytest
import torch
from small_methods import DIM, build, images, noise, normal, rows

from metrics import total_correlation as metric
from models.beta_tcvae import MinibatchTotalCorrelation, beta_tcvae
from models.interfaces import Draw
from models.parts.schedule import Schedule
from models.vae import vae_bernoulli

X, M, N = images(6), 5, 40
MEAN, LOG_VARIANCE = normal(M, 3, seed=1), normal(M, 3, seed=2)
DRAW = Draw(MEAN + (0.5 * LOG_VARIANCE).exp() * normal(M, 3, seed=3), MEAN, LOG_VARIANCE, noise())


def log_normal(z: float, mean: float, log_variance: float) -> float:
    return -0.5 * ((z - mean) ** 2 / math.exp(log_variance) + log_variance + math.log(2 * math.pi))


def total_correlation_by_loops(draw: Draw, weight: object) -> float:
    """weight(i, j): of q(z_i|x_j)."""
    assert draw.log_variance is not None
    zs, means, log_variances = rows(draw.z), rows(draw.mean), rows(draw.log_variance)
    total = 0.0
    for i, z in enumerate(zs):
        terms = [[log_normal(*at) for at in zip(z, mean, v, strict=True)] for mean, v in zip(means, log_variances, strict=True)]
        joint = sum(weight(i, j) * math.exp(sum(term)) for j, term in enumerate(terms))
        marginals = [sum(weight(i, j) * math.exp(term[k]) for j, term in enumerate(terms)) for k in range(len(z))]
        total += math.log(joint) - sum(map(math.log, marginals))
    return total / len(zs)


def stratified(i: int, j: int) -> float:
    if j == i:
        return 1 / N
    return (N - M + 1) / (N * (M - 1)) if j == (i + 1) % M else 1 / (M - 1)


def test_both_estimates_are_the_loops() -> None:
    weighted = MinibatchTotalCorrelation("mws", 2)(DRAW, None).item()
    assert weighted == pytest.approx(total_correlation_by_loops(DRAW, lambda i, j: 1 / M))
    assert MinibatchTotalCorrelation("mss", N)(DRAW, None).item() == pytest.approx(total_correlation_by_loops(DRAW, stratified))


def test_they_are_those_of_the_metrics_but_for_a_constant() -> None:
    mws = metric.total_correlation(metric.minibatch_weighted(DRAW.z, MEAN, LOG_VARIANCE, N)).item()
    mss = metric.total_correlation(metric.minibatch_stratified(DRAW.z, MEAN, LOG_VARIANCE, N)).item()
    assert MinibatchTotalCorrelation("mws", N)(DRAW, None).item() == pytest.approx(mws - 2 * math.log(N))
    assert MinibatchTotalCorrelation("mss", N)(DRAW, None).item() == pytest.approx(mss)


def test_independent_latents_have_none_and_copied_ones_have_much() -> None:
    """One q(z|x) for all images is a product, so its TC is 0; two latents that say the same say it twice."""
    one = torch.zeros(M, 3, dtype=torch.float64)
    assert MinibatchTotalCorrelation("mws", 2)(Draw(normal(M, 3), one, one, noise()), None).item() == pytest.approx(0, abs=1e-12)
    z = torch.arange(M, dtype=torch.float64)[:, None].expand(-1, 2)
    copied = MinibatchTotalCorrelation("mws", 2)(Draw(z, z, torch.full_like(z, -20.0), noise()), None)
    assert copied.item() == pytest.approx(math.log(M))


@pytest.mark.parametrize("estimate", ["mws", "mss"])
def test_the_loss_is_the_vaes_and_beta_minus_one_times_the_estimate(estimate: str) -> None:
    vae = build(lambda: vae_bernoulli(DIM)).terms(X, noise(4))
    same = build(lambda: beta_tcvae(DIM, beta=1.0, estimate=estimate, images=N)).terms(X, noise(4))
    method = build(lambda: beta_tcvae(DIM, beta=3.0, estimate=estimate, images=N))
    draw = method.draw(X, noise(4))
    total = method.recipe.regularisers[1][1](draw, None).item()
    assert same["loss"].item() == pytest.approx(vae["loss"].item(), rel=1e-6)
    assert method.terms(X, noise(4))["loss"].item() == pytest.approx(vae["loss"].item() + 2 * total, rel=1e-5)


def test_a_schedule_of_beta_is_shifted_too() -> None:
    (_, _), (weight, _) = beta_tcvae(DIM, beta=Schedule(1, 5, 10)).regularisers
    assert weight == Schedule(0, 4, 10)


@pytest.mark.parametrize(
    ("values", "message"),
    [({"beta": 0.5}, "beta must be 1 or larger, not 0.5"), ({"images": 1}, "images must be at least 2, not 1")],
)
def test_impossible_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        beta_tcvae(DIM, **values)
