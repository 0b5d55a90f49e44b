"""One cell trained by several processes, as `torchrun` starts them: one record, whatever is started again, killed or wrong."""

import json
from pathlib import Path

import pytest
from harness import Result, cli, files, leftovers, outcome, suite, whole_records
from teams import torchrun

ROWS = "[methods.wae_gan]\nwidth = 32\n"
HERE = ("--device", "cpu", "--save-every", 0)


def together(folder: Path, *arguments: object, size: int = 2) -> list[Result]:
    """How each process of a team ended."""
    return [process.wait() for process in torchrun(folder, *arguments, *HERE, size=size)]


def losses(out: Path) -> list[float]:
    (curve,) = files(out, "curve.jsonl").values()
    return [json.loads(line)["autoencoder.loss"] for line in curve.read_text().splitlines()]


def test_two_processes_train_a_cell_to_one_record(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", ROWS, steps=100)
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert cli("cell", file, 0, "-o", alone, *HERE).code == 0
    first, second = together(tmp_path, "cell", file, 0, "-o", out)
    assert (first.code, second.code, first.err, second.whole_err, second.out) == (0, 0, "", "", "")
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    (one,), (several,) = (whole_records(where).values() for where in (alone, out))
    assert (several["environment"]["processes"], several["execution"]) == (2, "eager: 2 processes")
    assert "processes" not in one["environment"]
    assert several["trained_by"].keys() - one["trained_by"].keys() == {"bench/training/shared.py", "bench/training/team.py"}
    assert list(leftovers(out)) == []
    before = outcome(out)
    assert [process.code for process in together(tmp_path, "cell", file, 0, "-o", out)] == [0, 0]
    assert cli("run", "-s", file, "-o", out, "--jobs", 1, "--no-profile").code == 0
    assert outcome(out) == before, "it is done, however many start it again"
    assert "processes 2" in (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")
