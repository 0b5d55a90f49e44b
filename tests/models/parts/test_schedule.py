"""Weights that follow a schedule: their values, what a suite file may write, and that training really uses them."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_methods import DIM, LEVELS, build, noise, pixels, training, weights

from bench.datasets.batches import Batches
from bench.errors import UserError
from bench.registry import arguments, hyperparameters
from bench.suites.schema import Budget
from bench.training.train import train
from models.parts.critic import PriorMatch
from models.parts.schedule import Schedule, non_negative, read
from models.vae import beta_vae
from models.wae import wae_gan

COUNT, BATCH = 20, 5  # four steps an epoch


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (Schedule(0, 1, 2), [0, 2, 4, 8, 20], [0, 0.25, 0.5, 1, 1]),
        (Schedule(1, 0.5, 8, "steps"), [0, 2, 8, 9], [1, 0.875, 0.5, 0.5]),
        (Schedule(0, 2, 8, "steps", "cosine"), [0, 2, 4, 8, 9], [0, 1 - math.sqrt(0.5), 1, 2, 2]),
        (Schedule(0, 1, 8, "steps", "cyclical"), [0, 2, 4, 7, 8, 10, 12], [0, 0.5, 1, 1, 0, 0.5, 1]),
    ],
    ids=str,
)
def test_values_are_those_of_the_formulas(schedule: Schedule, steps: list[int], expected: list[float]) -> None:
    assert [schedule.at(step, 4) for step in steps] == pytest.approx(expected, abs=1e-12)


def test_a_table_of_a_suite_file_is_read() -> None:
    assert read({"from": 0, "to": 1, "over": "30 epochs"}) == Schedule(0.0, 1.0, 30.0)
    assert read({"from": 0.5, "to": 2, "over": "1 step", "shape": "cosine"}) == Schedule(0.5, 2.0, 1.0, "steps", "cosine")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"to": 1, "over": "3 epochs"}, "needs the key 'from'"),
        ({"from": 0, "to": 1}, "needs the key 'over'"),
        ({"from": 0, "to": 1, "over": 30}, 'over must be a length such as "30 epochs"'),
        ({"from": 0, "to": 1, "over": "0 epochs"}, "over must be a positive number"),
        ({"from": 0, "to": 1, "over": "3 hours"}, "over must be a length"),
        ({"from": "a", "to": 1, "over": "3 epochs"}, "from must be a number, not 'a'"),
        ({"from": True, "to": 1, "over": "3 epochs"}, "from must be a number, not True"),
        ({"from": 0, "to": math.inf, "over": "3 epochs"}, "finite weights"),
        ({"from": 0, "to": 1, "over": "3 epochs", "shape": "sine"}, "shape must be one of linear, cosine, cyclical"),
        ({"from": 0, "to": 1, "over": "3 epochs", "form": "linear"}, "keys from, to, over, shape, not 'form'"),
    ],
)
def test_a_table_that_is_no_schedule_is_refused(table: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=r"methods\.x\.beta: ") as error:
        hyperparameters(beta_vae, {"beta": table}, "methods.x")
    assert says in str(error.value)


def test_a_table_for_what_is_no_weight_is_refused() -> None:
    with pytest.raises(UserError, match=r"methods\.x\.decoder_variance must be a number"):
        hyperparameters(beta_vae, {"decoder_variance": {"from": 0, "to": 1, "over": "3 epochs"}}, "methods.x")


def test_a_weight_below_zero_anywhere_is_refused() -> None:
    for weight in (-1.0, math.nan, Schedule(-1, 1, 3), Schedule(1, -1, 3)):
        with pytest.raises(ValueError, match="beta must be 0 or larger"):
            non_negative(weight, "beta")


def trained(beta: float | Schedule, steps: int = 12) -> tuple[list[torch.Tensor], list[dict[str, float]]]:
    method, data = build(lambda: beta_vae(DIM, beta=beta)), Batches(pixels(COUNT), LEVELS, BATCH, 1)
    outcome = train(training(method, Budget(steps=steps), data), data)
    return [p.detach().clone() for p in method.parameters()], outcome.curve


def test_training_moves_by_the_weight_of_each_step() -> None:
    """By hand: one step at a time with the number that the schedule has there, Adam's state kept."""
    schedule = Schedule(0, 1, 2)
    scheduled, curve = trained(schedule)
    data = Batches(pixels(COUNT), LEVELS, BATCH, 1)
    method = build(lambda: beta_vae(DIM, beta=0.0))
    steps = training(method, Budget(steps=12), data)
    for step in range(12):
        kl = method.recipe.regularisers[0][1]
        method.recipe = replace(method.recipe, regularisers=((schedule.at(step, 4), kl),))
        steps.take_step(data)
    for by_schedule, by_hand in zip(scheduled, method.parameters(), strict=True):
        torch.testing.assert_close(by_schedule, by_hand.detach(), rtol=1e-5, atol=1e-6)
    assert curve[-1]["autoencoder.kl_weight"] == pytest.approx(sum(schedule.at(step, 4) for step in range(12)) / 12)
    never, _ = trained(0.0)
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(scheduled, never, strict=True))


def test_a_resumed_run_goes_on_with_the_weight_of_its_step() -> None:
    schedule, data = Schedule(0, 1, 3), Batches(pixels(COUNT), LEVELS, BATCH, 1)
    whole, _ = trained(schedule)
    method = build(lambda: beta_vae(DIM, beta=schedule))
    first = training(method, Budget(steps=12), data)
    first.take_steps(data, 5)
    state = first.state(0.0)
    again = build(lambda: beta_vae(DIM, beta=schedule), seed=9)
    train(training(again, Budget(steps=12), data), data, state=state)
    assert all(torch.equal(a, b) for a, b in zip(whole, again.parameters(), strict=True))


def test_a_critic_follows_the_weight_too() -> None:
    method = build(lambda: wae_gan(DIM, weight=Schedule(0, 2, 8, "steps")))
    critic = next(player for player in method.players() if player.name == PriorMatch.name)
    x = torch.rand(6, 1, 4, 4)
    losses = []
    for step in (0, 4, 8):
        method.step_begins(step, 4)
        losses.append(critic.terms(x, noise())["loss"].item())
    assert losses[0] == 0
    assert losses[1] == pytest.approx(losses[2] / 2)


def test_a_constant_weight_leaves_no_trace_in_the_weights_of_a_run() -> None:
    assert "scheduled" not in weights(build(lambda: beta_vae(DIM, beta=2.0)))
    assert "scheduled" in weights(build(lambda: beta_vae(DIM, beta=Schedule(0, 1, 3))))


def test_a_run_with_a_schedule_is_recorded_and_made_again_from_its_record(tmp_path: Path) -> None:
    table = {"from": 0, "to": 1, "over": "30 epochs"}
    values = hyperparameters(beta_vae, {"beta": table}, "methods.x")
    assert values["beta"] == table
    assert beta_vae(DIM, **arguments(values)).description()["regularisers"] == "(0 to 1 over 30 epochs, linear) × KL"
