"""`python -m bench gpu-check` at tiny sizes on the CPU: its checks can fail, a part that hangs or crashes is a line, and graphs on CUDA."""

import importlib.util
import itertools
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import cli
from torch import Tensor

from bench.speed import gpu_check, gpu_page, gpu_parts, seeds
from bench.speed import training as speed
from bench.speed.gpu_parts import Case, Row, Task
from models.networks.network import Network
from models.wae import wae_mmd

CPU = Case("cpu", quick=True)


def rows_of(part: Callable[[Case], list[Task]], case: Case = CPU) -> list[Row]:
    """All rows of a part, in this process."""
    return [gpu_check.measured(task, case) for task in part(case)]


def test_every_kernel_is_exact_and_a_wrong_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(row["ok"] for row in rows_of(gpu_parts.correctness))

    def wrong(p: Tensor, q: Tensor) -> Tensor:
        return (q.to(torch.bfloat16).to(q.dtype) if q.dtype == torch.float32 else q).square().mean()

    monkeypatch.setitem(gpu_parts.KERNELS, "wrong", wrong)
    rows = rows_of(gpu_parts.correctness)
    assert {row["kernel"] for row in rows if not row["ok"]} == {"wrong"}


def test_equal_steps_agree_and_other_steps_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(row["ok"] for row in rows_of(gpu_parts.agreement))
    monkeypatch.setattr(gpu_parts, "AGREEMENT", -1.0)
    assert not any(row["ok"] for row in rows_of(gpu_parts.agreement))


@pytest.mark.parametrize("part", ["kernel times", "training times", "utilisation", "profiles"])
def test_every_part_measures(part: str) -> None:
    rows = rows_of(gpu_check.PARTS[part][0])
    assert rows
    assert all(row["ok"] for row in rows), rows
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert all(value > 0 for value in numbers)


def test_seeds_at_once_are_measured_in_each_form() -> None:
    rows = rows_of(seeds.seeds_at_once)
    assert [(row["seeds"], row["form"], row["ok"]) for row in rows] == [(3, form, True) for form in ("in turn", "stacked", "processes")]
    assert all(row["ms"] > 0 and row["over_one"] > 0 for row in rows)
    assert rows[2]["processes"] == 3
    assert rows[0]["weights"] == 0
    assert rows[1]["weights"] < 1e-5
    text = gpu_page.table(rows)
    assert text.splitlines()[0].split("|")[-2].strip() == "nvidia_mps", "a column for each key"


def test_a_stack_that_learns_otherwise_is_noticed() -> None:
    def other(network: Network, dim: int, count: int, device: torch.device) -> seeds.AtOnce:
        each = seeds.alone(network, dim, [0, 1, 7], device)
        return seeds.AtOnce(partial(seeds.in_turn, each), [training.method for training, _ in each], each[0][0])

    assert seeds.in_one_process(seeds.in_one_step, speed.mlp_128_16, 2, 3, 1, torch.device("cpu"))["ok"]
    assert not seeds.in_one_process(other, speed.mlp_128_16, 2, 3, 1, torch.device("cpu"))["ok"]


def test_what_a_process_dies_of_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("no room on the device")

    monkeypatch.setattr(seeds, "alone", broken)
    with pytest.raises(RuntimeError, match="no room on the device"):
        seeds.in_processes(speed.mlp_128_16, 2, 3, 1, torch.device("cpu"))


@pytest.mark.usefixtures("clock")
def test_a_time_of_seeds_is_that_of_a_step_of_all() -> None:
    row = seeds.in_one_process(seeds.one_after_the_other, speed.mlp_128_16, 2, 3, 2, torch.device("cpu"))
    assert (row["ms"], row["over_one"]) == (pytest.approx(1 / seeds.STEPS), pytest.approx(1))


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

    kernels = {"mmd imq": gpu_parts.KERNELS["mmd imq"], "bad": raising, "mmd rbf": gpu_parts.KERNELS["mmd rbf"]}
    monkeypatch.setattr(gpu_parts, "KERNELS", kernels)
    waits = {"quick": 0.0, "hangs": 60.0, "quick again": 0.0}
    parts = {
        "correctness": (gpu_parts.correctness, 60),
        "waits": (lambda case: [Task({"name": name}, partial(after, seconds, name)) for name, seconds in waits.items()], 2),
        "dies": (lambda case: [Task({"n": n}, lambda device, n=n: os._exit(7) if n == 1 else {"x": 1.0}) for n in (1, 2)], 60),
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
        ("hangs", None, "took longer than 2 s"),
        ("quick again", 0.125, None),
    ]
    assert rows["waits"][0]["process"] != rows["waits"][2]["process"], "an error of CUDA stays in its process"
    assert [row.get("error") for row in rows["dies"]] == ["its process died (exit code 7)", None]
    text = (tmp_path / "leaderboards" / "gpu" / "cpu" / "check.md").read_text(encoding="utf-8")
    assert "Failed: hangs: took longer than 2 s" in text
    assert text.count("0.125") == 2
    assert "could not be described" in text


def test_each_row_is_kept_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task({"n": n}, lambda device: {"x": 1.0}) for n in range(3)]
    monkeypatch.setattr(gpu_check, "PARTS", {"holds": (lambda case: tasks, 60)})
    seen = list[tuple[int, bool]]()
    result = gpu_check.check(
        CPU, lambda text: None, lambda so_far: seen.append((len(so_far["parts"]["holds"]["rows"]), so_far["finished"]))
    )
    assert seen == [(1, False), (2, False), (3, False), (3, True)]
    assert result["ok"]
    assert "NOT FINISHED" in gpu_page.markdown({**result, "finished": False})


def test_when_time_is_up_what_is_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "SECONDS", -1)
    monkeypatch.setattr(gpu_check, "PARTS", {"late": (lambda case: [Task({"n": n}, lambda device: {}) for n in (1, 2)], 60)})
    rows = gpu_check.check(CPU, lambda text: None)["parts"]["late"]["rows"]
    assert [(row["n"], row["error"]) for row in rows] == [(1, "no time left"), (2, "no time left")]


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_the_command_says_by_its_code_whether_a_check_failed(ok: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PARTS", {"a part": (lambda case: [Task({}, lambda device: {"ok": ok})], 60)})
    assert cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path).code == code


def test_what_is_not_installed_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("zuko", "torch_fidelity") else find(name))
    result = cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path)
    assert result.code == 2
    assert result.line() == "gpu-check needs zuko, torch-fidelity, not installed here; python -m pip install zuko torch-fidelity"
    assert not list(tmp_path.iterdir())


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
def test_seeds_stacked_and_on_streams_are_seeds_alone() -> None:
    rows = rows_of(seeds.seeds_at_once, Case("cuda", quick=True))
    assert all(row["ok"] for row in rows), rows
    assert {row["form"] for row in rows} == {"in turn", "streams", "stacked", "processes"}


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
