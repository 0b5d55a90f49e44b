"""A profile divides a step as it was spent: events of a known trace, and steps whose phases last known times."""

import time
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.autograd.profiler import profile, record_function
from torch.autograd.profiler_util import FunctionEvent

from bench.datasets.batches import Batches
from bench.errors import RunError
from bench.runs.profile import FIRST, PHASES, kernels, phases, without_first
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from models.interfaces import Player

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MAIN, AUTOGRAD = 1, 2  # threads


def event(name: str, start: float, end: float, *, thread: int = MAIN, on: DeviceType = DeviceType.CPU, flops: int = 0) -> FunctionEvent:
    """An event of a trace, in microseconds."""
    return FunctionEvent(1, name, thread, start, end, device_type=on, flops=flops, use_device="cuda")


def launch(operation: FunctionEvent, kernel: str, start: float, microseconds: float) -> list[FunctionEvent]:
    """An operation on the host and the kernel that it starts, which the device may come to later."""
    operation.append_kernel(kernel, 0, microseconds)
    return [operation, event(kernel, start, start + microseconds, on=DeviceType.CUDA)]


def trace() -> list[FunctionEvent]:
    """Two steps on a GPU: 10 µs data, 20 forward, 30 regulariser, 80 backward, 60 optimiser each.

    The device runs behind the host: every kernel ends after the range in which it was launched. The profiler also repeats the
    ranges on the device's timeline, as annotations.
    """
    events = []
    for at in (0.0, 1000.0):
        events += [
            event("data", at, at + 10),
            *launch(event("aten::copy_", at + 1, at + 5), "copy", at + 50, 10),
            event("forward", at + 10, at + 40),
            *launch(event("aten::mm", at + 12, at + 18, flops=600), "gemm", at + 60, 20),
            event("regulariser", at + 20, at + 30),
            *launch(event("aten::sum", at + 22, at + 24), "reduce", at + 80, 30),
            event("backward", at + 40, at + 70),
            *launch(event("aten::mm", at + 45, at + 50, thread=AUTOGRAD, flops=1200), "gemm", at + 110, 80),
            event("optimiser", at + 70, at + 80),
            *launch(event("aten::_fused_adam_", at + 71, at + 79), "adam", at + 190, 60),
            event("forward", at + 60, at + 110, on=DeviceType.CUDA),
            event("backward", at + 110, at + 190, on=DeviceType.CUDA),
        ]
    return events


def test_kernels_count_for_the_phase_that_launched_them_from_any_thread() -> None:
    expected = {"data": 10 / 200, "forward": 20 / 200, "regulariser": 30 / 200, "backward": 80 / 200, "optimiser": 60 / 200}
    assert phases(trace(), CUDA) == pytest.approx(expected)


def test_a_profiler_that_sees_no_kernels_is_one_line() -> None:
    hidden = [event for event in trace() if event.device_type == DeviceType.CPU]
    for of in hidden:
        of.kernels = []
    with pytest.raises(RunError, match="cannot be profiled: torch's profiler saw nothing on cuda"):
        phases(hidden, CUDA)
    assert kernels(hidden, CUDA, 2) == []


def test_the_first_step_is_left_out_on_the_host_and_on_the_device() -> None:
    first = [of for of in trace() if of.time_range.start < 1000]
    waited = event(FIRST, 0, 500)  # in which the device has come to all of its kernels
    mirrored = event(FIRST, 50, 250, on=DeviceType.CUDA)
    left = without_first([waited, mirrored, *trace()])
    assert [of.name for of in left] == [of.name for of in trace()[len(first) :]]
    assert all(kernel["calls"] == (2 if kernel["name"] == "gemm" else 1) for kernel in kernels(left, CUDA, 1))


def test_on_the_cpu_the_regulariser_inside_forward_counts_once() -> None:
    ranges = {"data": 10, "forward": 30 - 10, "regulariser": 10, "backward": 30, "optimiser": 10}
    shares = phases(trace(), CPU)
    assert shares == pytest.approx({name: length / 80 for name, length in ranges.items()})
    assert sum(shares.values()) == pytest.approx(1)


def test_kernels_of_a_gpu_are_summed_without_the_operations_that_launched_them() -> None:
    found = {kernel["name"]: kernel for kernel in kernels(trace(), CUDA, 2)}
    assert {name: kernel["self_us"] for name, kernel in found.items()} == pytest.approx({"gemm": 100, "adam": 60, "reduce": 30, "copy": 10})
    assert {name: kernel["share"] for name, kernel in found.items()} == pytest.approx(
        {"gemm": 0.5, "adam": 0.3, "reduce": 0.15, "copy": 0.05}
    )
    assert {name: kernel["calls"] for name, kernel in found.items()} == pytest.approx({"gemm": 2, "adam": 1, "reduce": 1, "copy": 1})
    assert list(found) == ["gemm", "adam", "reduce", "copy"]


def test_operations_of_the_cpu_are_summed_without_what_they_call() -> None:
    outer, inner = event("aten::linear", 0, 100), event("aten::addmm", 20, 90, flops=4000)
    outer.append_cpu_child(inner)
    found = {kernel["name"]: kernel for kernel in kernels([event("forward", 0, 120), outer, inner], CPU, 4)}
    assert {name: kernel["self_us"] for name, kernel in found.items()} == pytest.approx({"aten::linear": 30 / 4, "aten::addmm": 70 / 4})
    assert {name: kernel["flops"] for name, kernel in found.items()} == {"aten::linear": 0, "aten::addmm": 1000}
    assert sum(kernel["share"] for kernel in found.values()) == pytest.approx(1)


class Clock:
    """How long each phase slept, in seconds: a busy machine wakes late."""

    def __init__(self) -> None:
        self.slept: Counter[str] = Counter()

    def sleep(self, phase: str, seconds: float) -> None:
        start = time.perf_counter()
        time.sleep(seconds)
        self.slept[phase] += time.perf_counter() - start


class Slow(torch.autograd.Function):
    """Takes a tenth of a second backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, clock: Clock) -> Tensor:
        ctx.clock = clock
        return x * 1.0

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.clock.sleep("backward", 0.1)
        return gradients[0], None


class Timed(torch.nn.Module):
    """Sleeps 20 ms forward, 40 in its regulariser and 100 backward."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.clock = Clock()

    def players(self) -> list[Player]:
        return [Player("autoencoder", (self.weight,), self.terms)]

    def step_begins(self, step: int, per_epoch: int) -> None:
        pass

    def why_eager(self) -> str | None:
        return None

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        self.clock.sleep("forward", 0.02)
        with torch.profiler.record_function("regulariser"):
            self.clock.sleep("regulariser", 0.04)
        return {"loss": Slow.apply(self.weight * x.mean(), self.clock)}  # type: ignore[no-untyped-call]


def test_phases_of_real_steps_last_what_they_last() -> None:
    plan = Plan(Budget(steps=100), Optimizer(), 1, 100)
    timed = Timed()
    training = Training(timed, plan, torch.Generator(), named=True)
    batches = Batches(torch.zeros(10, 1, 2, 2, dtype=torch.uint8), 256, 5, 0)
    training.take_step(batches)
    with profile(use_kineto=True) as profiler:
        with record_function(FIRST):
            training.take_step(batches)
        timed.clock.slept.clear()
        for _ in range(3):
            training.take_step(batches)
    events = without_first(profiler.function_events or [])
    assert [event.name for event in events if event.name in PHASES].count("backward") == 3
    shares = phases(events, CPU)
    slept = timed.clock.slept
    for phase, seconds in slept.items():
        assert shares[phase] == pytest.approx(seconds / slept.total(), abs=0.03)
