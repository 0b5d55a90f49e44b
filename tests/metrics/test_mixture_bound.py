"""KL_UB of a batch's mixture (WiSE-ALE Eq. 21): golden values, loops, its place between the true KL and the figures of SPEC 7.2."""

import math

import pytest
import torch
from small_methods import normal, rows
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from metrics.divergences import gaussian_kl
from metrics.mixture_bound import log_overlaps, mixture_kl_bound

GOLDEN = 5e-7  # six printed decimals


def tensor(values: list[list[float]]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bound(mean: list[list[float]], variance: list[list[float]]) -> float:
    return mixture_kl_bound(tensor(mean), tensor(variance).log()).item()


TWO = ([[0, 0], [1, -1]], [[1, 0.25], [0.5, 0.04]])


def test_the_bound_has_the_golden_values() -> None:
    assert bound([[0]], [[1]]) == pytest.approx(0.153426, abs=GOLDEN)
    assert bound([[2], [-2]], [[1], [1]]) == pytest.approx(1.478429, abs=GOLDEN)
    assert bound(*TWO) == pytest.approx(1.001002, abs=GOLDEN)
    assert gaussian_kl(tensor(TWO[0]), tensor(TWO[1]).log()).mean().item() == pytest.approx(1.272079, abs=GOLDEN)


@pytest.mark.parametrize("dim", [1, 7, 64])
def test_at_the_prior_it_is_not_zero(dim: int) -> None:
    zeros = torch.zeros(5, dim, dtype=torch.float64)
    assert mixture_kl_bound(zeros, zeros).item() == pytest.approx(dim / 2 * (1 - math.log(2)))  # SPEC T13


def bound_by_loops(mean: Tensor, log_variance: Tensor) -> float:
    mu, s2 = rows(mean), rows(log_variance.exp())
    m, d = len(mu), len(mu[0])
    total = 0.0
    for i in range(m):
        mixture = 0.0
        for j in range(m):
            product = 1.0
            for k in range(d):
                v = s2[i][k] + s2[j][k]
                product *= math.exp(-((mu[i][k] - mu[j][k]) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
            mixture += product / m
        total += math.log(mixture) / m
        total += sum(s2[i][k] + mu[i][k] ** 2 + math.log(2 * math.pi) for k in range(d)) / (2 * m)
    return total


@pytest.mark.parametrize(("m", "d", "scale"), [(1, 3, 1.0), (6, 1, 2.0), (7, 4, 0.5)])
def test_the_bound_is_the_loops(m: int, d: int, scale: float) -> None:
    mean, log_variance = scale * normal(m, d, seed=1), normal(m, d, seed=2) - 1
    assert mixture_kl_bound(mean, log_variance).item() == pytest.approx(bound_by_loops(mean, log_variance))


def test_an_overlap_is_the_integral_of_the_product() -> None:
    mean, log_variance = tensor([[0.3], [-1.1]]), tensor([[-0.5], [0.4]])
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    densities = [Normal(m, (0.5 * lv).exp()).log_prob(grid).exp() for m, lv in zip(mean, log_variance, strict=True)]
    integrals = [[torch.trapezoid(a * b, grid).log().item() for b in densities] for a in densities]
    assert log_overlaps(mean, log_variance).tolist() == [pytest.approx(row) for row in integrals]


def monte_carlo_kl(mean: Tensor, log_variance: Tensor, n: int = 200_000) -> tuple[float, float]:
    """KL of the mixture to N(0, I) by torch.distributions, and its standard error."""
    parts = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(len(mean), dtype=mean.dtype)), parts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        z = mixture.sample((n,))
    ratio = mixture.log_prob(z) - Normal(0.0, 1.0).log_prob(z).sum(-1)
    return ratio.mean().item(), ratio.std().item() / math.sqrt(n)


def test_it_lies_above_the_mixtures_kl_and_the_golden_one_is_so() -> None:
    kl, error = monte_carlo_kl(tensor(TWO[0]), tensor(TWO[1]).log())
    assert kl == pytest.approx(0.722, abs=0.0005 + 4 * error)
    for seed in range(8):
        m, d = 2 + seed, 1 + seed % 3
        mean, log_variance = (1 + seed / 4) * normal(m, d, seed=seed), normal(m, d, seed=seed + 50) - seed / 3
        kl, error = monte_carlo_kl(mean, log_variance, 20_000)
        assert mixture_kl_bound(mean, log_variance).item() >= kl - 4 * error


def test_of_one_gaussian_it_is_the_kl_and_the_entropy_that_jensen_loses() -> None:
    """N = 1: E log q ≤ log E q, and the difference is d/2 (1 - log 2), whatever the variance."""
    mean, log_variance = normal(1, 4, seed=1), normal(1, 4, seed=2)
    expected = gaussian_kl(mean, log_variance).item() + 4 / 2 * (1 - math.log(2))
    assert mixture_kl_bound(mean, log_variance).item() == pytest.approx(expected)


def test_a_batch_repeated_has_the_same_bound() -> None:
    mean, log_variance = normal(5, 3, seed=1), normal(5, 3, seed=2)
    twice = mixture_kl_bound(mean.repeat(2, 1), log_variance.repeat(2, 1))
    assert twice.item() == pytest.approx(mixture_kl_bound(mean, log_variance).item())


@pytest.mark.parametrize(("m", "sigma", "value", "aevb"), [(1, 0.717, 0.1836, 0.5), (2, 0.948, 1.4746, 2.0), (3, 0.999, 3.9604, 4.5)])
def test_figure_4_of_the_paper(m: float, sigma: float, value: float, aevb: float) -> None:
    """SPEC 7.2: two posteriors at ±m of one σ; where KL_UB and the mean KL of AEVB are smallest."""
    sigmas = torch.arange(0.3, 1.6, 0.0005, dtype=torch.float64)
    mean = tensor([[m], [-m]])
    curve = torch.stack([mixture_kl_bound(mean, (2 * s.log()).expand(2, 1)) for s in sigmas])
    kls = torch.stack([gaussian_kl(mean, (2 * s.log()).expand(2, 1)).mean() for s in sigmas])
    assert sigmas[curve.argmin()].item() == pytest.approx(sigma, abs=0.001)
    assert curve.min().item() == pytest.approx(value, abs=5e-5)
    assert sigmas[kls.argmin()].item() == pytest.approx(1, abs=0.001)
    assert kls.min().item() == pytest.approx(aevb, abs=1e-5)
    near = (sigmas - sigma).abs() < 0.05
    assert curve[near].max() - curve.min() < 0.01, "flat around it"


@pytest.mark.parametrize("small", [-20.0, -50.0, -90.0])
def test_it_neither_overflows_nor_underflows(small: float) -> None:
    """SPEC T13: 64 latents of small σ, codes far apart; a product of densities would be inf or 0, and so would a variance's square."""
    mean = (100 * normal(32, 64, seed=1)).float().requires_grad_()
    log_variance = torch.full((32, 64), small, requires_grad=True)
    value = mixture_kl_bound(mean, log_variance)
    own = 64 * -0.5 * (math.log(4 * math.pi) + small) - math.log(32)  # only j = i is left of the mixture
    cross = 0.5 * (mean.detach().double().square().sum(1).mean() + 64 * (math.exp(small) + math.log(2 * math.pi)))
    assert value.item() == pytest.approx(own + cross.item(), rel=1e-5)
    of_mean, of_log_variance = torch.autograd.grad(value, (mean, log_variance))
    assert torch.allclose(of_mean, mean / 32, atol=1e-5)  # of the cross-entropy: the overlaps are 0
    assert torch.allclose(of_log_variance, torch.full((32, 64), (math.exp(small) - 1) / 64), rtol=1e-4)


def test_gradients_are_those_of_differences() -> None:
    mean, log_variance = normal(3, 2, seed=1).requires_grad_(), normal(3, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(mixture_kl_bound, (mean, log_variance))
