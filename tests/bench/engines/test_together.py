"""One cell trained by several processes, as `torchrun` starts them: one record, whatever is started again, killed or wrong."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from harness import Result, cli, files, leftovers, outcome, suite, until, whole_records
from noted_runs import NOTED
from teams import torchrun

from bench.records.identity import identity
from bench.records.store import Store
from bench.registry import catalogue
from bench.runs.prepare import prepare
from bench.runs.remeasure import changed_model
from bench.runs.resolve import resolve
from bench.runs.up_to_date import up_to_date
from bench.suites import reader

ROWS = "[methods.wae_gan]\nwidth = 32\n"
METRICS = ("rec_sse_test",)
HERE = ("--device", "cpu", "--save-every", 0)


def together(folder: Path, *arguments: object, size: int = 2) -> list[Result]:
    """How each process of a team ended."""
    return [process.wait() for process in torchrun(folder, *arguments, *HERE, size=size)]


def losses(out: Path) -> list[float]:
    (curve,) = files(out, "curve.jsonl").values()
    return [json.loads(line)["autoencoder.loss"] for line in curve.read_text().splitlines()]


def test_two_processes_train_a_cell_to_one_record(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", ROWS, steps=60, metrics=METRICS)
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert cli("cell", file, 0, "-o", alone, *HERE).code == 0
    first, second = together(tmp_path, "cell", file, 0, "-o", out)
    assert (first.code, second.code, first.err, second.whole_err, second.out) == (0, 0, "", "", "")
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    (one,), (several,) = (whole_records(where).values() for where in (alone, out))
    assert (several["environment"]["processes"], several["execution"]) == (2, "eager: 2 processes")
    assert "processes" not in one["environment"]
    assert several["trained_by"].keys() - one["trained_by"].keys() == {"bench/training/shared.py", "bench/training/team.py"}
    assert identity({**several, "environment": {}}) != identity(several)
    (run,) = reader.read(str(file)).runs("cpu")
    assert changed_model(several, prepare(run, catalogue())) == [], "its weights can be measured again"
    assert list(leftovers(out)) == []
    assert up_to_date(resolve(run, catalogue()), Store(out, "tiny")), "it is done, however many start it again"


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others_and_the_same_command_goes_on(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", "[methods.noted]\n", steps=100, plugin=NOTED, metrics=METRICS)
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    assert [process.code for process in together(tmp_path, "cell", file, 0, "-o", undisturbed)] == [0, 0]
    first, second = torchrun(tmp_path, "cell", file, 0, "-o", out, *HERE)
    until(lambda: files(out, "checkpoint.pt"), "a checkpoint")
    second.signal(signal.SIGKILL)
    left = first.wait(30)
    assert (left.code, files(out, "record.json")) == (2, {})
    assert left.line().startswith("process 0 of 2 has lost the others (")
    assert left.line().endswith("; the same command goes on from the last checkpoint")
    assert [process.code for process in together(tmp_path, "cell", file, 0, "-o", out)] == [0, 0]
    ended = outcome(out)
    assert ended == outcome(undisturbed), "to the bit"
    assert [process.code for process in together(tmp_path, "cell", file, 0, "-o", out)] == [0, 0]
    assert cli("run", "-s", file, "-o", out, "--jobs", 1, "--no-profile").code == 0
    assert outcome(out) == ended, "nothing is trained again"
    assert "processes 2" in (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")


def test_what_is_wrong_is_said_once(tmp_path: Path) -> None:
    first, *others = together(tmp_path, "cell", suite(tmp_path / "suite", ROWS), 0, "-o", tmp_path / "out", size=3)
    assert first.code == 2
    assert first.line() == (
        "methods.wae_gan: batch_size 100 cannot be shared evenly by 3 processes; start 2 or 4 or 5 processes, or set batch_size = 102"
    )
    assert [(other.code, other.whole_err) for other in others] == [(0, "")] * 2
    assert files(tmp_path / "out", "record.json") == {}


@pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_command_of_the_page(tmp_path: Path, device: str) -> None:
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    file = suite(tmp_path / "suite", ROWS, steps=60, metrics=METRICS)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "bench", "cell", str(file), "0", "-o", "out"]
    ended = subprocess.run([*command, "--device", device], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert (ended.returncode, files(tmp_path / "out", "record.json").keys()) == (0, {"wae_gan/0"}), ended.stderr
    assert cli("cell", file, 0, "-o", tmp_path / "alone", "--device", device).code == 0
    assert losses(tmp_path / "out") == pytest.approx(losses(tmp_path / "alone"), rel=1e-4)
