"""The normal prior against torch.distributions and its own draws."""

import math

import pytest
import torch
from small_methods import noise, normal
from torch.distributions import Normal

from models.parts.prior import StandardNormal


@pytest.mark.parametrize("variance", [1.0, 0.25, 4.0])
def test_log_density_is_the_librarys(variance: float) -> None:
    z = 2 * normal(6, 3, seed=1)
    library = Normal(0.0, math.sqrt(variance)).log_prob(z).sum(1)
    assert StandardNormal(3, variance).log_prob(z).tolist() == pytest.approx(library.tolist())


def test_density_integrates_to_one() -> None:
    side = torch.linspace(-12, 12, 241, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    assert StandardNormal(2, 3.0).log_prob(grid).exp().sum().item() * 0.1**2 == pytest.approx(1)


@pytest.mark.parametrize("variance", [1.0, 4.0])
def test_draws_have_its_mean_and_variance(variance: float) -> None:
    n = 20_000
    z = StandardNormal(3, variance).sample(n, noise())
    assert z.shape == (n, 3)
    assert z.mean(0).tolist() == pytest.approx([0] * 3, abs=5 * math.sqrt(variance / n))
    covariance = torch.cov(z.T)
    assert (covariance - variance * torch.eye(3)).abs().max() < 5 * variance * math.sqrt(2 / n)


def test_draws_are_fresh_and_belong_to_the_seed() -> None:
    prior, stream = StandardNormal(2), noise()
    first, second = prior.sample(4, stream), prior.sample(4, stream)
    assert not torch.equal(first, second)
    assert torch.equal(first, prior.sample(4, noise()))


@pytest.mark.parametrize("variance", [0, -1, math.inf, math.nan])
def test_a_prior_variance_is_positive(variance: float) -> None:
    with pytest.raises(ValueError, match=f"prior_variance must be positive, not {variance}"):
        StandardNormal(2, variance)


def test_priors_say_what_they_are() -> None:
    assert [str(StandardNormal(2)), str(StandardNormal(2, 0.5))] == ["N(0, I)", "N(0, 0.5 I)"]
