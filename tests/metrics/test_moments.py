"""What a method fits between the steps of its players: when it is told, with which images, and on whose time."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_methods import DIM, LEVELS, build, images, noise, pixels, training
from torch import Tensor

from bench.suites.schema import Budget, Optimizer
from bench.training.train import Batches, train
from models.interfaces import Draw, Prior
from models.ladder import prior_vamp, vae_laplace
from models.method import AutoEncoder
from models.vae import ae


class Told:
    """A user's regulariser that keeps a diary."""

    def __init__(self, name: str, pause: float = 0.0):
        self.name, self.pause, self.diary = name, pause, list[tuple[str, int, Tensor, AutoEncoder, torch.Generator]]()

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return draw.z.mean() * 0

    def wrote(self, moment: str, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        time.sleep(self.pause)
        self.diary.append((moment, epoch, draw_images(7), method, noise))

    def training_begins(self, *values: Any) -> None:
        self.wrote("training_begins", *values)

    def epoch_ended(self, *values: Any) -> None:
        self.wrote("epoch_ended", *values)

    def training_ended(self, *values: Any) -> None:
        self.wrote("training_ended", *values)


def told(*parts: Told) -> AutoEncoder:
    return build(lambda: replace(ae(DIM), regularisers=tuple((1.0, part) for part in parts)))


def batches() -> Batches:
    return Batches(pixels(23), LEVELS, 5, seed=1)  # four batches an epoch


@pytest.mark.parametrize(
    ("budget", "known"),
    [
        (Budget(steps=3), [("training_begins", 0), ("training_ended", 0)]),
        (Budget(epochs=2), [("training_begins", 0), ("epoch_ended", 1), ("epoch_ended", 2), ("training_ended", 2)]),
        (Budget(steps=102), [("training_begins", 0), *(("epoch_ended", e) for e in range(1, 26)), ("training_ended", 25)]),
    ],
    ids=str,
)
def test_every_part_is_told_each_moment_once(budget: Budget, known: list[tuple[str, int]]) -> None:
    parts, data = (Told("one"), Told("other")), batches()
    method = told(*parts)
    taken = training(method, budget, data)
    train(taken, data)
    for part in parts:
        assert [(moment, epoch) for moment, epoch, *_ in part.diary] == known
        for _, epoch, some, whose, stream in part.diary:
            assert torch.equal(some, data.draw_images(epoch, 7))
            assert whose is method
            assert stream is taken.noise


def test_a_resumed_run_is_not_told_that_it_begins() -> None:
    part, data = Told("one"), batches()
    first = training(told(part), Budget(steps=9), data)
    state = first.state(0.0)
    train(training(told(part), Budget(steps=9), data), data, state=state)
    assert [moment for moment, *_ in part.diary] == ["epoch_ended", "epoch_ended", "training_ended"]


def test_what_is_fitted_is_on_the_clock() -> None:
    data = batches()
    outcome = train(training(told(Told("one", pause=0.2)), Budget(steps=4), data), data)
    assert outcome.seconds >= 0.6, "at the beginning, after the epoch and at the end"


def test_some_images_are_random_ones_as_the_players_see_them() -> None:
    data = Batches(torch.arange(200, dtype=torch.uint8).reshape(200, 1, 1, 1), 200, 10, seed=1)
    found = data.draw_images(3, 150)
    assert (found.shape, found.dtype) == ((150, 1, 1, 1), torch.float32)
    values = (200 * found.flatten()).round().int().tolist()
    assert torch.allclose(200 * found.flatten(), torch.tensor(values).float(), atol=1e-4)
    assert len(set(values)) == 150
    assert set(values) < set(range(200))
    assert sorted(values) != values
    assert torch.equal(found, data.draw_images(3, 150))
    assert not torch.equal(found, data.draw_images(4, 150))
    assert len(data.draw_images(0, 1000)) == 200


def test_a_players_own_decay_is_on_top_of_the_suites_schedule() -> None:
    data, optimizer = batches(), Optimizer(lr=0.1, milestones=((2, 0.5),), decay=0.9)
    taken = training(build(lambda: prior_vamp(DIM, components=2, samples=2, prior_lr=0.3, prior_decay=1.2)), Budget(epochs=4), data)
    taken.plan = replace(taken.plan, optimizer=optimizer)
    found = []
    for _ in range(12):
        taken.take_step(data)
        found.append(taken.optimizers[2].lr)
    assert found == [pytest.approx(0.3 * f) for f in (1.0, 0.9 * 1.2, 0.5 * 0.81 * 1.44) for _ in range(4)]


def test_each_gradient_value_is_clipped_by_itself() -> None:
    data, known = batches(), build(lambda: vae_laplace(DIM))
    taken = training(build(lambda: vae_laplace(DIM, clip=0.5)), Budget(steps=1), data)
    known.players()[0].terms(data.at(0), noise())["loss"].backward()
    taken.take_step(data)
    sizes = list[float]()
    for p, q in zip(taken.method.encoder.parameters(), known.encoder.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad.clamp(-0.5, 0.5), rtol=1e-4, atol=1e-6)
        sizes += q.grad.abs().flatten().tolist()
    assert min(sizes) < 0.5 < max(sizes)


def test_parts_without_such_moments_are_left_alone() -> None:
    build(lambda: ae(DIM)).run_hook("epoch_ended", 1, images, noise())
