"""Noise models of encoders: what is drawn, from which generator, and what the draw says of itself."""

import math

import pytest
import torch
from small_methods import noise, normal, rows

from models.parts.posterior import SIGMAS, AdditiveNoise, Deterministic, DiagonalGaussian, standard_normal_like

FEATURES = normal(5, 4, seed=1)


def test_deterministic_codes_are_the_features_and_draw_nothing() -> None:
    stream = noise()
    before = stream.get_state()
    draw = Deterministic()(FEATURES, stream)
    assert draw.z is draw.mean is FEATURES
    assert draw.log_variance is None
    assert torch.equal(stream.get_state(), before)
    assert (Deterministic().outputs, Deterministic().variance) == (1, 0)


def test_additive_noise_is_mean_plus_deviation_times_epsilon() -> None:
    draw = AdditiveNoise(0.2)(FEATURES, noise(3))
    epsilon = rows(standard_normal_like(FEATURES, noise(3)))
    loops = [[m + math.sqrt(0.2) * e for m, e in zip(ms, es, strict=True)] for ms, es in zip(rows(FEATURES), epsilon, strict=True)]
    assert rows(draw.z) == [pytest.approx(row) for row in loops]
    assert draw.mean is FEATURES
    assert draw.log_variance is not None
    assert rows(draw.log_variance) == [pytest.approx([math.log(0.2)] * 4)] * 5
    assert (AdditiveNoise(0.2).outputs, AdditiveNoise(0.2).variance) == (1, 0.2)


def test_the_number_given_is_a_variance() -> None:
    features = torch.zeros(20_000, 2)
    z = AdditiveNoise(0.2)(features, noise()).z
    assert z.var().item() == pytest.approx(0.2, abs=5 * 0.2 * math.sqrt(2 / 40_000))  # SPEC T6
    assert z.mean().item() == pytest.approx(0, abs=5 * math.sqrt(0.2 / 40_000))


def test_no_variance_is_no_noise_at_all() -> None:
    stream = noise()
    before = stream.get_state()
    draw = AdditiveNoise(0.0)(FEATURES, stream)
    assert draw.z is FEATURES
    assert draw.log_variance is None
    assert torch.equal(stream.get_state(), before)


def test_noise_is_new_at_each_call_and_the_same_from_the_same_seed() -> None:
    stream, posterior = noise(), AdditiveNoise(1.0)
    first, second = posterior(FEATURES, stream).z, posterior(FEATURES, stream).z
    assert not torch.equal(first, second)
    assert torch.equal(first, posterior(FEATURES, noise()).z)


def test_diagonal_gaussian_takes_means_then_log_variances() -> None:
    draw = DiagonalGaussian()(FEATURES, noise(3))
    epsilon = rows(standard_normal_like(FEATURES[:, :2], noise(3)))
    loops = [
        [f[k] + math.exp(f[2 + k] / 2) * e[k] for k in range(2)]  # z = μ + σ ε
        for f, e in zip(rows(FEATURES), epsilon, strict=True)
    ]
    assert rows(draw.z) == [pytest.approx(row) for row in loops]
    assert torch.equal(draw.mean, FEATURES[:, :2])
    assert draw.log_variance is not None
    assert torch.equal(draw.log_variance, FEATURES[:, 2:])
    assert (DiagonalGaussian().outputs, DiagonalGaussian().variance) == (2, None)


@pytest.mark.parametrize("variance", [0.0, 0.3])
def test_gradients_pass_through_the_draw(variance: float) -> None:
    features = FEATURES.clone().requires_grad_()
    AdditiveNoise(variance)(features, noise()).z.sum().backward()
    assert torch.equal(features.grad, torch.ones_like(FEATURES))


@pytest.mark.parametrize("variance", [-0.1, math.inf, math.nan])
def test_what_is_no_variance_is_refused(variance: float) -> None:
    with pytest.raises(ValueError, match=f"noise_variance must be a variance, 0 or larger, not {variance}"):
        AdditiveNoise(variance)


def test_posteriors_say_what_they_are() -> None:
    assert [str(q) for q in (Deterministic(), AdditiveNoise(0.05), DiagonalGaussian())] == [
        "deterministic",
        "additive noise, σ² = 0.05",
        "diagonal Gaussian",
    ]
    assert str(DiagonalGaussian("relu")) == "diagonal Gaussian, σ from relu"


@pytest.mark.parametrize("sigma", SIGMAS)
def test_every_way_to_make_sigma_says_the_deviation_of_its_draws(sigma: str) -> None:
    features = torch.tensor([[0.5, -1.0, 0.3, -0.2]]).expand(20_000, 4)
    draw = DiagonalGaussian(sigma)(features, noise())  # type: ignore[arg-type]
    assert draw.log_variance is not None
    raw = (0.3, -0.2)
    softplus = [math.log1p(math.exp(r)) for r in raw]
    variances = {
        "exp": [math.exp(r) for r in raw],
        "relu": [(0.001 + max(r, 0)) ** 2 for r in raw],
        "softplus": [(0.001 + s) ** 2 for s in softplus],
        "softplus variance": softplus,
    }
    assert draw.log_variance[0].exp().tolist() == pytest.approx(variances[sigma], rel=1e-5)
    assert draw.z.var(0).tolist() == pytest.approx(variances[sigma], rel=0.05)
    assert draw.z.mean(0).tolist() == pytest.approx([0.5, -1.0], abs=0.04)
