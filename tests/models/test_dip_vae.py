"""DIP-VAE: both covariances by loops, and where the penalty is nothing."""

import math

import pytest
import torch
from small_methods import DIM, build, images, noise, normal, rows

from models.dip_vae import CovarianceMismatch, dip_vae_i, dip_vae_ii
from models.interfaces import Draw
from models.vae import vae_bernoulli

X = images(6)


def mismatch_by_loops(mean: list[list[float]], log_variance: list[list[float]], ratio: float, noisy: bool) -> float:
    n, d = len(mean), len(mean[0])
    centre = [sum(row[k] for row in mean) / n for k in range(d)]
    total = 0.0
    for k in range(d):
        for m in range(d):
            covariance = sum((row[k] - centre[k]) * (row[m] - centre[m]) for row in mean) / n
            if k != m:
                total += covariance**2
            else:
                covariance += noisy * sum(math.exp(row[k]) for row in log_variance) / n
                total += ratio * (covariance - 1) ** 2
    return total


@pytest.mark.parametrize("noisy", [False, True])
def test_the_penalty_is_the_loops(noisy: bool) -> None:
    mean, log_variance = normal(7, 3, seed=1), normal(7, 3, seed=2)
    expected = mismatch_by_loops(rows(mean), rows(log_variance), 4.0, noisy)
    assert CovarianceMismatch(4.0, noisy)(Draw(mean, mean, log_variance, noise()), None).item() == pytest.approx(expected)


def test_codes_of_unit_covariance_cost_nothing() -> None:
    mean = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert CovarianceMismatch(10.0, noise=False)(Draw(mean, mean, mean, noise()), None).item() == 0
    half = math.sqrt(0.5) * mean
    assert CovarianceMismatch(10.0, noise=True)(Draw(half, half, torch.full_like(mean, math.log(0.5)), noise()), None).item() < 1e-12


@pytest.mark.parametrize(("make", "noisy"), [(dip_vae_i, False), (dip_vae_ii, True)])
def test_the_loss_is_the_vaes_and_the_penalty(make: object, noisy: bool) -> None:
    method = build(lambda: make(DIM, weight=3.0, ratio=2.0))
    draw = method.draw(X, noise(4))
    penalty = mismatch_by_loops(rows(draw.mean), rows(draw.log_variance), 2.0, noisy)
    vae = build(lambda: vae_bernoulli(DIM)).terms(X, noise(4))["loss"].item()
    assert method.terms(X, noise(4))["loss"].item() == pytest.approx(vae + 3 * penalty, rel=1e-5)


@pytest.mark.parametrize("make", [dip_vae_i, dip_vae_ii])
def test_impossible_values_are_refused(make: object) -> None:
    for values, message in (
        ({"weight": -1.0}, "weight must be 0 or larger, not -1.0"),
        ({"ratio": -1.0}, "ratio must be 0 or larger, not -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            make(DIM, **values)
