"""The kernel benchmarks' rounds: few calls of what is slow, ratios of the same round, all cores."""

import importlib.util
import multiprocessing
import runpy
import sys
import types
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
FILE = importlib.util.spec_from_file_location("measuring", ROOT / "tests" / "benchmarks" / "measuring.py")
assert FILE is not None
assert FILE.loader is not None
measuring = importlib.util.module_from_spec(FILE)
FILE.loader.exec_module(measuring)


class Clocked:
    """Steps on a clock that they move themselves: the n-th call of a step takes the n-th of its seconds, then the last one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **seconds: list[float]):
        self.now, self.calls = 0.0, list[str]()
        self.steps = {name: lambda name=name, took=took: self.call(name, took) for name, took in seconds.items()}
        monkeypatch.setattr(measuring.time, "perf_counter", lambda: self.now)

    def call(self, name: str, took: list[float]) -> None:
        self.now += took[min(self.calls.count(name), len(took) - 1)]
        self.calls.append(name)


def test_a_slow_form_is_called_twice_and_compared_with_ours_of_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, ours=[2, 2, 1, 4], eager=[40, 30], other=[1, 1, 2, 2])
    times = measuring.side_by_side(clocked.steps, CPU, seconds=0.6)
    assert times == {"ours": pytest.approx([1000, 4000]), "eager": pytest.approx([30_000]), "other": pytest.approx([2000, 2000])}
    assert measuring.ratios(times) == {"ours": 1, "eager": pytest.approx(30), "other": pytest.approx(1.25)}
    assert clocked.calls == ["ours", "ours", "eager", "other", "other", "ours", "eager", "other", "ours", "other"]


def test_a_form_that_was_slow_at_its_first_call_alone_is_not_called_again_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, ours=[20, 0.5])
    assert measuring.side_by_side(clocked.steps, CPU, seconds=9) == {"ours": pytest.approx([500])}


def test_quick_forms_warm_up_and_are_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, ours=[2, 0.03, 0.03, 0.04, 0.05], eager=[0.5, 0.06, 0.06, 0.12, 0.05])
    times = measuring.side_by_side(clocked.steps, CPU, seconds=0.3)
    assert times == {"ours": pytest.approx([30, 40, 50]), "eager": pytest.approx([60, 120, 50])}
    assert measuring.ratios(times) == {"ours": 1, "eager": pytest.approx(2)}


def test_memory_is_measured_without_a_warm_up_too() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs a system that can reset a process's peak")
    calls = multiprocessing.get_context("fork").Value("i", 0)

    def step() -> None:
        calls.value += 1
        torch.ones(2**24)  # 67 MB

    assert measuring.peak_mb(step, CPU) == pytest.approx(67, abs=8)
    assert calls.value == 2
    assert measuring.peak_mb(step, CPU, warm_up=False) == pytest.approx(67, abs=8)
    assert calls.value == 3


class Session:
    """What nox would run."""

    venv_backend, posargs = "none", ()

    def __init__(self, folder: Path):
        self.folder, self.ran = folder, list[tuple[tuple[str, ...], dict[str, str]]]()

    def create_tmp(self) -> str:
        return str(self.folder)

    def run(self, *command: str, env: dict[str, str], **_: object) -> None:
        self.ran.append((command, env))


def test_the_session_of_kernels_says_how_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nox = types.ModuleType("nox")
    nox.options, nox.session, nox.Session = types.SimpleNamespace(), lambda f: f, Session  # type: ignore[attr-defined]
    command = types.ModuleType("nox.command")
    command.CommandFailed = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nox", nox)
    monkeypatch.setitem(sys.modules, "nox.command", command)
    sessions = runpy.run_path(str(ROOT / "noxfile.py"))
    session = Session(tmp_path)
    sessions["kernels"](session)
    timed, written = session.ran
    assert "tests/benchmarks/test_kernels.py" in timed[0]
    assert timed[1]["OMP_NUM_THREADS"] == str(sessions["CPUS"])  # or the tests' default of one would be timed
    assert "OMP_NUM_THREADS" not in written[1]
