"""Seeds at once in `gpu-check`: each form is timed alike, one that learns otherwise is noticed, a process that dies is said at once."""

import itertools
import os
import time
from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import nn

from bench.datasets.batches import Batches, generator
from bench.speed import gpu_check, gpu_page, seeds
from bench.speed import training as speed
from bench.speed.gpu_parts import Case, Row, relative
from bench.speed.seeds import Several
from bench.training.train import Training
from models.networks.network import Network, Pair

CPU = torch.device("cpu")
FEW = Several(speed.mlp_128_16, 2, 3, 5, 1)


def rows_on(device: str) -> list[Row]:
    case = Case(device, quick=True)
    return [gpu_check.measured(task, case) for task in seeds.seeds_at_once(case)]


def test_seeds_at_once_are_measured_in_each_form() -> None:
    rows = rows_on("cpu")
    assert [(row["seeds"], row["form"], row["ok"]) for row in rows] == [(3, form, True) for form in ("in turn", "stacked", "processes")]
    assert all(row["ms"] > 0 and row["over_one"] > 0 for row in rows)
    assert rows[2]["processes"] == 3
    assert rows[0]["apart"] == 0
    assert rows[1]["apart"] < 1e-5
    text = gpu_page.table(rows)
    assert text.splitlines()[0].split("|")[-2].strip() == "nvidia_mps", "a column for each key"


def test_a_stack_that_learns_otherwise_is_noticed() -> None:
    def other(network: Network, dim: int, count: int, device: torch.device) -> seeds.AtOnce:
        each = seeds.alone(network, dim, [0, 1, 7], device)
        return seeds.AtOnce(partial(seeds.in_turn, each), [training.method for training, _ in each], each[0][0])

    assert seeds.in_one_process(seeds.in_one_step, FEW, CPU)["ok"]
    assert not seeds.in_one_process(other, FEW, CPU)["ok"]


def test_what_a_process_dies_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("no room on the device")

    monkeypatch.setattr(seeds, "alone", broken)
    with pytest.raises(RuntimeError, match="no room on the device"):
        seeds.in_processes(FEW, CPU)


@pytest.mark.usefixtures("clock")
def test_a_time_of_seeds_is_that_of_a_step_of_all() -> None:
    row = seeds.in_one_process(seeds.one_after_the_other, FEW._replace(steps=8), CPU)
    assert (row["ms"], row["over_one"]) == (pytest.approx(1 / 8), pytest.approx(1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which everything takes a millisecond."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 1000)


def test_every_form_of_a_network_is_timed_over_as_many_steps() -> None:
    works = [(task.labels["network"], task.measure.args[-1]) for task in seeds.seeds_at_once(Case("cuda", quick=False))]  # type: ignore[attr-defined]
    assert len(works) == 8
    mlp, convolutional = dict(works).values()
    assert works == [("MLP 784-128-16-2", mlp)] * 4 + [("convolutional MNIST network", convolutional)] * 4
    assert (mlp.steps, mlp.rounds) == (50, 10)
    assert (convolutional.rounds + 2) * convolutional.steps * 0.3 < 15  # s of the row's 90, where a step of all seeds takes 0.3


def test_taken_steps_are_those_that_times_are_divided_by(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(seeds, "in_turn", lambda each, steps: taken.append(steps))
    seeds.in_one_process(seeds.one_after_the_other, FEW._replace(steps=8), CPU)
    assert taken == [seeds.COMPARED] * 2 + [8] * 6  # two rounds to warm up, one that counts, each of one seed and of all


@pytest.mark.gpu
def test_seeds_stacked_and_on_streams_are_seeds_alone() -> None:
    rows = rows_on("cuda")
    assert all(row["ok"] for row in rows), rows
    assert {row["form"] for row in rows} == {"in turn", "streams", "stacked", "processes"}


def convolutional(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """With batch norm behind convolutions that have biases, as `wae_mnist`; 14×14 maps of four channels."""
    encoder = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(784, outputs * dim))
    maps = nn.Sequential(nn.Linear(dim, 196), nn.Unflatten(1, (4, 7, 7)), nn.ConvTranspose2d(4, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
    return encoder, nn.Sequential(maps, nn.ConvTranspose2d(4, 1, 4, 2, 1))


def test_biases_before_batch_norm_that_adam_moves_by_rounding_are_no_fault() -> None:
    several = Several(convolutional, 3, 3, 5, 1)
    row = seeds.in_one_process(seeds.in_one_step, several, CPU)
    assert row["ok"], row
    assert row["apart"] < seeds.LEARNED / 10
    stack, lone = (make(convolutional, 3, 3, CPU) for make in (seeds.in_one_step, seeds.one_after_the_other))
    for each in (stack, lone):
        each.steps(seeds.COMPARED)
    of_weights = [
        relative(*(torch.cat([p.detach().flatten() for p in method.parameters()]) for method in pair))
        for pair in zip(stack.methods, lone.methods, strict=True)
    ]
    assert max(of_weights) > 1e-3, "the weights themselves are not to be compared"


@pytest.mark.parametrize(("of_batches", "of_noise"), [(7, 1), (1, 7)])
def test_batches_or_noise_of_another_seed_are_noticed(of_batches: int, of_noise: int) -> None:
    def other(network: Network, dim: int, count: int, device: torch.device) -> seeds.AtOnce:
        each = seeds.alone(network, dim, range(count), device)
        training, batches = each[1]
        training.noise = generator(device, of_noise, "noise")
        each[1] = training, Batches(batches.images, batches.levels, batches.batch_size, of_batches)
        return seeds.AtOnce(partial(seeds.in_turn, each), [training.method for training, _ in each], each[0][0])

    row = seeds.in_one_process(other, FEW, CPU)
    assert row["apart"] > 2 * seeds.LEARNED
    assert not row["ok"]


def test_nan_in_one_seed_is_noticed() -> None:
    def broken(network: Network, dim: int, count: int, device: torch.device) -> seeds.AtOnce:
        found = seeds.one_after_the_other(network, dim, count, device)
        with torch.no_grad():
            next(found.methods[1].parameters()).fill_(torch.nan)  # neither the first nor the last
        return found

    assert not seeds.in_one_process(broken, FEW, CPU)["ok"]


def test_seeds_have_weights_of_their_own() -> None:
    first, second, again = (seeds.method_of(speed.mlp_128_16, 2, seed, CPU) for seed in (0, 1, 0))
    for p, q, r in zip(first.parameters(), second.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, r)
        assert 0.05 < relative(p.detach(), q.detach()) < 0.3


def test_a_process_that_dies_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = seeds.alone

    def dying(network: Network, dim: int, each: Sequence[int], device: torch.device) -> list[tuple[Training, Batches]]:
        return os._exit(7) if each[0] == 1 else alone(network, dim, each, device)

    monkeypatch.setattr(seeds, "alone", dying)
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match=r"a process died \(exit code 7\)"):
        seeds.in_processes(FEW, CPU)
    assert time.monotonic() - begun < seeds.PATIENCE


def test_a_process_that_the_others_wait_for_in_vain_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = seeds.alone

    def late(network: Network, dim: int, each: Sequence[int], device: torch.device) -> list[tuple[Training, Batches]]:
        time.sleep(60.0 if each[0] == 1 else 0.0)
        return alone(network, dim, each, device)

    monkeypatch.setattr(seeds, "alone", late)
    monkeypatch.setattr(seeds, "PATIENCE", 0.5)
    with pytest.raises(RuntimeError, match="another process failed, or took more than"):
        seeds.in_processes(FEW, CPU)


def test_silence_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "alone", lambda *_: time.sleep(60))
    monkeypatch.setattr(seeds, "SILENCE", 0.3)
    with pytest.raises(RuntimeError, match="the processes said nothing for 0 s"):
        seeds.in_processes(FEW, CPU)


def test_the_queues_between_host_and_device_are_set_before_the_device_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    part = gpu_check.PARTS["seeds at once"]
    seen = gpu_check.Task({}, lambda device: {"queues": os.environ.get(seeds.QUEUES)})
    monkeypatch.setitem(gpu_check.PARTS, "seeds at once", part._replace(tasks=lambda case: [seen]))
    monkeypatch.delenv(seeds.QUEUES, raising=False)
    opened = Case.open
    monkeypatch.setattr(Case, "open", lambda case: opened(case) if seeds.QUEUES in os.environ else pytest.fail("opened before"))
    (row,) = gpu_check.rows_of("seeds at once", Case("cpu", quick=True), time.monotonic() + 60)
    assert row == {"ok": True, "queues": "32"}
    assert seeds.QUEUES not in os.environ, "other parts are measured as users have it"
