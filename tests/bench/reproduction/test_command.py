"""`python -m bench reproduce`: what it says, writes, draws and times, and its exit code."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from harness import cli

from bench.files import write
from bench.records.store import Store, as_lines

ROOT = Path(__file__).parents[3]


PAPER = """
title = "A title"
source = "nowhere"

[suites.mog]
budget = "paper"

[suites.wise-ale-mnist]
budget = "paper"
needs = "MNIST"

[[parts]]
title = "Table 1"
shows = "errors"
suites = ["mog"]

[[tables]]
part = "Table 1"
dataset = "points"
cells = [
    { method = "an autoencoder", suite = "mog", row = "ae", metric = "rec_sse_test", printed = 0.0001, plus_minus = 0.001 },
    { method = "a VAE", suite = "wise-ale-mnist", row = "vae_bernoulli", metric = "rec_sse_test", printed = 31.5 },
]
"""


def planted(out: Path, suite: str, change: Any) -> None:
    """The committed records of a suite, changed, as those of another folder."""
    records = Store(ROOT, suite).records()
    for record in records:
        change(record)
    write(out / "leaderboards" / "runs" / f"{suite}.jsonl", as_lines(records))


def scaled(record: dict[str, Any], row: str, factor: float) -> None:
    if record["label"] == row:
        record["metrics"]["rec_sse_test"]["value"] *= factor


def test_an_ordering_reversed_by_every_seed_at_the_paper_s_budget_is_exit_code_1(tmp_path: Path) -> None:
    planted(tmp_path, "mog", lambda record: None)
    assert cli("reproduce", "vcae", "6.1", "-o", tmp_path).code == 0
    planted(tmp_path, "mog", lambda record: scaled(record, "cwae", 0.01))
    done = cli("reproduce", "vcae", "6.1", "-o", tmp_path)
    assert done.code == 1
    assert "reversed by every seed at full budget: VCAE reconstructs the mixture of Gaussians better than cWAE" in done.err
    assert cli("reproduce", "-o", tmp_path).code == 1
    assert cli("reproduce", "vcae", "table2", "-o", tmp_path).code == 0  # another part
    assert cli("reproduce", "vcae", "6.1", "--budget", "cpu", "-o", tmp_path).code == 0


def test_a_reduced_budget_reverses_nothing_and_shows_no_number(tmp_path: Path) -> None:
    planted(tmp_path, "mnist-cpu", lambda record: scaled(record, "wae_mmd", 100.0))
    done = cli("reproduce", "wae", "-o", tmp_path)
    assert done.code == 0
    assert "contradicted (indirect)" in done.out
    cpu = cli("reproduce", "vcae", "2", "--budget", "cpu", "-o", tmp_path)
    assert "no number is shown" in cpu.out
    assert "8.72" not in cpu.out


def test_pages_are_written_and_written_again_with_equal_bytes(tmp_path: Path) -> None:
    planted(tmp_path, "mog", lambda record: None)
    assert cli("reproduce", "--check", "-o", tmp_path).code == 1
    assert cli("reproduce", "-o", tmp_path).code == 0
    pages = {path: path.read_bytes() for path in (tmp_path / "leaderboards").rglob("*.md")}
    assert len(pages) == 6
    assert cli("reproduce", "-o", tmp_path).code == 0
    assert {path: path.read_bytes() for path in pages} == pages
    assert cli("reproduce", "--check", "-o", tmp_path).code == 0
    assert cli("page", "-o", tmp_path).code == 0
    assert "(reproduction.md)" in (tmp_path / "leaderboards" / "README.md").read_text(encoding="utf-8")


def test_the_analytic_figure_comes_with_its_values(tmp_path: Path) -> None:
    assert cli("reproduce", "wise-ale", "4", "-o", tmp_path).code == 0
    folder = tmp_path / "leaderboards" / "reproduction"
    assert (folder / "wise-ale-figure4.png").read_bytes().startswith(b"\x89PNG")
    heads, *lines = csv.reader((folder / "wise-ale-figure4.csv").read_text(encoding="utf-8").splitlines())
    columns = dict(zip(heads, zip(*([float(value) for value in line] for line in lines), strict=True), strict=True))
    sigma, mean_kl, bound = columns["sigma"], columns["mean KL, m = 1"], columns["KL_UB, m = 1"]
    assert sigma[mean_kl.index(min(mean_kl))] == 1.0
    assert min(mean_kl) == pytest.approx(0.5)
    assert (sigma[bound.index(min(bound))], min(bound)) == (pytest.approx(0.715, abs=0.006), pytest.approx(0.1836, abs=1e-4))


def test_a_dry_run_times_rows_and_says_what_is_missing(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(PAPER, encoding="utf-8")
    done = cli("reproduce", mine, "--dry-run", "--keep", "-o", tmp_path, "--data-root", tmp_path / "none")
    assert done.code == 0, done.err
    lines = {tuple(line.split()[:2]): line for line in done.out.splitlines()}
    assert lines["mog", "ae"].split()[2:4] == ["1", "10,000"]
    assert "dataset mnist (missing)" in lines["wise-ale-mnist", "vae_bernoulli"]
    assert "dataset" not in lines["mog", "ae"]
    kept = json.loads((tmp_path / "leaderboards" / "reproduction" / "hours.json").read_bytes())
    assert kept["rows"]["mog"]["ae"]["steps"] == 10_000
    assert 0 < kept["rows"]["mog"]["ae"]["hours"] < 1
    assert not list((tmp_path / "runs").glob("*/*/*"))  # nothing was trained


def test_every_part_is_listed() -> None:
    done = cli("reproduce", "--list")
    assert done.code == 0
    assert {"section6.1", "table10", "figure12", "claims"} <= {word for line in done.out.splitlines() for word in line.split()[1:2]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vcea"], "unknown paper 'vcea'; did you mean 'vcae'"),
        (["vcae", "table22"], "vcae: unknown part 'table22'; did you mean"),
        (["--budget", "gpu"], "--budget must be one of paper, cpu, not 'gpu'"),
        (["--keep"], "--keep goes with --dry-run"),
        (["--run", "--check"], "give at most one of --list, --dry-run, --run and --check"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    done = cli("reproduce", *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


@pytest.mark.slow
def test_what_has_no_record_is_trained_once_and_stands_beside_the_number(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(PAPER, encoding="utf-8")
    command = ("reproduce", mine, "1", "--run", "--seeds", 1, "--jobs", 1, "-o", tmp_path, "--data-root", tmp_path / "none")
    done = cli(*command)
    assert done.code == 0, done.err
    assert "wise-ale-mnist: left out, it needs dataset mnist (missing)" in done.err
    page = (tmp_path / "leaderboards" / "reproduction" / "mine.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("| an autoencoder")]
    assert line.split("|")[-2].strip() == "inside"
    assert "needs MNIST" in page
    (record,) = (tmp_path / "runs" / "mog" / "ae").glob("0-*/record.json")
    before = record.stat().st_mtime_ns
    assert cli(*command).code == 0
    assert record.stat().st_mtime_ns == before  # a finished record is used again
    assert "[mine](reproduction/mine.md)" in (tmp_path / "leaderboards" / "reproduction.md").read_text(encoding="utf-8")
