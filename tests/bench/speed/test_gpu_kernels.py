"""Kernels in `gpu-check`: a wrong one, or one that gives NaN, is noticed; what is timed is the kernel, as a CUDA graph can hold it."""

import itertools
import math
import time
from collections.abc import Callable

import pytest
import torch
from pretended_gpu import pretended_gpu
from small_methods import noise
from torch import Tensor

from bench.speed import gpu_check, gpu_kernels
from bench.speed.gpu_parts import Case, Row
from metrics.kernels.backends import using

CPU = Case("cpu", quick=True)


def rows_of_correctness() -> list[Row]:
    return [gpu_check.measured(task, CPU) for task in gpu_kernels.correctness(CPU)]


def rounded(p: Tensor, q: Tensor) -> Tensor:
    """Of q in bfloat16, where q is in float32."""
    return (q.to(torch.bfloat16).to(q.dtype) if q.dtype == torch.float32 else q).square().mean()


def nan_value(p: Tensor, q: Tensor) -> Tensor:
    value = q.square().mean()
    return value + (math.nan if q.dtype == torch.float32 else 0.0)


def nan_gradient(p: Tensor, q: Tensor) -> Tensor:
    """Whose value is a number: 0 times a root that is infinitely steep at 0."""
    value = q.square().mean()
    return value + (0 * (q - q.detach()).abs().sqrt().sum() if q.dtype == torch.float32 else 0.0)


@pytest.mark.parametrize("wrong", [rounded, nan_value, nan_gradient])
def test_every_kernel_is_exact_and_a_wrong_one_is_noticed(wrong: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu_kernels.KERNELS, "wrong", wrong)
    rows = rows_of_correctness()
    assert all("error" not in row for row in rows)
    assert {row["kernel"] for row in rows if not row["ok"]} == {"wrong"}
    assert not any(row["ok"] for row in rows if row["kernel"] == "wrong")


def test_a_kernel_is_timed_without_what_is_drawn_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    make = gpu_kernels.unit_vectors
    monkeypatch.setattr(gpu_kernels, "unit_vectors", lambda *size: drawn.append(size) or make(*size))
    gpu_kernels.directions.cache_clear()
    row = gpu_kernels.kernel_time("squared_sliced_wasserstein", 33, 7, 3, torch.device("cpu"))
    assert drawn == [(64, 7)]
    assert row["ms"] > 0
    assert row["execution"] == "eager: device cpu"


@pytest.mark.parametrize("name", gpu_kernels.KERNELS)
def test_what_is_timed_is_such_as_a_graph_can_hold(name: str) -> None:
    """In the forms that are of torch's own operations; that of a mixture in tiles, which waits, is for sizes of the GPU."""
    p, q = (torch.randn(33, 5, generator=noise(seed)) for seed in (0, 1))
    loss = gpu_kernels.KERNELS[name]
    with using("broadcast"):
        gpu_kernels.called(loss, p, q, (), ())  # the steps before a recording
        constant = gpu_kernels.directions(5, q.device, q.dtype)
        with pretended_gpu() as device:
            device.put(p, q, constant)
            assert device.has(gpu_kernels.called(loss, p, q, (), ()))
            assert device.launches >= 2 * gpu_kernels.CALLS


@pytest.mark.usefixtures("clock")
def test_a_time_is_that_of_one_call() -> None:
    row = gpu_kernels.kernel_time("total_variance", 33, 5, 3, torch.device("cpu"))
    assert row["ms"] == pytest.approx(1 / gpu_kernels.CALLS)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which everything takes a millisecond."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 1000)


def test_the_reference_may_have_all_cores() -> None:
    before = torch.get_num_threads()
    with gpu_kernels.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


@pytest.mark.gpu
def test_kernels_are_timed_as_graphs_but_for_one_that_waits() -> None:
    device = Case("cuda", quick=True).open()
    for name, n, graph in (("mmd imq", 100, True), ("total_variance", 100, True), ("log_mixture_density", 4096, False)):
        row = gpu_kernels.kernel_time(name, n, 16, 2, device)
        assert row["execution"].startswith("20 calls" if graph else "eager: the host waits"), row
