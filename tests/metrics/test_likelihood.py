"""Bounds of log p(x) on a linear Gaussian model, whose log p(x) is known; kinds of likelihood kept apart."""

import math
from dataclasses import dataclass

import pytest
import torch
from small_methods import DIM, LEVELS, build, images, noise, normal, pixels, training, uniform, weights
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from metrics import likelihood as module
from metrics.aggregate_posterior import exact_log_prior
from metrics.latent import Codes
from metrics.likelihood import (
    METRICS,
    OfKind,
    active_units,
    elbo,
    importance_bound,
    log_likelihoods,
    log_q,
    log_weights,
)
from metrics.metric import Unavailable, Views, measure
from models.avb import avb
from models.iaf import vae_iaf
from models.interfaces import Draw
from models.ladder import prior_hier, vae_laplace
from models.parts.cost import Laplace
from models.parts.prior import StandardNormal
from models.vae import ae, vae_bernoulli, vae_gauss


@dataclass
class Linear:
    """x = W z + N(0, s² I), z ~ N(0, I); q(z|x) = N(A x, v I), which is not the posterior."""

    weight: Tensor  # (P, D)
    s: float
    v: float
    likelihood = "gaussian"

    @property
    def posterior(self) -> tuple[Tensor, Tensor]:
        precision = torch.eye(self.weight.shape[1]).double() + self.weight.T @ self.weight / self.s**2
        covariance = torch.linalg.inv(precision)
        return covariance @ self.weight.T / self.s**2, covariance

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        mean = x.flatten(1) @ self.posterior[0].T + 0.1
        epsilon = torch.randn(mean.shape, generator=noise, dtype=torch.float64)
        return Draw(mean + math.sqrt(self.v) * epsilon, mean, torch.full_like(mean, math.log(self.v)), noise)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        return Independent(Normal(z @ self.weight.T, self.s), 1).log_prob(x.flatten(1))

    def log_evidence(self, x: Tensor) -> Tensor:
        covariance = self.weight @ self.weight.T + self.s**2 * torch.eye(len(self.weight)).double()
        return MultivariateNormal(torch.zeros(len(self.weight)).double(), covariance).log_prob(x.flatten(1))


MODEL, PRIOR = Linear(normal(4, 2, seed=1), 0.5, 0.3), StandardNormal(2)
X = normal(200, 1, 2, 2, seed=2)


def bounds(draws: int) -> tuple[float, float]:
    log_w = log_weights(MODEL, PRIOR, X.split(60), noise(3), draws).values
    assert log_w.shape == (200, draws)
    return importance_bound(log_w).item(), log_w.mean().item()


def test_the_bound_climbs_to_the_known_evidence() -> None:
    exact = MODEL.log_evidence(X).mean().item()
    one, five, many = (bounds(draws)[0] for draws in (1, 5, 1000))
    assert one < five < many
    assert many == pytest.approx(exact, abs=0.02)
    assert one < exact - 0.3


def test_the_elbo_is_evidence_minus_the_kl_to_the_posterior() -> None:
    """Exact for a Gaussian: log p(x) - KL(q || p(z|x)), in the mean over draws."""
    repeats = X.repeat(50, 1, 1, 1)
    draw = MODEL.draw(repeats, noise(4))
    codes = Codes(draw.z, draw.mean, draw.log_variance)
    found = elbo(log_likelihoods(MODEL, repeats.split(999), codes).values, codes, exact_log_prior(PRIOR, codes, noise())).item()
    a, covariance = MODEL.posterior
    posterior = MultivariateNormal(repeats.flatten(1) @ a.T, covariance)
    q = MultivariateNormal(draw.mean, 0.3 * torch.eye(2).double())
    expected = (MODEL.log_evidence(repeats) - torch.distributions.kl_divergence(q, posterior)).mean().item()
    assert found == pytest.approx(expected, abs=0.1)
    assert found == pytest.approx(bounds(2000)[1], abs=0.1)  # L_1, by the weights of many draws


def test_importance_bound_is_the_loops() -> None:
    log_w = normal(5, 7, seed=1) * 3 - 400  # e^-400 is no float
    loops = [max(row) + math.log(sum(math.exp(w - max(row)) for w in row) / 7) for row in log_w.tolist()]
    assert importance_bound(log_w).item() == pytest.approx(sum(loops) / 5, rel=1e-12)


def test_log_q_is_torchs_and_a_flows_own() -> None:
    draw = MODEL.draw(X[:9], noise(1))
    assert log_q(draw).tolist() == pytest.approx(Independent(Normal(draw.mean, math.sqrt(0.3)), 1).log_prob(draw.z).tolist(), rel=1e-9)
    iaf = build(lambda: vae_iaf(DIM, steps=2, hidden=(8,)))
    drawn = iaf.draw(images(4), noise(2))
    assert log_q(drawn).tolist() == drawn.log_q.double().tolist()


@pytest.mark.parametrize(
    ("make", "kind"), [(vae_bernoulli, "bernoulli"), (vae_gauss, "gaussian"), (vae_laplace, "laplace"), (prior_hier, "laplace")]
)
def test_a_method_names_its_likelihood_and_gives_its_value_with_constants(make: object, kind: str) -> None:
    method, x, z = build(lambda: make(DIM)).eval(), images(6), normal(6, DIM).float()
    assert method.likelihood == kind
    y = method.decoder(z)
    of = {
        "bernoulli": lambda: torch.distributions.Bernoulli(logits=y, validate_args=False).log_prob(x),
        "gaussian": lambda: Normal(y.sigmoid(), math.sqrt(0.1)).log_prob(x),
        "laplace": lambda: torch.distributions.Laplace(y.sigmoid(), 0.5).log_prob(x),  # b' before any training
    }
    assert method.log_likelihood(x, z).tolist() == pytest.approx(of[kind]().flatten(1).sum(1).tolist(), rel=1e-5)


def test_a_squared_error_is_no_likelihood() -> None:
    method = build(lambda: ae(DIM))
    assert method.likelihood is None
    for of in (
        lambda: log_likelihoods(method, [images(2)], Codes(normal(2, DIM), normal(2, DIM), None)),
        lambda: log_weights(method, PRIOR, [images(2)], noise()),
    ):
        with pytest.raises(Unavailable, match="no likelihood"):
            of()


def test_a_posterior_without_density_has_no_weights_and_a_prior_of_draws_neither() -> None:
    with pytest.raises(Unavailable, match="no density"):
        log_weights(build(lambda: avb(DIM)), StandardNormal(DIM), [images(2)], noise())
    with pytest.raises(Unavailable, match="draws but no density"):
        log_weights(MODEL, object(), [X], noise())


def test_a_nested_prior_takes_part_by_single_weights_of_its_own() -> None:
    method = build(lambda: prior_hier(DIM, width=8, warmup_epochs=0, std_head="softplus")).eval()
    x = images(5)
    with torch.no_grad():
        found = log_weights(method, method.prior, [x], noise(1), draws=3).values
        stream, columns = noise(1), []
        for _ in range(3):
            draw = method.draw(x, stream)
            q = Independent(Normal(draw.mean, (0.5 * draw.log_variance).exp()), 1).log_prob(draw.z)
            columns.append(method.log_likelihood(x, draw.z) + method.prior.importance_log_prob(draw.z, 1, stream) - q)
    assert found.flatten().tolist() == pytest.approx(torch.stack(columns, 1).flatten().tolist(), rel=1e-4)


def test_the_laplace_scale_is_no_batchs() -> None:
    cost, x, y = Laplace("identity", scale=0.01), uniform(6, 1, 2, 2, seed=1), uniform(6, 1, 2, 2, seed=2)
    with torch.no_grad():
        cost.floor.fill_(0.2)
        whole = cost.log_likelihood(x, y)
        assert torch.equal(whole, torch.cat([cost.log_likelihood(a, b) for a, b in zip(x.split(1), y.split(1), strict=True)]))
        loops = [
            sum(-abs(a - b) / 0.2 - math.log(0.4) for a, b in zip(u.flatten().tolist(), v.flatten().tolist(), strict=True))
            for u, v in zip(x, y, strict=True)
        ]
        assert whole.tolist() == pytest.approx(loops, rel=1e-6)
        cost.scale.fill_(-0.7)
        of_scale = torch.distributions.Laplace(y, 0.7).log_prob(x).flatten(1).sum(1)
        assert cost.log_likelihood(x, y).tolist() == pytest.approx(of_scale.tolist(), rel=1e-6)


def test_the_floor_of_the_scale_is_the_mean_error_on_training_images() -> None:
    method, x = build(lambda: vae_laplace(DIM)), images(30)
    stream = noise(9)
    before = stream.get_state()
    method.run_hook("training_ended", 1, lambda n: x[:n], stream)
    assert torch.equal(stream.get_state(), before), "parts that are fitted later see the noise they would have seen"
    assert method.training
    with torch.no_grad():
        method.eval()
        error = (x - method.decode(method.draw(x, noise(0)).z)).abs().mean().item()
    assert method.recipe.cost.floor.item() == pytest.approx(error, rel=1e-6)


def test_active_units_are_those_whose_mean_moves() -> None:
    still, little, much = torch.zeros(100), torch.linspace(-0.1, 0.1, 100), torch.linspace(-1, 1, 100)
    assert active_units(torch.stack([still, little, much], 1)) == 1  # Var(little) = 0.0034, Var(much) = 0.34
    assert active_units(5 + torch.stack([still, 2 * little, much], 1)) == 2  # Var(2 little) = 0.0136
    assert active_units(torch.stack([still, 2 * little, much], 1), threshold=0.02) == 1


def test_kinds_are_kept_apart_and_each_metric_reads_its_own_view() -> None:
    codes = Codes(normal(6, 2, seed=1), 0.01 * normal(6, 2, seed=2) * torch.tensor([1, 50]), torch.zeros(6, 2).double())
    given = {
        "test.codes": codes,
        "test.log_prior.lower": torch.full((6,), -4.0).double(),
        "test.log_likelihood": OfKind("gaussian", torch.arange(6).double()),
        "test.log_weights": OfKind("gaussian", torch.full((6, 3), -11.0).double()),
    }
    views = Views({name: lambda v, value=value: value for name, value in given.items()})
    found = {metric.name: measure(metric, views) for metric in METRICS}
    entropy = math.log(2 * math.pi * math.e)  # of two latents of unit variance
    units = 1  # of the means; the draws move in both
    expected = {"elbo_gaussian": 2.5 + entropy - 4, "iw_bound_gaussian": -11, "distortion_gaussian": -2.5, "active_units": units}
    assert {name: entry["value"] for name, entry in found.items() if entry["value"] is not None} == pytest.approx(expected)
    for kind in ("bernoulli", "laplace"):
        for name in ("elbo", "iw_bound", "distortion"):
            assert found[f"{name}_{kind}"]["reason"] == "its likelihood is gaussian"
    assert len({entry["protocol"] for entry in found.values()}) == len(METRICS)
    assert f"K = {module.IMPORTANCE}" in found["iw_bound_laplace"]["protocol"]


def test_an_interrupted_run_has_the_floor_of_one_that_was_not() -> None:
    """The floor is a tensor of the state: a checkpoint from before the end goes on to it, one from after it has it."""
    batches = Batches(pixels(40), LEVELS, 10, seed=0)
    whole = training(build(lambda: vae_laplace(DIM)), Budget(steps=12), batches)
    assert train(whole, batches).status == "done"
    floor = whole.method.recipe.cost.floor.item()
    assert floor > 0
    half = training(build(lambda: vae_laplace(DIM)), Budget(steps=12), batches)
    half.take_steps(batches, 5)
    before = half.state(1.0)
    assert all(float(value) == 0 for name, value in before["method"].items() if name.endswith("floor"))
    for state in (before, whole.state(1.0)):
        again = training(build(lambda: vae_laplace(DIM), seed=5), Budget(steps=12), batches)
        assert train(again, batches, state=state).status == "done"
        assert weights(again.method) == weights(whole.method)


def test_only_a_laplace_likelihood_adds_a_floor_to_the_weights() -> None:
    made = {make.__name__: build(lambda make=make: make(DIM)) for make in (ae, vae_bernoulli, vae_gauss, vae_laplace)}
    named = {name: {tensor for tensor in method.state_dict() if tensor.endswith("floor")} for name, method in made.items()}
    assert named == {"ae": set(), "vae_bernoulli": set(), "vae_gauss": set(), "vae_laplace": {"parts.0.floor"}}
