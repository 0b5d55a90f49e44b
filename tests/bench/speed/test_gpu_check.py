"""`python -m bench gpu-check` at tiny sizes on the CPU: its checks can fail, a part that hangs or crashes is a line, and graphs on CUDA."""

import itertools
import json
import os
import time
from pathlib import Path

import pytest
import torch
from harness import cli
from torch import Tensor

from bench.speed import gpu_check, gpu_page
from bench.speed import training as speed
from bench.speed.gpu_check import Case
from models.wae import wae_mmd

CPU = Case("cpu", quick=True)


def test_every_kernel_is_exact_and_a_wrong_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_check.correctness(CPU)["ok"]

    def wrong(p: Tensor, q: Tensor) -> Tensor:
        return (q.to(torch.bfloat16).to(q.dtype) if q.dtype == torch.float32 else q).square().mean()

    monkeypatch.setitem(gpu_check.KERNELS, "wrong", wrong)
    rows = gpu_check.correctness(CPU)["rows"]
    assert {row["kernel"] for row in rows if not row["ok"]} == {"wrong"}


def test_equal_steps_agree_and_other_steps_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_check.agreement(CPU)["ok"]
    monkeypatch.setattr(gpu_check, "AGREEMENT", -1.0)
    assert not gpu_check.agreement(CPU)["ok"]


@pytest.mark.parametrize("part", ["kernel times", "training times", "utilisation", "profiles"])
def test_every_part_measures(part: str) -> None:
    found = gpu_check.PARTS[part][0](CPU)
    assert found["ok"]
    numbers = [value for row in found["rows"] for value in row.values() if isinstance(value, float)]
    assert all(value > 0 for value in numbers)
    assert len(found["rows"]) >= 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which everything takes a millisecond."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 1000)


@pytest.mark.usefixtures("clock")
def test_the_rate_of_matrix_products_is_their_operations_over_their_time() -> None:
    assert gpu_check.matmul_rate(torch.device("cpu"), "float32", 32, rounds=3) == pytest.approx(4 * 2 * 32**3 / 1e-3)


@pytest.mark.usefixtures("clock")
def test_utilisation_is_a_steps_operations_over_its_time_over_the_rate() -> None:
    layers = [(784, 128), (128, 16), (16, 64), (64, 16), (16, 128), (128, 784)]  # the last width of the encoder is the latent size
    products = [2 * 20 * a * b for a, b in layers]
    flops = 3 * sum(products) - products[0]  # forward, for the weights, for the inputs but the images
    rate = 4 * 2 * 256**3 / 1e-3
    rows = gpu_check.utilisation(CPU)["rows"]
    assert len(rows) == 2
    for row in rows:
        assert row["ms"] == pytest.approx(1 / 5)  # five steps
        assert row["matmul_tflops"] == pytest.approx(rate / 1e12)
        assert row["mfu"] == pytest.approx(flops / 0.2e-3 / rate)


def test_profiles_divide_by_their_ten_steps() -> None:
    per_step = {"aten::_fused_adam_": 1, "aten::addmm": 6}  # of the six layers
    for row in gpu_check.profiles(CPU)["rows"]:
        calls = {kernel["name"]: kernel["calls"] for kernel in row["kernels"] if kernel["name"] in per_step}
        assert calls  # which operations are among the eight longest depends on the machine
        assert calls == pytest.approx({name: per_step[name] for name in calls})


def test_parts_that_hang_crash_or_raise_are_lines_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(case: Case) -> dict[str, object]:
        raise ValueError("no such thing")

    parts = {
        "hangs": (lambda case: time.sleep(60), 1),
        "dies": (lambda case: os._exit(7), 60),
        "raises": (raising, 60),
        "holds": (lambda case: {"ok": True, "rows": [{"x": 0.125}]}, 60),
    }
    monkeypatch.setattr(gpu_check, "PARTS", parts)
    result = gpu_check.check(CPU, lambda text: None)
    assert {name: part.get("error") for name, part in result["parts"].items()} == {
        "hangs": "took longer than 1 s",
        "dies": "its process died (exit code 7)",
        "raises": f"ValueError: no such thing (test_gpu_check.py, line {raising.__code__.co_firstlineno + 1})",
        "holds": None,
    }
    assert not result["ok"]
    page = gpu_page.publish(gpu_check.folder_of(tmp_path, result), result)
    text = page.read_text(encoding="utf-8")
    assert "Failed: took longer than 1 s" in text
    assert "0.125" in text
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8")) == result


def test_the_command_says_by_its_code_whether_a_check_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PARTS", {"holds": (lambda case: {"ok": True, "rows": []}, 9)})
    assert cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path).code == 0
    monkeypatch.setattr(gpu_check, "PARTS", {"fails": (lambda case: {"ok": False, "rows": []}, 9)})
    assert cli("gpu-check", "--device", "cpu", "--quick", "--out", tmp_path).code == 1


def test_without_a_gpu_it_is_one_line(tmp_path: Path) -> None:
    result = cli("gpu-check", "--device", "cpu", "--out", tmp_path)
    assert (result.code, "--quick" in result.line()) == (2, True)
    if not torch.cuda.is_available():
        result = cli("gpu-check", "--out", tmp_path)
        assert (result.code, "this machine has no CUDA device" in result.line()) == (2, True)


@pytest.mark.gpu
def test_steps_as_graphs_are_steps() -> None:
    found = gpu_check.agreement(Case("cuda", quick=True))
    assert found["ok"], found["rows"]


@pytest.mark.gpu
def test_a_step_that_cannot_be_recorded_goes_on_kernel_by_kernel() -> None:
    device = Case("cuda", quick=True).open()
    training, batches = gpu_check.training_of(speed.mlp_128_16, wae_mmd, 4, device, shape=(1, 28, 28))
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
