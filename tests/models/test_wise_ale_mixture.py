"""WiSE-ALE sampling from its mixture: it trains as WiSE-ALE does, and its samples and density are those of the posteriors it kept."""

from pathlib import Path

import pytest
import torch
from small_methods import DIM, LEVELS, build, images, noise, pixels, training, weights
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from models.method import AutoEncoder
from models.parts.batch_mixture import BatchMixture
from models.wise_ale import wise_ale
from models.wise_ale_mixture import wise_ale_mixture

X = images(5)


def finished(count: int = 5) -> AutoEncoder:
    """With the posteriors of X."""
    method = build(lambda: wise_ale_mixture(DIM, images=count))
    method.run_hook("training_ended", 1, lambda n: X[:n], noise(3))
    return method


def by_library(method: AutoEncoder, x: torch.Tensor) -> MixtureSameFamily:
    with torch.no_grad():
        q = method.draw(x, noise())
    assert q.log_variance is not None
    return MixtureSameFamily(Categorical(torch.ones(len(x))), Independent(Normal(q.mean, (0.5 * q.log_variance).exp()), 1))


def test_it_trains_as_wise_ale_does() -> None:
    makes = (lambda: wise_ale_mixture(DIM), lambda: wise_ale(DIM))
    methods = [build(make) for make in makes]
    for method in methods:
        batches = Batches(pixels(40), LEVELS, 8, seed=3)
        assert train(training(method, Budget(steps=20), batches, seed=4), batches).status == "done"
    mixture, plain = map(weights, methods)
    assert {name: mixture[name] for name in plain} == plain


def test_its_density_is_the_mean_of_the_posteriors_that_it_kept() -> None:
    method, z = finished(), torch.randn(20, DIM, generator=noise(1))
    assert torch.allclose(method.prior.log_prob(z), by_library(method, X).log_prob(z), atol=1e-4)


def test_its_samples_have_the_mixtures_moments() -> None:
    method = finished()
    z, known = method.prior.sample(40_000, noise(1)), by_library(method, X)
    assert z.mean(0).tolist() == pytest.approx(known.mean.tolist(), abs=0.03)
    assert z.var(0).tolist() == pytest.approx(known.variance.tolist(), rel=0.05)


def test_fewer_images_than_components_are_taken_over_and_over() -> None:
    method, z = finished(count=10), torch.randn(20, DIM, generator=noise(1))
    assert torch.allclose(method.prior.log_prob(z), by_library(method, X).log_prob(z), atol=1e-4)


def test_before_training_has_ended_it_is_a_normal_and_a_state_keeps_it(tmp_path: Path) -> None:
    z = torch.randn(20, DIM, generator=noise(1))
    fresh, method = build(lambda: wise_ale_mixture(DIM, images=5)), finished()
    assert torch.allclose(fresh.prior.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(1), atol=1e-5)
    torch.save(method.state_dict(), tmp_path / "state")
    fresh.load_state_dict(torch.load(tmp_path / "state"))
    assert torch.equal(fresh.prior.log_prob(z), method.prior.log_prob(z))


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="images must be at least 1, not 0"):
        BatchMixture(DIM, 0)
