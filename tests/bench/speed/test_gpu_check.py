"""`python -m bench gpu-check` at tiny sizes on the CPU: its checks can fail, a part that hangs or crashes is a line, and graphs on CUDA."""

import importlib.util
import itertools
import json
import math
import os
import sys
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from harness import cli
from torch import Tensor

from bench.errors import unknown
from bench.speed import gpu_check, gpu_kernels, gpu_page, gpu_parts
from bench.speed import training as speed
from bench.speed.gpu_check import Part
from bench.speed.gpu_parts import Case, Row, Task
from bench.training.train import Training
from models.wae import wae_mmd

CPU = Case("cpu", quick=True)


def rows_of(part: Callable[[Case], list[Task]], case: Case = CPU) -> list[Row]:
    """All rows of a part, in this process."""
    return [gpu_check.measured(task, case) for task in part(case)]


def test_equal_steps_agree_and_other_steps_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(row["ok"] for row in rows_of(gpu_parts.agreement))
    monkeypatch.setattr(gpu_parts, "AGREEMENT", -1.0)
    assert not any(row["ok"] for row in rows_of(gpu_parts.agreement))


def test_terms_that_are_nan_do_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = itertools.cycle([0.0, math.nan])  # of weights, of terms
    monkeypatch.setattr(gpu_parts, "relative", lambda found, exact: next(errors))
    assert not any(row["ok"] for row in rows_of(gpu_parts.agreement))


def test_few_steps_that_are_timed_begin_an_epoch() -> None:
    for per_epoch in (100, 40):
        options: dict[str, Any] = {"shape": (1, 28, 28), "batch": 2, **({"per_epoch": 40} if per_epoch == 40 else {})}
        training, batches = gpu_parts.training_of(speed.mlp_128_16, wae_mmd, 2, torch.device("cpu"), **options)
        assert training.plan.per_epoch == batches.per_epoch == per_epoch


def test_most_memory_is_that_of_the_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training that FLOPs were counted of is gone when the peak begins, and the other one has not begun."""
    made, begun = list[weakref.ref[Training]](), list[int]()
    make = gpu_parts.training_of

    def noted(*arguments: Any, **options: Any) -> Any:
        found = make(*arguments, **options)
        made.append(weakref.ref(found[0]))
        return found

    monkeypatch.setattr(gpu_parts, "training_of", noted)
    monkeypatch.setattr(gpu_parts, "reset_peak_memory", lambda device: begun.append(len([ref for ref in made if ref()])))
    rows_of(gpu_parts.utilisation)
    assert begun == [0, 0]
    assert len(made) == 4


@pytest.mark.parametrize("part", ["kernel times", "training times", "utilisation", "profiles"])
def test_every_part_measures(part: str) -> None:
    rows = rows_of(gpu_check.PARTS[part].tasks)
    assert rows
    assert all(row["ok"] for row in rows), rows
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert all(value > 0 for value in numbers)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which everything takes a millisecond."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 1000)


@pytest.mark.usefixtures("clock")
def test_the_rate_of_matrix_products_is_their_operations_over_their_time() -> None:
    assert gpu_parts.matmul_rate(torch.device("cpu"), "float32", 32, rounds=3) == pytest.approx(4 * 2 * 32**3 / 1e-3)


@pytest.mark.usefixtures("clock")
def test_utilisation_is_a_steps_operations_over_its_time_over_the_rate() -> None:
    layers = [(784, 128), (128, 16), (16, 64), (64, 16), (16, 128), (128, 784)]  # the last width of the encoder is the latent size
    products = [2 * 20 * a * b for a, b in layers]
    flops = 3 * sum(products) - products[0]  # forward, for the weights, for the inputs but the images
    rate = 4 * 2 * 256**3 / 1e-3
    rows = rows_of(gpu_parts.utilisation)
    assert len(rows) == 2
    for row in rows:
        assert row["ms"] == pytest.approx(1 / 5)  # five steps
        assert row["matmul_tflops"] == pytest.approx(rate / 1e12)
        assert row["mfu"] == pytest.approx(flops / 0.2e-3 / rate)


def test_profiles_divide_by_their_ten_steps() -> None:
    per_step = {"aten::_fused_adam_": 1, "aten::addmm": 6}  # of the six layers
    for row in rows_of(gpu_parts.profiles):
        calls = {kernel["name"]: kernel["calls"] for kernel in row["kernels"] if kernel["name"] in per_step}
        assert calls  # which operations are among the eight longest depends on the machine
        assert calls == pytest.approx({name: per_step[name] for name in calls})


def test_a_profile_without_kernels_says_nothing_of_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_parts, "profiled", lambda act, device: [])
    assert [(row["ok"], row["error"].partition(" (")[0]) for row in rows_of(gpu_parts.profiles)] == [
        (False, "RuntimeError: the profiler saw no kernel")
    ] * 2


@pytest.mark.parametrize(("of_steps", "ok"), [(0, True), (1, False)])
def test_waits_are_those_beyond_what_the_profiler_itself_does(of_steps: int, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    profiled = gpu_parts.profiled

    def waiting(act: Callable[[], object], device: torch.device) -> list[Any]:
        steps = isinstance(act, partial)
        return [*profiled(act, device), *(SimpleNamespace(name=gpu_parts.WAITS[1], device_type=None) for _ in range(3 + of_steps * steps))]

    monkeypatch.setattr(gpu_parts, "profiled", waiting)
    assert [(row["ok"], row["host_waits"]) for row in rows_of(gpu_parts.profiles)] == [(ok, of_steps)] * 2


def raising(p: Tensor, q: Tensor) -> Tensor:
    raise RuntimeError("CUDA error: an illegal memory access")


def after(seconds: float, name: str, device: torch.device) -> Row:
    time.sleep(seconds)
    return {"x": 0.125, "process": os.getpid()}


def test_a_kernel_that_raises_a_row_that_hangs_and_a_machine_that_says_nothing_cost_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else is in the files, which are there from the first row on."""

    def broken(device: torch.device, jobs: int) -> dict[str, Any]:
        raise RuntimeError("CUDA error: unspecified launch failure")

    kernels = {"mmd imq": gpu_kernels.KERNELS["mmd imq"], "bad": raising, "mmd rbf": gpu_kernels.KERNELS["mmd rbf"]}
    monkeypatch.setattr(gpu_kernels, "KERNELS", kernels)
    waits = {"quick": 0.0, "hangs": 60.0, "quick again": 0.0}
    parts = {
        "correctness": Part(gpu_kernels.correctness, 60),
        "waits": Part(lambda case: [Task({"name": name}, partial(after, seconds, name)) for name, seconds in waits.items()], 5),
        "dies": Part(lambda case: [Task({"n": n}, lambda device, n=n: os._exit(7) if n == 1 else {"x": 1.0}) for n in (1, 2)], 60),
    }
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    monkeypatch.setattr(gpu_check, "describe", broken)
    assert cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path).code == 1
    result = json.loads((tmp_path / "leaderboards" / "gpu" / "cpu" / "check.json").read_text(encoding="utf-8"))
    assert result["finished"]
    assert not result["ok"]
    assert "unspecified launch failure" in result["environment"]["error"]
    rows = {name: part["rows"] for name, part in result["parts"].items()}
    assert [(row["kernel"], row["n"], row["ok"]) for row in rows["correctness"]] == [
        (name, n, name != "bad") for name in kernels for n, _ in CPU.sizes
    ]
    assert all("illegal memory access" in row["error"] for row in rows["correctness"] if row["kernel"] == "bad")
    assert [(row["name"], row.get("x"), row.get("error")) for row in rows["waits"]] == [
        ("quick", 0.125, None),
        ("hangs", None, "took longer than 5 s"),
        ("quick again", 0.125, None),
    ]
    assert rows["waits"][0]["process"] != rows["waits"][2]["process"], "an error of CUDA stays in its process"
    assert [row.get("error") for row in rows["dies"]] == ["its process died (exit code 7)", None]
    text = (tmp_path / "leaderboards" / "gpu" / "cpu" / "check.md").read_text(encoding="utf-8")
    assert "Failed: hangs: took longer than 5 s" in text
    assert text.count("0.125") == 2
    assert "could not be described" in text


def test_each_row_is_kept_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task({"n": n}, lambda device: {"x": 1.0}) for n in range(3)]
    monkeypatch.setattr(gpu_check, "PARTS", {"holds": Part(lambda case: tasks, 60)})
    seen = list[tuple[int, bool]]()
    result = gpu_check.check(
        CPU, lambda text: None, lambda so_far: seen.append((len(so_far["parts"]["holds"]["rows"]), so_far["finished"]))
    )
    assert seen == [(1, False), (2, False), (3, False), (3, True)]
    assert result["ok"]
    assert "NOT FINISHED" in gpu_page.markdown({**result, "finished": False})


def test_when_time_is_up_what_is_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "SECONDS", -1)
    monkeypatch.setattr(gpu_check, "PARTS", {"late": Part(lambda case: [Task({"n": n}, lambda device: {}) for n in (1, 2)], 60)})
    rows = gpu_check.check(CPU, lambda text: None)["parts"]["late"]["rows"]
    assert [(row["n"], row["error"]) for row in rows] == [(1, "no time left"), (2, "no time left")]


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_the_command_says_by_its_code_whether_a_check_failed(ok: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PARTS", {"a part": Part(lambda case: [Task({}, lambda device: {"ok": ok})], 60)})
    assert cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path).code == code


def test_what_is_not_installed_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "zuko" else find(name))
    result = cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path)
    assert result.code == 2
    assert result.line() == "gpu-check needs zuko, not installed here; python -m pip install zuko"
    assert not list(tmp_path.iterdir())


def test_a_part_alone_has_a_folder_of_its_own_and_needs_no_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch_fidelity" else find(name))
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    parts = ("kernel times", "agreement")
    result = cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path, *(word for part in parts for word in ("--part", part)))
    assert (result.code, result.err.split("\n")[:2]) == (0, ["agreement", "kernel times"])
    (of_device,) = (tmp_path / "leaderboards" / "gpu").iterdir()
    folder = of_device / "agreement_kernel-times"
    said = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    assert (said["finished"], list(said["parts"])) == (True, ["agreement", "kernel times"])
    page = (folder / "check.md").read_text(encoding="utf-8")
    assert "`python -m bench gpu-check --part 'agreement' --part 'kernel times'`" in page
    assert list(of_device.iterdir()) == [folder]


def test_a_part_that_there_is_not_is_one_line_with_a_near_name(tmp_path: Path) -> None:
    result = cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path, "--part", "kernel time")
    assert (result.code, result.line()) == (2, f"--part: {unknown('part', 'kernel time', gpu_check.PARTS)}")
    assert "did you mean 'kernel times'? known: agreement, " in result.line()
    assert not list(tmp_path.iterdir())
    for other in ("--estimate", "--compile-only"):
        result = cli("gpu-check", other, "--part", "agreement", "--out", tmp_path)
        assert (result.code, "--part is for the checks" in result.line()) == (2, True)


def test_the_help_names_every_part() -> None:
    assert f"Parts: {', '.join(gpu_check.PARTS)}." in " ".join(cli("gpu-check", "--help").out.split())


def test_without_a_gpu_it_is_one_line(tmp_path: Path) -> None:
    result = cli("gpu-check", "--device", "cpu", "--out", tmp_path)
    assert (result.code, "--quick" in result.line()) == (2, True)
    if not torch.cuda.is_available():
        result = cli("gpu-check", "--out", tmp_path)
        assert (result.code, "this machine has no CUDA device" in result.line()) == (2, True)


@pytest.mark.gpu
def test_steps_as_graphs_are_steps() -> None:
    rows = rows_of(gpu_parts.agreement, Case("cuda", quick=True))
    assert all(row["ok"] for row in rows), rows


@pytest.mark.gpu
def test_a_step_that_cannot_be_recorded_goes_on_kernel_by_kernel() -> None:
    device = Case("cuda", quick=True).open()
    training, batches = gpu_parts.training_of(speed.mlp_128_16, wae_mmd, 4, device, shape=(1, 28, 28))
    terms = training.players[0].terms

    def reading(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        found = dict(terms(x, noise))
        found["loss"] = found["loss"] * (1.0 if found["loss"].item() else 0.0)  # waits for the device
        return found

    object.__setattr__(training.players[0], "terms", reading)
    rows = torch.stack(training.take_steps(batches, 12))
    assert rows.isfinite().all()
    assert training.execution.startswith("eager: ")
    assert torch.randn(3, generator=training.noise, device=device).isfinite().all()  # the stream still works
