"""What every method, network, dataset and metric of the registry has to keep; a new one is tested by existing."""

import inspect
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_methods import build, images, noise, training, weights
from torch import Tensor
from variants import BYTES, DIM, KNOWN, VARIANTS, make

from bench.datasets.batches import Batches
from bench.datasets.dataset import Source
from bench.datasets.storage.pack import find
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.suites.schema import Budget
from bench.training import train as loop
from bench.training.train import train
from metrics.metric import Metric
from models.interfaces import Player
from models.method import AutoEncoder
from models.networks.network import Levels, Network

LARGE = 2**30  # values of a set that no test draws or decodes whole
SHAPES = {
    **dict.fromkeys(("wae_mnist", "small_conv", "wise_ale_mnist", "ladder_mnist", "ladder_fashion", "stacked_mnist_bottom"), (1, 28, 28)),
    **dict.fromkeys(("wae_celeba", "wise_ale_celeba", "vcae_shapes3d"), (3, 64, 64)),
    **dict.fromkeys(("ladder_celeba", "ladder_celeba_code"), (3, 128, 128)),
    "wise_ale_sine": (1, 1, 256),
}  # any other takes digits
HIERARCHIES = ("stacked_mlp", "stacked_mnist", "stacked_svhn", "stacked_celeba")  # tests/models/test_stacked.py has theirs
PLAIN = [name for name in KNOWN.networks if name not in HIERARCHIES]
SLOW = {"wise_ale_sine": 400}  # steps that a network of 1-d convolutions needs where others need 100
HEAVY = ("wae_mnist", "wae_celeba", "wise_ale_celeba", "vcae_shapes3d", "ladder_celeba", "ladder_celeba_code")
DEAR = ("ladder_mnist", "ladder_fashion", "stacked_mnist_bottom", "wise_ale_sine")  # two to ten seconds of training each


variants = pytest.mark.parametrize("variant", VARIANTS)
# a method as it is by default; its other choices, which change a term or a head, are trained where slow tests run
trained = pytest.mark.parametrize(
    "variant", [name if name in KNOWN.methods else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)


def with_different_codes(method: AutoEncoder) -> AutoEncoder:
    """Discrete codes of an untrained encoder may all be one, of which a decoder's first weights see nothing if it is 0."""
    if method.channel.bits is not None:
        with torch.no_grad():
            next(layer for layer in reversed(list(method.encoder.modules())) if isinstance(layer, torch.nn.Linear)).weight.mul_(20)
    return method


def given(player: Player) -> Tensor:
    """As many batches as the player asks for."""
    return torch.cat([X] * player.batches)


X = 0.8 * images(8, shape=(1, 8, 8))  # not so bright that an untrained LaDDer is below the floor of its scale, which has no gradient


def test_the_issues_methods_networks_and_datasets_are_there() -> None:
    assert {"ae", "vae_bernoulli", "vae_gauss", "beta_vae", "wae_mmd", "wae_gan", "cwae", "vcae", "dvcae"} <= set(KNOWN.methods)
    assert {"mlp", "small_conv", "wae_mnist", "wae_celeba"} <= set(KNOWN.networks)
    assert {"digits", "mnist", "reduced_mnist", "fashion_mnist"} <= set(KNOWN.datasets)
    kernels = {values["kernel"] for method, values in VARIANTS.values() if method.__name__ == "wae_mmd" and values}
    assert kernels == {"imq7", "rbf", "rbf_median"}


@variants
def test_every_term_is_a_finite_number(variant: str) -> None:
    for player in make(variant).players():
        terms = player.terms(given(player), noise())
        assert "loss" in terms
        assert all(term.shape == () and term.isfinite() for term in terms.values()), terms
        assert terms["loss"].requires_grad


@variants
def test_every_parameter_of_a_player_gets_a_gradient_and_no_other_does(variant: str) -> None:
    method = with_different_codes(make(variant))
    for player in method.players():
        method.zero_grad()
        torch.autograd.backward(player.terms(given(player), noise())["loss"], inputs=player.parameters)
        own = {id(p) for p in player.parameters}
        for name, parameter in method.named_parameters():
            has = parameter.grad is not None and bool(parameter.grad.any()) and bool(parameter.grad.isfinite().all())
            assert has == (id(parameter) in own), f"{player.name}: {name}"


@variants
def test_players_are_named_apart_disjoint_and_complete(variant: str) -> None:
    method = make(variant)
    players = method.players()
    moved = [id(p) for player in players for p in player.parameters]
    assert len(moved) == len(set(moved))
    assert set(moved) == {id(p) for p in method.parameters()}
    assert len({player.name for player in players}) == len(players)
    assert "autoencoder" in {player.name for player in players}


DIFFERENTIATES = ("rae_gp",)


class Taped(torch.nn.Module):
    """A network whose outputs are kept, and given once more, rounded as they were and in float32."""

    def __init__(self, network: torch.nn.Module, tape: list[Tensor]):
        super().__init__()
        self.network, self.tape, self.playing = network, tape, False

    def forward(self, x: Tensor) -> Tensor:
        if self.playing:
            return self.tape.pop(0).float()
        self.tape.append(self.network(x))
        return self.tape[-1]


@variants
def test_losses_of_networks_in_bfloat16_are_float32_losses_of_what_they_gave(variant: str) -> None:
    """To the bit: of the same outputs, rounded to bfloat16, each player's terms are what they are where nothing is rounded."""
    method, values = VARIANTS[variant]
    if method.__name__ in DIFFERENTIATES:
        pytest.skip("its loss is of the decoder's derivative, which no tape of outputs has")
    tape, made = list[Tensor](), list[Taped]()

    def taped(side: torch.nn.Module) -> torch.nn.Module:
        wrapped = [Taped(module, tape) for module in (side if isinstance(side, Levels) else [side])]
        made.extend(wrapped)
        return Levels(wrapped, side.dims) if isinstance(side, Levels) else wrapped[0]

    def network(shape: tuple[int, int, int], dim: int, outputs: int) -> Any:
        plain: Network = KNOWN.networks["stacked_mlp" if method.__module__ == "models.stacked" else "mlp"]
        encoder, decoder = plain(shape, dim, outputs)
        return taped(encoder), taped(decoder)

    trained = build(partial(method, DIM, **values), network=network, shape=(1, 8, 8), dim=DIM)
    for player in trained.players():
        tape.clear()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = player.terms(given(player), noise())
        assert {y.dtype for y in tape} == {torch.bfloat16}
        for module in made:
            module.playing = True
        exact = player.terms(given(player), noise())
        for module in made:
            module.playing = False
        assert tape == []
        assert {name: term.item() for name, term in rounded.items()} == {name: term.item() for name, term in exact.items()}
        assert {term.dtype for term in rounded.values()} == {torch.float32}


@variants
def test_a_draw_and_its_image(variant: str) -> None:
    method = make(variant)
    draw = method.draw(X, noise())
    assert draw.z.shape == draw.mean.shape == (8, method.dim)
    assert draw.log_variance is None or draw.log_variance.shape == (8, method.dim)
    x_hat = method.decode(100 * draw.z)
    assert x_hat.shape == X.shape
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


@variants
def test_what_the_channel_says_of_the_noise_is_so(variant: str) -> None:
    method = make(variant)
    variance, wide = method.channel.noise_variance, X[:1].expand(4000, -1, -1, -1)
    draw = method.draw(wide, noise())
    spread = (draw.z - draw.mean).square().mean().item()
    if variance is None:
        if draw.log_variance is None:  # no diagonal Gaussian: its spread has no such number
            assert spread > 0
            return
        variance = draw.log_variance.exp().mean().item()
    assert spread == pytest.approx(variance, rel=5 * math.sqrt(2 / (4000 * method.dim)))


@variants
def test_samples_come_from_a_prior_or_are_none(variant: str) -> None:
    method = make(variant)
    samples = method.sample(5, noise())
    assert (samples is None) == (method.prior is None)
    if samples is not None:
        assert samples.shape == (5, 1, 8, 8)
        assert 0 <= samples.min() <= samples.max() <= 1
        assert not torch.equal(samples, method.sample(5, noise(1)))


def losses(method: AutoEncoder) -> list[Tensor]:
    return [player.terms(given(player), noise(2))["loss"].detach() for player in method.players()]


@variants
def test_a_state_restores_the_method(variant: str) -> None:
    one, other = make(variant, seed=1), make(variant, seed=2)
    assert losses(one) != losses(other)
    other.load_state_dict(one.state_dict())
    assert losses(one) == losses(other)


@trained
def test_training_repeats_itself_and_lowers_the_loss(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "BLOCK", 20)
    found = []
    for _ in range(2):
        method, batches = make(variant), Batches(BYTES, 255, 20, seed=3)
        outcome = train(training(method, Budget(steps=40), batches, seed=4), batches)
        assert outcome.status == "done", outcome.error
        found.append((weights(method), outcome.curve))
    assert found[0] == found[1]
    first, last = (row["autoencoder.reconstruction"] for row in found[0][1])
    assert last < first


@pytest.mark.gpu
@variants
def test_the_same_on_a_gpu(variant: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    method = make(variant).to("cuda")
    stream = torch.Generator("cuda").manual_seed(0)
    for player in method.players():
        terms = player.terms(given(player).to("cuda"), stream)
        torch.autograd.backward(terms["loss"], inputs=player.parameters)
        assert all(term.isfinite() for term in terms.values())
        assert all(p.grad is not None and p.grad.isfinite().all() for p in player.parameters)
    samples = method.sample(5, stream)
    assert samples is None or (samples.device.type == "cuda" and bool(samples.isfinite().all()))
    torch.testing.assert_close(method.decode(method.draw(X.to("cuda"), stream).mean).cpu(), decoded(variant), rtol=1e-4, atol=1e-4)


def decoded(variant: str) -> Tensor:
    """Of mean codes, on the CPU."""
    method = make(variant)
    return method.decode(method.draw(X, noise()).mean)


@variants
def test_a_method_cites_its_source_and_says_what_it_is(variant: str) -> None:
    method, values = VARIANTS[variant]
    recipe = method(DIM, **values)
    module = inspect.getdoc(inspect.getmodule(method)) or ""
    assert any(mark in module for mark in ("arXiv", "Eq.")), "the module names paper and equation"
    assert inspect.getdoc(method)
    assert not [word for word in recipe.description().values() if " object at " in word], (
        "records need words that are the same in every run"
    )
    positional = [p for p in inspect.signature(method).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    assert [p.name for p in positional] == ["dim"]


@variants
def test_every_metric_has_a_value_or_a_reason(variant: str) -> None:
    method = make(variant)
    train_images, test_images = BYTES[:30], BYTES[30:]
    evaluation = Evaluation(method, DeviceDataset(train_images, test_images, 255), 0)
    for name, entry in evaluate(evaluation, KNOWN.every_metric.values()).items():
        if entry["value"] is None:
            assert entry["reason"], name
        else:
            assert math.isfinite(entry["value"]), name


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("name", PLAIN)
def test_a_network_has_the_shapes_it_promises(name: str, outputs: int) -> None:
    network: Network = KNOWN.networks[name]
    shape = SHAPES.get(name, (1, 8, 8))
    with torch.device("meta" if name in HEAVY else "cpu"):
        encoder, decoder = network(shape, 5, outputs)
        assert encoder(torch.zeros(2, *shape)).shape == (2, outputs * 5)
        assert decoder(torch.zeros(2, 5)).shape == (2, *shape)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in DEAR)) for name in PLAIN if name not in HEAVY])
def test_a_network_learns_to_tell_images_apart(name: str) -> None:
    shape = SHAPES.get(name, (1, 8, 8))
    method = build(lambda: KNOWN.methods["ae"](5), network=KNOWN.networks[name], shape=shape, dim=5)
    batches = Batches(torch.randint(0, 2, (4, *shape), generator=noise(1), dtype=torch.uint8), 1, 4, seed=0)
    outcome = train(training(method, Budget(steps=SLOW.get(name, 100)), batches), batches)
    assert outcome.curve[-1]["autoencoder.loss"] < outcome.curve[0]["autoencoder.loss"] / 2


@pytest.mark.parametrize("name", KNOWN.datasets)
def test_a_dataset_has_a_whole_card(name: str) -> None:
    source: Source = KNOWN.datasets[name]
    assert source.name == name
    assert all((source.convention, source.licence, source.url))
    assert set(source.counts) == {"train", "test"}
    assert len(source.shape) == 3
    assert source.train_count("validation") == source.counts["train"] - round(0.1 * source.counts["train"])
    assert not any(Path(file).is_absolute() for file in source.files)


@pytest.mark.parametrize("name", KNOWN.datasets)
def test_a_dataset_is_what_its_card_says(name: str, tmp_path: Path) -> None:
    source: Source = KNOWN.datasets[name]
    if not source.files and math.prod(source.shape) * sum(source.counts.values()) > 2**28:
        pytest.skip(f"{name}: too large to draw for a test; its own tests draw parts of it")
    root = Path(os.environ["LATENTBENCH_DATA"]) if source.files and "LATENTBENCH_DATA" in os.environ else tmp_path
    if source.files and not (os.environ.get("LATENTBENCH_DATA") and all((root / file).exists() for file in source.files)):
        pytest.skip(f"{name}: its files are not in LATENTBENCH_DATA")
    if source.counts["train"] * math.prod(source.shape) > LARGE and not find(root, name, source.convention, source.files):
        pytest.skip(f"{name}: it is large and not packed in LATENTBENCH_DATA")
    data = source.load(root)
    assert source.mismatch(data) is None
    for split, labels, count in (
        (data.train, data.train_labels, source.counts["train"]),
        (data.test, data.test_labels, source.counts["test"]),
    ):
        assert split.shape == (count, *source.shape)
        assert split.dtype == (np.float32 if source.values == "real" else np.uint8)
        assert np.isfinite(split[:2000]).all()
        assert source.values == "real" or split[:2000].max() <= data.levels
        assert labels is None or (labels.shape, labels.dtype) == ((count,), np.int64)
    for split, factors in ((data.train, data.train_factors), (data.test, data.test_factors)):
        if factors is not None:
            assert factors.dtype == np.int64
            assert factors.min() == 0
            assert (factors.max(0) < [factor.size for factor in source.factors]).all()
            assert len(factors) == len(split)
    held_out = data.with_validation()
    assert len(held_out.train) == source.train_count("validation")
    assert len(held_out.train) + len(held_out.test) == source.counts["train"]


VIEWS = Evaluation(make("ae"), DeviceDataset(BYTES, BYTES, 255), 0).views(KNOWN.every_metric.values())


@pytest.mark.parametrize("name", KNOWN.every_metric)
def test_a_metric_is_declared_whole(name: str) -> None:
    metric: Metric = KNOWN.every_metric[name]
    assert metric.on("test").name == name
    assert metric.protocol
    assert metric.source
    assert metric.version >= 1
    assert metric.better in ("lower", "higher", "target", None)
    assert {*metric.needs, *metric.details} <= set(VIEWS.makers), "every view a metric needs is made"
    assert len(inspect.signature(metric.fn).parameters) == len(metric.needs)
