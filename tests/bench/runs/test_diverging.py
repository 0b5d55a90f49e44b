"""Runs whose losses are finite and whose weights or views are not; runs one of whose metrics raises."""

from pathlib import Path

import pytest
import torch
from harness import cli, files, records, suite

from bench.records.store import Store
from bench.registry import catalogue
from bench.runs.context import Context
from bench.runs.resolve import resolve
from bench.runs.run import execute
from bench.runs.settings import Settings
from bench.runs.stages import check_weights
from bench.suites import reader
from bench.training.train import Outcome

PLUGIN = """
from dataclasses import replace

import torch

from metrics.metric import Metric
from models.vae import ae

def breaks_down(codes):
    raise torch.linalg.LinAlgError("svd did not\\nconverge")

METRICS = [Metric("breaks", breaks_down, ("test.codes",), "raises", "this test"), Metric("text", lambda: "good", (), "text", "this test")]
"""


def test_an_outcome_is_judged_by_its_weights_too() -> None:
    done = Outcome("done", 7, 1.0, [])
    assert check_weights(done, {"a": torch.ones(3), "count": torch.tensor(2)}) == done
    for value in (torch.nan, torch.inf):
        found = check_weights(done, {"a": torch.ones(3), "layer.weight": torch.tensor([1.0, value, value, 0.0])})
        assert (found.status, found.step) == ("diverged", 7)
        assert found.error == "after step 7: 2 of 4 values of layer.weight are not finite; lower lr"
    diverged = Outcome("diverged", 3, 1.0, [], "step 3: the loss is not finite")
    assert check_weights(diverged, {"a": torch.tensor(torch.nan)}) == diverged


@pytest.mark.parametrize(("lr", "steps"), [("1e30", 1), ("3e38", 1), ("1e20", 1)])
def test_a_last_step_that_breaks_the_weights_is_diverged(tmp_path: Path, lr: str, steps: int) -> None:
    """The loss of the only step is that of sound weights; what it leaves overflows in weights or in what they say of images."""
    file = suite(tmp_path, "[methods.ae]\n[methods.ae.density]\nmodel = 'gaussian'\n[methods.vae_gauss]\n", steps=steps)
    result = cli("run", "-s", file, "-o", tmp_path / "out", "--no-profile", "--jobs", 1, "--set", f"optimizer.lr={lr}")
    assert result.code == 1, result.err
    found = records(tmp_path / "out")
    assert {name: record["status"] for name, record in found.items()} == {"ae/0": "diverged", "vae_gauss/0": "diverged"}
    for record in found.values():
        assert "not finite" in record["error"]
        assert list(record["metrics"]) == ["parameter_count"]


def test_a_metric_that_raises_is_absent_with_its_reason_and_the_rest_is_there(tmp_path: Path) -> None:
    file = suite(tmp_path, "[methods.ae]\n", steps=5, plugin=PLUGIN, metrics=["rec_sse_test", "breaks", "text"])
    assert cli("run", "-s", file, "-o", tmp_path / "out", "--no-profile", "--jobs", 1).code == 0
    (record,) = records(tmp_path / "out").values()
    assert record["status"] == "done"
    assert record["metrics"]["breaks"]["reason"].startswith("breaks failed: _LinAlgError: svd did not converge (plugin.py, line 10)")
    assert record["metrics"]["text"]["reason"] == "text returned 'good' (str), not a number"
    assert record["metrics"]["rec_sse_test"]["value"] > 0
    assert list(files(tmp_path / "out", "weights.safetensors")) == ["ae/0"]


LEAVING = """
import sys
from dataclasses import dataclass, replace

from metrics.metric import Metric
from models.vae import ae

def leave(*arguments):
    sys.exit(0)

@dataclass(frozen=True)
class Term:
    name = "term"
    __call__ = leave

def leaving(dim):
    "Ends the program while it trains."
    return replace(ae(dim), regularisers=((1.0, Term()),))

METHODS = [leaving]
METRICS = [Metric("leaves", leave, ("test.codes",), "ends the program", "this test")]
"""


def test_a_plugin_that_ends_the_program_costs_its_run_or_metric_alone(tmp_path: Path) -> None:
    """As any exception: `sys.exit(0)` in it must not look as if all had been done."""
    file = suite(tmp_path, "[methods.leaving]\n[methods.ae]\n", steps=5, plugin=LEAVING, metrics=["rec_sse_test", "leaves"])
    result = cli("run", "-s", file, "-o", tmp_path / "out", "--no-profile", "--jobs", 1)
    assert result.code == 1
    assert "leaving seed 0: failed: SystemExit: 0 (plugin.py, line 9)" in result.err
    found = records(tmp_path / "out")
    assert {name: record["status"] for name, record in found.items()} == {"leaving/0": "failed", "ae/0": "done"}
    assert found["ae/0"]["metrics"]["leaves"]["reason"].startswith("leaves failed: SystemExit: 0 (plugin.py")
    assert found["ae/0"]["metrics"]["rec_sse_test"]["value"] > 0


def test_weights_are_there_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even a bug of the evaluation itself costs what was trained."""

    def broken(*arguments: object) -> None:
        raise MemoryError("no memory left")

    monkeypatch.setattr("bench.runs.run.evaluate", broken)
    out, plan = tmp_path / "out", reader.read(str(suite(tmp_path, "[methods.ae]\n", steps=5)))
    context = Context(catalogue(), Store(out, plan.name), torch.device("cpu"), Settings(out, tmp_path))
    record = execute(resolve(plan.runs("cpu")[0], context.catalogue), context)
    assert record["error"].startswith("out of memory (batch_size 100, latent_dim 2, ")
    assert list(files(out, "weights.safetensors")) == ["ae/0"]
