"""What is refused when a method is put together: each part that returns another shape or type is named, and nothing is changed."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_methods import DIM, LEVELS, SHAPE, build, images, noise, pixels, tiny, tiny_with_batch_norm, training, weights
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.registry import catalogue
from bench.suites.schema import Budget
from bench.training.train import train
from models.assembly import described
from models.factor import factorvae
from models.interfaces import Draw, Player, Prior
from models.method import AutoEncoder, Recipe
from models.parts.cost import SquaredError
from models.parts.critic import PriorMatch
from models.parts.posterior import Deterministic
from models.parts.prior import StandardNormal
from models.vae import ae, vae_bernoulli
from models.wae import wae_gan

KNOWN = catalogue()


class PerValue(SquaredError):
    """A cost that forgets to sum over an image's values."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - self.image(y)).square()


class Mean(SquaredError):
    """A cost that takes the mean over the batch itself."""

    capturable = True

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return super().__call__(x, y).mean()


class Grey(SquaredError):
    """A cost whose image has lost its channels."""

    def image(self, y: Tensor) -> Tensor:
        return y.mean(1)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().flatten(1).sum(1)


@dataclass(frozen=True)
class Returns:
    """A regulariser that returns what a function makes of the draw."""

    of: Callable[[Draw], Any]
    name = "mine"

    def __call__(self, draw: Draw, prior: Prior | None) -> Any:
        return self.of(draw)


class Posterior(Deterministic):
    """A posterior with another code than its features."""

    def __init__(self, of: Callable[[Tensor], dict[str, Any]]):
        self.of = of

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        return replace(super().__call__(features, noise), **self.of(features))


class Flat(StandardNormal):
    """A prior whose log density is one number."""

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z).mean()


class Short(StandardNormal):
    """A prior of one latent fewer."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        return super().sample(n, noise)[:, 1:]


class Critic(PriorMatch):
    """A critic with other players than its own."""

    def __init__(self, of: Callable[["Critic", AutoEncoder, Player], list[Player]]):
        super().__init__(DIM, width=4)
        self.of = of

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        return self.of(self, method, super().players(method, weight)[0])


def with_cost(cost: Any) -> Recipe:
    return replace(ae(DIM), cost=cost)


def with_regulariser(part: Any) -> Recipe:
    return replace(vae_bernoulli(DIM), regularisers=((1.0, part),))


def with_posterior(**of: Callable[[Tensor], Any]) -> Recipe:
    return replace(ae(DIM), posterior=Posterior(lambda features: {name: make(features) for name, make in of.items()}))


def with_players(of: Callable[[Critic, AutoEncoder, Player], list[Player]]) -> Recipe:
    return with_regulariser(Critic(of))


def without_loss(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
    return {"total": x.sum()}


REFUSED = {
    "cost (B, C, H, W)": (lambda: with_cost(PerValue()), "cost PerValue, of x and the decoder's output must be a tensor of shape (2,) "),
    "cost ()": (lambda: with_cost(Mean()), "cost Mean, of x and the decoder's output must be a tensor of shape (2,) for 2 images, not ()"),
    "image (B, H, W)": (lambda: with_cost(Grey()), "cost Grey: the image of the decoder's output must be a tensor of shape (2, 1, 4, 4) "),
    "regulariser (B,)": (
        lambda: with_regulariser(Returns(lambda draw: draw.z.sum(1))),
        "regulariser 'mine' (Returns) must be a tensor of shape (), not (2,)",
    ),
    "regulariser float": (
        lambda: with_regulariser(Returns(lambda draw: 1.0)),
        "regulariser 'mine' (Returns) must be a tensor of shape (), not float",
    ),
    "regulariser None": (
        lambda: with_regulariser(Returns(lambda draw: None)),
        "regulariser 'mine' (Returns) must be a tensor of shape (), not NoneType",
    ),
    "regulariser int": (
        lambda: with_regulariser(Returns(lambda draw: (draw.z > 0).sum())),
        "regulariser 'mine' (Returns) must be a tensor of shape () of floating point numbers, not of torch.int64",
    ),
    "codes (B, D + 1)": (
        lambda: with_posterior(z=lambda f: torch.cat([f, f[:, :1]], 1)),
        "posterior Posterior, with the encoder: z must be a tensor of shape (2, 3) for 2 images, not (2, 4)",
    ),
    "codes (B, 1, D)": (lambda: with_posterior(z=lambda f: f[:, None]), "z must be a tensor of shape (2, 3) for 2 images, not (2, 1, 3)"),
    "mean (D,)": (lambda: with_posterior(mean=lambda f: f[0]), "mean must be a tensor of shape (2, 3) for 2 images, not (3,)"),
    "log_variance (B,)": (lambda: with_posterior(log_variance=lambda f: f[:, 0]), "log_variance must be a tensor of shape (2, 3) "),
    "log_q (B, D)": (lambda: with_posterior(log_q=lambda f: f), "log_q must be a tensor of shape (2,) for 2 images, not (2, 3)"),
    "prior log_prob ()": (lambda: replace(ae(DIM), prior=Flat(DIM)), "prior Flat: log_prob must be a tensor of shape (2,) "),
    "prior sample (n, D - 1)": (lambda: replace(ae(DIM), prior=Short(DIM)), "prior Short: sample must be a tensor of shape (2, 3) "),
    "players that share": (
        lambda: with_players(lambda critic, method, own: [own, replace(own, name="twin")]),
        "players 'prior_match' and 'twin' both move parts.0.net.0.weight; a parameter has one player",
    ),
    "player with a parameter twice": (
        lambda: with_players(lambda critic, method, own: [replace(own, parameters=own.parameters * 2)]),
        "players 'prior_match' and 'prior_match' both move parts.0.net.0.weight",
    ),
    "players of one name": (
        lambda: with_players(lambda critic, method, own: [replace(own, name="autoencoder")]),
        "two players are called 'autoencoder'; give each a name of its own",
    ),
    "parameters of nobody": (
        lambda: with_players(lambda critic, method, own: [replace(own, parameters=(nn.Parameter(torch.zeros(7)),))]),
        "player 'prior_match' moves a parameter of shape (7,) that is no part of the method",
    ),
    "player without a loss": (
        lambda: with_players(lambda critic, method, own: [replace(own, terms=without_loss)]),
        "player 'prior_match' has the terms total; it needs one called loss",
    ),
    "player's loss (B,)": (
        lambda: with_players(lambda critic, method, own: [replace(own, terms=lambda x, noise: {"loss": x.flatten(1).sum(1)})]),
        "player 'prior_match': term 'loss' must be a tensor of shape (), not (2,)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_nothing_can_be_done_with_is_refused_and_named(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        build(make)


def test_a_frozen_network_in_a_cost_is_nobodys_to_move() -> None:
    class Perceptual(nn.Module):
        """|h(x) - h(σ(y))|² of a network h that stays as it is."""

        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(16, 5)).requires_grad_(False)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return (self.net(x) - self.net(y.sigmoid())).square().sum(1)

        def image(self, y: Tensor) -> Tensor:
            return y.sigmoid()

    cost, data = Perceptual(), Batches(pixels(20), LEVELS, 5, 1)
    method, before = build(lambda: with_cost(cost)), cost.net[1].weight.clone()
    assert train(training(method, Budget(steps=20), data), data).status == "done"
    assert torch.equal(cost.net[1].weight, before)
    (player,) = method.players()
    assert all(p.requires_grad for p in player.parameters)
    assert "parts.0.net.1.weight" in method.state_dict(), "a checkpoint keeps it all the same"


def test_a_frozen_layer_of_an_encoder_stays_as_it_is() -> None:
    def half_frozen(shape: tuple[int, int, int], dim: int, outputs: int) -> tuple[nn.Module, nn.Module]:
        encoder, decoder = tiny(shape, dim, outputs)
        encoder[1].requires_grad_(False)
        return encoder, decoder

    method, data = build(lambda: ae(DIM), network=half_frozen), Batches(pixels(20), LEVELS, 5, 1)
    before = weights(method)
    assert train(training(method, Budget(steps=20), data), data).status == "done"
    moved = {name for name, value in weights(method).items() if value != before[name]}
    assert moved == set(before) - {"encoder.1.weight", "encoder.1.bias"}


class Counts:
    """A regulariser that counts its calls wherever one can: in itself, in its class, in this module and in a file."""

    name = "counts"
    of_class = 0

    def __init__(self) -> None:
        self.of_self, self.stream, self.sum = 0, noise(5), torch.zeros(())

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        global of_module
        self.of_self, of_module = self.of_self + 1, of_module + 1
        type(self).of_class += 1
        self.sum += torch.rand((), generator=self.stream)
        return draw.z.mean() * torch.rand(())


of_module = 0


def test_a_part_that_counts_its_calls_has_none_of_the_dry_step() -> None:
    part = Counts()
    build(lambda: with_regulariser(part))
    assert (part.of_self, Counts.of_class, of_module, part.sum.item()) == (0, 0, 0, 0.0)
    assert torch.equal(part.stream.get_state(), noise(5).get_state())


class Ending:
    """A regulariser that takes its whole process with it, or never ends."""

    name = "ending"

    def __init__(self, parent: int, seconds: float = 0.0):
        self.parent, self.seconds = parent, seconds

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        if os.getpid() != self.parent and not self.seconds:
            os.kill(os.getpid(), 9)
        time.sleep(self.seconds)
        return draw.z.mean()


def children() -> set[int]:
    """The processes that this one has started, those of other tests included, as far as the system says."""
    found = {int(path.parent.name): path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")}
    return {pid for pid, (_, parent, *_) in found.items() if int(parent) == os.getpid()}


def test_a_dry_step_that_dies_or_does_not_end_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    build(lambda: with_regulariser(Ending(os.getpid())))
    monkeypatch.setattr("models.assembly.PATIENCE", 0.1)
    before, start = children(), time.monotonic()
    build(lambda: with_regulariser(Ending(os.getpid(), 60.0)))
    assert time.monotonic() - start < 10
    assert children() <= before


def test_what_a_part_raises_is_left_to_the_run() -> None:
    def raises(draw: Draw) -> Tensor:
        raise RuntimeError("needs at least three images")

    method = build(lambda: with_regulariser(Returns(raises)))
    with pytest.raises(RuntimeError, match="three images"):
        method.terms(images(3), noise())


@dataclass
class Diary:
    """A declared part whose state is in itself: the dry step takes a copy."""

    capturable = True
    name = "diary"
    calls: list[int] = field(default_factory=list)

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        self.calls.append(len(draw.z))
        return draw.z.mean()


MADE = [lambda: factorvae(DIM, width=4), lambda: wae_gan(DIM, width=4), lambda: with_regulariser(Counts())]


@pytest.mark.parametrize("make", MADE)
def test_the_dry_step_changes_neither_weights_nor_streams_nor_statistics(
    make: Callable[[], Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> tuple[dict[str, bytes], list[bool], Tensor, Tensor]:
        torch.manual_seed(3)
        method = make().assemble(SHAPE, DIM, tiny_with_batch_norm)
        return weights(method), [m.training for m in method.modules()], torch.get_rng_state(), method.terms(images(5), noise(1))["loss"]

    checked = made()
    monkeypatch.setattr("models.method.checked_parts", lambda method, shape: method)
    unchecked = made()
    assert checked[:2] == unchecked[:2]
    assert torch.equal(checked[2], unchecked[2])
    assert torch.equal(checked[3], unchecked[3])


def test_a_declared_part_is_called_in_a_copy() -> None:
    part = Diary()
    build(lambda: with_regulariser(part))
    assert part.calls == []


@pytest.mark.parametrize("name", KNOWN.methods)
def test_the_dry_step_of_a_built_in_method_takes_no_fork(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.fork")
    seen = list[str]()
    monkeypatch.setattr("models.assembly.look_at_parts", lambda method, shape: seen.append(name))
    make = KNOWN.methods[name]
    make(DIM).assemble((1, 8, 8), DIM, KNOWN.networks["stacked_mlp" if make.__module__ == "models.stacked" else "mlp"])
    assert seen == [name]


class Silent:
    """A part without words of its own."""

    name = "silent"

    def __init__(self, minimum: float):
        self.minimum, self.net, self._hidden = minimum, object(), 3

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return draw.z.mean()


class SilentModule(nn.Module):
    """The same as a module, whose own text has several lines."""

    name = "silent"

    def __init__(self, width: int):
        super().__init__()
        self.width, self.net = width, nn.Linear(width, 1)


def test_a_part_without_words_is_its_class_and_values() -> None:
    assert with_regulariser(Silent(0.5)).description()["regularisers"] == "1 × Silent(minimum=0.5)"
    assert described(SilentModule(3)) == "SilentModule(width=3)"
    assert described(Returns(len)) == "Returns(of=<built-in function len>)"
    assert described(Returns(lambda draw: draw.z.mean())) == "Returns()"
    assert described(StandardNormal(2)) == "N(0, I)"
