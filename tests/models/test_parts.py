"""What parts declare: hooks by their names, and whether a step that uses them may be recorded as a CUDA graph."""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_methods import DIM, LEVELS, build, noise, normal, pixels, training
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

import metrics
import models
from bench.datasets.batches import Batches
from bench.registry import catalogue, load_plugin, modules
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training, train
from metrics.aggregate_posterior import exact_log_prior
from metrics.latent import Codes, has_closed_form
from models.assembly import check_hooks
from models.interfaces import HOOKS, Draw, Prior
from models.networks.stacked import stacked_mlp
from models.parts.posterior import DiagonalGaussian
from models.parts.prior import StandardNormal
from models.vae import KL, vae_bernoulli

KNOWN = catalogue()
FITTED_BETWEEN_EPOCHS = {"prior_gmm", "prior_hier", "ladder"}
SHAPE = (1, 8, 8)


@pytest.mark.parametrize("name", sorted(KNOWN.methods))
def test_every_part_of_the_methods_declares_that_it_may_be_recorded(name: str) -> None:
    make = KNOWN.methods[name]
    network = stacked_mlp if make.__module__ == "models.stacked" else KNOWN.networks["mlp"]
    reason = make(DIM).assemble(SHAPE, DIM, network).why_eager()
    assert reason == ("a part of the method is fitted between epochs" if name in FITTED_BETWEEN_EPOCHS else None)


OWN_MODULES = [
    kind
    for package in (models, metrics)
    for module in modules(package)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, torch.nn.Module) and kind.__module__ == module.__name__
]


def test_every_layer_of_the_networks_declares_it_too() -> None:
    silent = {kind.__name__ for kind in OWN_MODULES if kind.__module__.startswith("models.networks") and not vars(kind).get("capturable")}
    assert silent == set()


@dataclass(frozen=True)
class Silent:
    """Declares nothing."""

    name = "silent"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return draw.z.square().mean()


class Inherits(DiagonalGaussian):
    """What its base declares says nothing of what it adds."""


class Layer(torch.nn.Linear):
    """A layer of somebody's own."""


def own_layer(shape: tuple[int, int, int], dim: int, outputs: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    encoder, decoder = KNOWN.networks["mlp"](shape, dim, outputs)
    return torch.nn.Sequential(encoder, Layer(outputs * dim, outputs * dim)), decoder


def test_what_declares_nothing_is_eager_and_named() -> None:
    recipe = vae_bernoulli(DIM)
    mlp = KNOWN.networks["mlp"]
    for other, network, name in (
        (replace(recipe, regularisers=((1.0, Silent()),)), mlp, "Silent"),
        (replace(recipe, posterior=Inherits()), mlp, "Inherits"),
        (recipe, own_layer, "Layer"),
    ):
        method = other.assemble(SHAPE, DIM, network)
        assert method.why_eager() == f"{name} does not declare that it may be recorded (capturable = True)"
        stream = SimpleNamespace(device=torch.device("cuda"))  # no GPU is needed to be told so
        taken = Training(method, Plan(Budget(steps=1), Optimizer(), 1, 1), stream)
        assert taken.execution == f"eager: {method.why_eager()}"


@pytest.mark.parametrize("near", ["epoch_end", "epochs_ended", "training_begin", "on_training_ended", "player", "expected_logprob"])
def test_a_misspelt_hook_is_refused(near: str) -> None:
    part = type("Mine", (Silent,), {near: lambda self, *_: None})()
    with pytest.raises(ValueError, match=f"Mine has a method '{near}', which nothing calls; did you mean the hook '"):
        replace(vae_bernoulli(DIM), regularisers=((1.0, part),)).assemble(SHAPE, DIM, KNOWN.networks["mlp"])


def test_hooks_themselves_and_other_names_are_taken() -> None:
    for name in (*HOOKS, "fit", "codes", "logit"):
        check_hooks(type("Mine", (Silent,), {name: lambda self, *_: []})())


COUNTER = """
step = 0
def beta():
    "0 for the first 100 steps, then 1: a schedule that a module of the plugin's own keeps."
    global step
    step += 1
    return float(step > 100)
"""
PLUGIN = """
from dataclasses import dataclass, replace
import kl_schedule_of_a_plugin as schedule
from metrics.divergences import gaussian_kl
from models.parts.prior import StandardNormal
from models.vae import KL, vae_bernoulli

@dataclass(frozen=True)
class WarmKL:
    name = "kl"
    def __call__(self, draw, prior):
        return schedule.beta() * gaussian_kl(draw.mean, draw.log_variance).mean()
    def __str__(self):
        return "KL, switched on at step 101"

def warm_vae(dim: int):
    "A VAE whose KL is switched on by a counter in a module that this plugin imports."
    return replace(vae_bernoulli(dim), regularisers=((1.0, WarmKL()),))

METHODS = [warm_vae]
"""


def test_a_plugin_that_counts_in_a_module_of_its_own_trains_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that were recorded once would never see the KL switched on."""
    (tmp_path / "kl_schedule_of_a_plugin.py").write_text(COUNTER)
    (tmp_path / "warm.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    warm_vae = load_plugin(tmp_path / "warm.py").METHODS[0]
    data = Batches(pixels(20), LEVELS, 5, 1)
    method = build(lambda: warm_vae(DIM))
    outcome = train(training(method, Budget(steps=200), data), data)
    assert [row["autoencoder.kl"] > 0 for row in outcome.curve] == [False, False, True, True]
    assert sys.modules["kl_schedule_of_a_plugin"].step == 200
    assert method.why_eager() == "WarmKL does not declare that it may be recorded (capturable = True)"  # so never a CUDA graph


class Wide(StandardNormal):
    """N(0, 9 I) by its draws and its density alone: it inherits the closed forms of N(0, I)."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        return 3 * super().sample(n, noise)

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z / 3) - self.dim * math.log(3)


def test_the_kl_is_that_to_the_prior_that_is_there() -> None:
    """By torch's own KL, for a prior of another variance in closed form and for one without any by many draws."""
    mean, log_variance = normal(1, DIM, seed=1).expand(40_000, -1), 0.3 * normal(1, DIM, seed=2).expand(40_000, -1)
    z = mean + (0.5 * log_variance).exp() * normal(40_000, DIM, seed=3)
    draw = Draw(z, mean, log_variance, noise())
    q = Independent(Normal(mean[0], (0.5 * log_variance[0]).exp()), 1)
    for prior, scale in ((StandardNormal(DIM), 1.0), (StandardNormal(DIM, 100.0), 10.0)):
        p = Independent(Normal(torch.zeros(DIM).double(), scale), 1)
        assert KL()(draw, prior).item() == pytest.approx(kl_divergence(q, p).item(), rel=1e-9)
    assert KL()(draw, Wide(DIM)).item() == pytest.approx(
        kl_divergence(q, Independent(Normal(torch.zeros(DIM).double(), 3.0), 1)).item(), rel=0.02
    )


def test_an_inherited_closed_form_is_not_that_of_an_overridden_density() -> None:
    """E log p(z) of a wider normal: the inherited form would be that of N(0, I)."""
    codes = Codes(normal(500, DIM, seed=3), normal(500, DIM, seed=3), torch.full((500, DIM), -2.0).double())
    expected = Normal(0.0, 3.0).log_prob(codes.mean).sum(1) - 0.5 * DIM * math.exp(-2) / 9
    found = exact_log_prior(Wide(DIM), codes, noise())
    assert found.mean().item() == pytest.approx(expected.mean().item(), abs=0.02)
    assert has_closed_form(StandardNormal(DIM), "mean_log_prob")
    assert not has_closed_form(Wide(DIM), "mean_log_prob")
