"""The training loop: exact budgets, batches, schedules, resumption bit for bit, divergence, and what is on the clock."""

import io
import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_methods import DIM, LEVELS, build, noise, pixels, tiny_with_batch_norm, training, weights
from torch import Tensor

from bench.datasets.batches import Batches, derive, generator
from bench.suites.schema import Budget, Optimizer
from bench.training.clock import Clock
from bench.training.train import BLOCK, Plan, Training, train
from models.interfaces import Draw, Prior
from models.method import AutoEncoder, Recipe
from models.vae import ae, vae_bernoulli
from models.vcae import vcae
from models.wae import cwae, wae_gan

COUNT, BATCH = 23, 5  # four batches per epoch, three images left over
CPU = torch.device("cpu")


def batches(seed: int = 1, count: int = COUNT, size: int = BATCH) -> Batches:
    return Batches(pixels(count), LEVELS, size, seed)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        (Budget(steps=7), 7),
        (Budget(steps=BLOCK), BLOCK),
        (Budget(steps=BLOCK + 1), BLOCK + 1),
        (Budget(epochs=3), 12),
        (Budget(epochs=1.5), 6),
        (Budget(epochs=0.01), 1),
        (Budget(images=20), 4),
        (Budget(images=21), 5),
    ],
    ids=str,
)
def test_a_budget_is_an_exact_number_of_steps(budget: Budget, steps: int) -> None:
    method, data = build(lambda: ae(DIM)), batches()
    taken = training(method, budget, data)
    outcome = train(taken, data)
    assert (outcome.status, outcome.step, outcome.error) == ("done", steps, None)
    assert {step.item() for step in taken.optimizers[0].steps} == {steps}  # Adam's own count
    assert [row["step"] for row in outcome.curve] == [*range(BLOCK, steps, BLOCK), steps]


@pytest.mark.parametrize(("device", "capture", "recorded"), [("cuda", True, True), ("cuda", False, False), ("cpu", True, False)])
def test_a_graph_is_recorded_on_cuda_alone_and_only_where_it_is_asked_for(
    device: str, capture: bool, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list[bool]()
    monkeypatch.setattr("bench.training.train.Captured", lambda *_: made.append(True))
    method, stream = build(lambda: ae(DIM)), SimpleNamespace(device=torch.device(device))  # no CUDA is needed to be told so
    taken = Training(method, Plan(Budget(steps=1), Optimizer(), 1, 1), stream, capture=capture)
    assert made == [True] * recorded
    assert (taken.run == taken.players_step) == (not recorded)


def test_a_budget_in_seconds_ends_when_they_are_spent() -> None:
    method, data, shares = build(lambda: ae(DIM)), batches(), list[float]()
    outcome = train(training(method, Budget(seconds=0.2), data), data, report=lambda progress: shares.append(progress.share))
    assert outcome.status == "done"
    assert 0.2 <= outcome.seconds < 2  # overshoots by one block at most
    assert outcome.step > 1
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_seconds_spent_before_are_not_given_again() -> None:
    method, data = build(lambda: ae(DIM)), batches()
    state = training(method, Budget(seconds=5.0), data).state(seconds=6.0)
    outcome = train(training(method, Budget(seconds=5.0), data), data, state=state)
    assert (outcome.step, outcome.seconds) == (0, 6.0)


def test_blocks_end_at_multiples_and_at_the_end() -> None:
    plan = Plan(Budget(steps=120), Optimizer(), 4, 120)
    assert [plan.block(step, 1.0) for step in (0, 13, 50, 100, 119)] == [50, 37, 50, 20, 1]
    timed = Plan(Budget(seconds=10.0), Optimizer(), 4, None)
    assert [timed.block(step, seconds) for step, seconds in ((0, 0.0), (1, 10.0), (100, 10.0), (1000, 1.0))] == [1, 1, 5, 50]
    assert (plan.done(60, 1e9), timed.done(10**9, 2.5)) == (0.5, 0.25)


def test_an_epoch_is_a_permutation_without_its_last_partial_batch() -> None:
    data = Batches(torch.arange(COUNT, dtype=torch.uint8).reshape(-1, 1, 1, 1), 1, BATCH, seed=1)
    epochs = [[int(v) for step in range(4 * e, 4 * e + 4) for v in data.at(step).flatten()] for e in range(8)]
    for epoch in epochs:
        assert len(epoch) == len(set(epoch)) == 20
        assert set(epoch) < set(range(COUNT))
    assert len({tuple(epoch) for epoch in epochs}) == 8
    assert {v for epoch in epochs for v in epoch} == set(range(COUNT))  # nothing is dropped for good


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forward = [batches().at(step) for step in range(9)]
    data = batches()
    assert all(torch.equal(data.at(step), forward[step]) for step in (8, 0, 5, 3, 7))
    assert not torch.equal(batches(seed=2).at(0), forward[0])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_a_batch_is_bit_for_bit_the_indexed_images_and_a_copy(kind: str, device: str) -> None:
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=noise)
    images = (images if kind == "uint8" else images.float() / 7).to(device)
    kept, data = images.clone(), Batches(images, 255, 20, seed=3)
    for stream, step in itertools.product((0, 1), range(5)):
        batch = data.at(step, stream)
        index = data.orders[stream][1][step % 3 * 20 :][:20]
        assert torch.equal(batch, images[index].float().div_(255) if kind == "uint8" else images[index])
        batch.zero_()  # a batch is its reader's own
        assert data.at(step, stream).any()
    assert torch.equal(data.draw_images(1, 7), images[data.permutation("some", 1)[:7]].float() / (255 if kind == "uint8" else 1))
    assert torch.equal(images, kept)


def test_pixels_are_values_over_levels() -> None:
    data = batches()
    assert data.per_epoch == 4
    assert data.at(0).dtype == torch.float32
    order = torch.randperm(COUNT, generator=generator(CPU, 1, "order", 0))
    assert torch.equal(data.at(0), data.images[order[:BATCH]].float() / LEVELS)
    assert torch.equal(data.images, pixels(COUNT))  # the images themselves stay as they are


def test_seeds_for_each_use_differ() -> None:
    assert len({derive(0, "order", 0), derive(0, "order", 1), derive(1, "order", 0), derive(0, "noise")}) == 4
    assert derive(3, "a") == derive(3, "a")


def test_the_schedule_by_epoch() -> None:
    optimizer = Optimizer(lr=0.1, milestones=((2, 0.5), (3, 0.1)), decay=0.9)
    method, data = build(lambda: wae_gan(DIM, width=6, critic_lr=0.4)), batches()
    taken = training(method, Budget(epochs=4), data, optimizer=optimizer)
    found = []
    for _ in range(16):
        taken.take_step(data)
        found.append([o.lr for o in taken.optimizers])
    factors = [1.0] * 4 + [0.9] * 4 + [0.5 * 0.81] * 4 + [0.1 * 0.729] * 4
    assert found == [pytest.approx([0.4 * f, 0.1 * f]) for f in factors]  # critic's own rate, then the suite's


def test_a_player_gets_as_many_independent_batches_as_it_asks_for() -> None:
    method, data, seen = build(lambda: ae(DIM)), batches(), list[Tensor]()
    (own,) = method.players()

    def terms(x: Tensor, noise: torch.Generator) -> Mapping[str, Tensor]:
        seen.append(x)
        return own.terms(x, noise)

    method.players = lambda: [replace(own, batches=3, terms=terms)]
    taken = training(method, Budget(steps=5), data)
    for step in range(5):
        taken.take_step(data)
        parts = [data.at(step), *(data.at(step, stream) for stream in (1, 2))]
        assert torch.equal(seen[step], torch.cat(parts))
        assert not any(torch.equal(one, other) for one, other in itertools.combinations(parts, 2))


def test_the_rate_is_how_far_adam_first_moves() -> None:
    method, data = build(lambda: ae(DIM)), batches()
    before = method.decoder[2].bias.detach().clone()
    training(method, Budget(steps=1), data, optimizer=Optimizer(lr=0.25, milestones=((0, 0.5),))).take_step(data)
    assert (method.decoder[2].bias - before).abs().tolist() == pytest.approx([0.125] * 16, rel=1e-3)


def test_adam_takes_the_betas_of_the_suite_or_of_the_player() -> None:
    method, data = build(lambda: ae(DIM)), batches()
    suite = training(method, Budget(steps=1), data, optimizer=Optimizer(betas=(0.5, 0.9)))
    assert suite.optimizers[0].betas == (0.5, 0.9)
    players = [replace(player, betas=(0.1, 0.2)) for player in method.players()]
    method.players = lambda: players
    assert training(method, Budget(steps=1), data).optimizers[0].betas == (0.1, 0.2)


def test_the_curve_is_the_mean_of_each_block() -> None:
    data = batches()
    outcome = train(training(build(lambda: vcae(DIM)), Budget(steps=70), data), data)
    by_step = training(build(lambda: vcae(DIM)), Budget(steps=70), data)
    rows = torch.stack([by_step.take_step(data) for _ in range(70)]).double()
    assert by_step.names == ["autoencoder.loss", "autoencoder.reconstruction", "autoencoder.variance"]
    assert [list(row.values())[1:] for row in outcome.curve] == [pytest.approx(part.mean(0).tolist()) for part in (rows[:50], rows[50:])]
    assert rows[-10:, 0].mean() < rows[:10, 0].mean()  # it learns


METHODS: list[Callable[[], Recipe]] = [
    lambda: ae(DIM),
    lambda: cwae(DIM),
    lambda: wae_gan(DIM, width=6, critic_lr=0.01),
]
OPTIMIZER = Optimizer(lr=0.01, milestones=((10, 0.5),), decay=0.99)


def copied(state: dict[str, Any]) -> Any:
    """As from a file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def whole(make: Callable[[], Recipe], steps: int, states: dict[int, Any]) -> tuple[Mapping[str, bytes], list[dict[str, float]]]:
    method, data = build(make, network=tiny_with_batch_norm), batches()
    taken = training(method, Budget(steps=steps), data, optimizer=OPTIMIZER)

    def save(state: dict[str, Any]) -> None:
        states[state["step"]] = copied(state)

    outcome = train(taken, data, save=save, save_every=0)
    return weights(method), outcome.curve


@pytest.mark.parametrize("make", METHODS)
def test_a_resumed_run_ends_with_the_same_bytes(make: Callable[[], Recipe]) -> None:
    states: dict[int, Any] = {}
    expected = whole(make, 170, states)
    assert list(states) == [50, 100, 150, 170]
    for step, state in states.items():
        # another start and another random stream: all of it must come from the state
        method, data = build(make, seed=9, network=tiny_with_batch_norm), batches()
        taken = training(method, Budget(steps=170), data, optimizer=OPTIMIZER, seed=9)
        outcome = train(taken, data, state=state)
        assert (weights(method), outcome.curve, outcome.step) == (*expected, 170), f"resumed at {step}"
        assert outcome.seconds >= state["seconds"] > 0


@pytest.mark.parametrize("make", METHODS)
@pytest.mark.parametrize("step", [0, 1, 4, 17])
def test_a_state_between_blocks_resumes_too(make: Callable[[], Recipe], step: int) -> None:
    expected, _ = whole(make, 60, {})
    data = batches()
    first = training(build(make, network=tiny_with_batch_norm), Budget(steps=60), data, optimizer=OPTIMIZER)
    first.method.train()
    for _ in range(step):
        first.take_step(data)
    method = build(make, seed=9, network=tiny_with_batch_norm)
    second = training(method, Budget(steps=60), data, optimizer=OPTIMIZER, seed=9)
    train(second, data, state=copied(first.state(1.0)))
    assert weights(method) == expected


def test_the_same_seed_trains_the_same_weights_and_another_does_not() -> None:
    found = []
    for seed in (1, 1, 2):
        method, data = build(lambda: vae_bernoulli(DIM)), batches(seed=seed)
        train(training(method, Budget(steps=20), data), data)
        found.append(weights(method))
    assert found[0] == found[1] != found[2]


class Nan:
    """A user's regulariser that fails at one call."""

    name = "fragile"

    def __init__(self, at: int):
        self.calls, self.at = 0, at

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        self.calls += 1
        return draw.z.mean() * 0 + (math.nan if self.calls == self.at else 1.0)


@pytest.mark.parametrize("at", [1, 7, 50, 51, 60])
def test_divergence_names_its_step_and_terms(at: int) -> None:
    recipe = replace(ae(DIM), regularisers=((1.0, Nan(at)),))
    data = batches()
    outcome = train(training(build(lambda: recipe), Budget(steps=60), data), data)
    assert outcome.status == "diverged"
    assert outcome.error is not None
    assert outcome.error.startswith(f"step {at}: the loss is not finite (autoencoder.loss nan, autoencoder.reconstruction ")
    assert outcome.error.endswith("autoencoder.fragile nan); lower lr or the weight of the largest term")
    assert [row["step"] for row in outcome.curve] == ([50] if at > 50 else [])


def test_a_rate_that_is_far_too_large_diverges() -> None:
    data = batches()
    outcome = train(training(build(lambda: vae_bernoulli(DIM)), Budget(steps=60), data, optimizer=Optimizer(lr=1e6)), data)
    assert outcome.status == "diverged"
    assert outcome.error is not None
    assert "the loss is not finite (autoencoder.loss inf, autoencoder.reconstruction " in outcome.error


class Slow(AutoEncoder):
    """Counts its players' turns."""

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        time.sleep(0.001)
        return super().terms(x, noise)


def test_saving_and_reporting_are_off_the_clock() -> None:
    data, started, slept = batches(), time.perf_counter(), 0.0

    def pause(_: object) -> None:
        nonlocal slept
        slept += 0.15
        time.sleep(0.15)

    outcome = train(training(build(lambda: ae(DIM)), Budget(steps=100), data), data, save=pause, save_every=0, report=pause)
    wall = time.perf_counter() - started
    assert slept == pytest.approx(0.6)  # two saves, two reports
    assert 0 < outcome.seconds <= wall - slept


def test_the_clock_counts_training() -> None:
    template, data = build(lambda: ae(DIM)), batches()
    method = Slow(template.recipe, template.encoder, template.decoder, DIM)
    outcome = train(training(method, Budget(steps=60), data, capture=False), data)
    assert outcome.seconds >= 0.06


def test_the_clock_counts_only_between_start_and_stop() -> None:
    clock = Clock(CPU, spent=3.0)
    time.sleep(0.05)
    clock.start()
    time.sleep(0.02)
    first = clock.stop()
    time.sleep(0.05)
    clock.start()
    assert 3.02 <= first <= clock.stop() < first + 0.05


def test_a_state_is_saved_no_more_often_than_asked() -> None:
    data, saved = batches(), list[int]()
    train(training(build(lambda: ae(DIM)), Budget(steps=200), data), data, save=lambda state: saved.append(state["step"]), save_every=60)
    assert saved == []


def test_progress_is_the_share_of_the_budget() -> None:
    data, shares = batches(), list[float]()
    train(training(build(lambda: ae(DIM)), Budget(steps=125), data), data, report=lambda progress: shares.append(progress.share))
    assert shares == [0.4, 0.8, 1.0]


def test_each_player_moves_only_its_own() -> None:
    method, data = build(lambda: wae_gan(DIM, width=6)), batches()
    taken = training(method, Budget(steps=1), data)
    critic, autoencoder = taken.players
    taken.players, taken.optimizers, taken.rates = [autoencoder], taken.optimizers[1:], taken.rates[1:]
    before = [p.detach().clone() for p in critic.parameters]
    own = [p.detach().clone() for p in autoencoder.parameters]
    taken.take_step(data)
    assert all(torch.equal(p, q) for p, q in zip(critic.parameters, before, strict=True))
    assert all(p.grad is None for p in critic.parameters)
    assert not any(torch.equal(p, q) for p, q in zip(autoencoder.parameters, own, strict=True))


def test_training_puts_the_method_into_training_mode() -> None:
    method, data = build(lambda: ae(DIM), network=tiny_with_batch_norm), batches()
    method.eval()
    train(training(method, Budget(steps=3), data), data)
    assert method.encoder[1].num_batches_tracked.item() == 3


def test_noise_moves_on_from_step_to_step() -> None:
    data = batches(count=5)
    taken = training(build(lambda: cwae(DIM, noise_variance=1.0)), Budget(steps=2), data, optimizer=Optimizer(lr=1e-30))
    assert not torch.equal(taken.take_step(data), taken.take_step(data))  # the same images and weights, in another order
    assert not torch.equal(taken.noise.get_state(), noise().get_state())
