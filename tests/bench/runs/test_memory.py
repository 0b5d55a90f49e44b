"""Run after run in one process, as a sweep does them: nothing of a run outlives it; and what has no value for want of memory."""

from pathlib import Path

import pytest
from harness import cli, suite, whole_records

COUNTING = """
import gc
import types

from torch import Generator, Tensor, nn

from metrics.metric import Metric


KINDS = (Tensor, nn.Module, Generator, BaseException, types.FrameType)


def alive():
    gc.collect()
    return sum(issubclass(type(thing), KINDS) for thing in gc.get_objects())


METRICS = [Metric("alive", alive, (), "live objects of the process that hold memory", "this test")]
"""
METRICS = ["rec_sse_test", "fid_pz", "density_nll_test", "alive"]  # two of which do not exist here


@pytest.mark.parametrize("runs", [15, pytest.param(50, marks=pytest.mark.slow)])
def test_later_runs_leave_no_more_objects_than_the_first_five(runs: int, tmp_path: Path) -> None:
    """Counted by a metric, so at the same point of every run. Without feature networks' weights, which is a reason in every run."""
    file = suite(tmp_path / "s", "[methods.vae_gauss]\n", seeds=runs, steps=3, plugin=COUNTING, metrics=METRICS)
    result = cli("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 1, "--data-root", tmp_path)
    assert result.code == 0, result.err
    found = {int(name.rpartition("/")[2]): record["metrics"] for name, record in whole_records(tmp_path).items()}
    assert found[0]["fid_pz"]["value"] is None
    counts = [found[seed]["alive"]["value"] for seed in range(runs)]
    assert max(counts[5:]) - max(counts[:5]) <= 5, counts


SHORT = """
from pathlib import Path

import torch

from metrics.metric import Metric


def greedy():
    if Path(r"{flag}").exists():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 40.00 GiB.")
    return 2.5


METRICS = [Metric("greedy", greedy, (), "two and a half", "this test")]
"""


def test_a_value_that_memory_ran_out_for_is_asked_for_again_and_takes_no_other_s_place(tmp_path: Path) -> None:
    flag = tmp_path / "taken by others"
    flag.touch()
    file = suite(tmp_path / "s", "[methods.ae]\n", seeds=1, steps=3, plugin=SHORT.format(flag=flag), metrics=["rec_sse_test", "greedy"])
    found = lambda: whole_records(tmp_path)["ae/0"]["metrics"]["greedy"]
    result = cli("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 1)
    assert result.code == 0
    assert found()["reason"].startswith("greedy failed: OutOfMemoryError: CUDA out of memory")
    assert "metrics were added or changed since, or memory ran out (greedy); to measure" in result.out
    flag.unlink()
    assert cli("evaluate", file, "-o", tmp_path, "--metrics", "greedy").code == 0
    assert found()["value"] == 2.5
    flag.touch()
    again = cli("evaluate", file, "-o", tmp_path, "--metrics", "greedy")
    assert "or memory ran out: greedy\n" in again.out
    assert found()["value"] == 2.5
    assert "memory ran out" not in cli("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 1).out
