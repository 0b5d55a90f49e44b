"""What a rule chooses: of what, by which values, and that test images have no part in it."""

from pathlib import Path
from typing import Any

import pytest
from harness import cli
from harness import suite as suite_file

from bench.leaderboard.selection import candidates, choice, section, seen_by
from bench.records.store import Store
from bench.suites import reader
from bench.suites.schema import Suite

ROWS = """
[select]
metric = "sum_latent_variance"
nearest = "latent_dim"
[methods.ae]
[methods.vcae]
sweep = { weight = [0.1, 1.0, 10.0] }
[methods.cwae]
sweep = { latent_dim = [2, 4] }
"""


def suite(folder: Path, rows: str = ROWS, held_out: str = "validation") -> Suite:
    file = suite_file(folder, rows, seeds=2)
    return reader.read(str(file), (f"held_out={held_out}",), name="chosen")


def record(of: Suite, label: str, seed: int, value: float | None, status: str = "done", better: str = "target") -> dict[str, Any]:
    run = next(run for run in of.runs("cpu") if (run.label, run.seed) == (label, seed))
    entries = {of.selections[0].rule.metric: {"value": value, "better": better}}
    about = {"suite": of.name, "label": label, "seed": seed, "cost": {}, "row_key": run.row_key(), "status": status}
    return about | {"config": {"device": "cpu", **run.config()}, "metrics": entries, "trained_by": {}}


def chosen(of: Suite, records: list[dict[str, Any]], place: int = 0) -> str | None:
    best = choice(candidates(of.selections[place], of, records))
    return best.label if best else None


def both(of: Suite, label: str, *values: float) -> list[dict[str, Any]]:
    return [record(of, label, seed, value) for seed, value in enumerate(values)]


def test_the_row_whose_mean_comes_nearest_is_chosen(tmp_path: Path) -> None:
    of = suite(tmp_path)
    records = [*both(of, "vcae weight=0.1", 2.5, 2.5), *both(of, "vcae weight=1", 1.0, 2.8), *both(of, "vcae weight=10", 1.4, 1.6)]
    assert chosen(of, records) == "vcae weight=1", "1.9 is nearer to 2 than 2.5 and 1.5"
    assert [round(one.far, 6) for one in candidates(of.selections[0], of, records)] == [0.5, 0.1, 0.5]
    assert chosen(of, [*both(of, "cwae latent_dim=2", 3.9, 3.9), *both(of, "cwae latent_dim=4", 3.9, 3.9)], 1) == "cwae latent_dim=4"


def test_nothing_is_chosen_before_all_rows_have_runs_of_the_same_seeds(tmp_path: Path) -> None:
    of = suite(tmp_path)
    records = [*both(of, "vcae weight=0.1", 2.5, 2.5), *both(of, "vcae weight=1", 2.0, 2.0)]
    assert chosen(of, records) is None
    assert chosen(of, [*records, record(of, "vcae weight=10", 0, 1.0)]) is None
    assert chosen(of, [*records, *both(of, "vcae weight=10", 1.0, 1.0)]) == "vcae weight=1"


@pytest.mark.parametrize("lost", [("diverged", None), ("failed", None), ("done", None)])
def test_a_row_that_lost_a_run_cannot_be_chosen(tmp_path: Path, lost: tuple[str, float | None]) -> None:
    of = suite(tmp_path)
    records = [*both(of, "vcae weight=0.1", 2.5, 2.5), *both(of, "vcae weight=10", 1.0, 1.0)]
    records += [record(of, "vcae weight=1", 0, 2.0), record(of, "vcae weight=1", 1, lost[1], lost[0])]
    assert chosen(of, records) == "vcae weight=0.1"


@pytest.mark.parametrize(("better", "row"), [("lower", "vcae weight=0.1"), ("higher", "vcae weight=10")])
def test_without_a_goal_the_best_is_chosen(tmp_path: Path, better: str, row: str) -> None:
    of = suite(tmp_path, ROWS.replace('nearest = "latent_dim"', ""))
    values = {"vcae weight=0.1": 1.0, "vcae weight=1": 2.0, "vcae weight=10": 3.0}
    assert chosen(of, [record(of, label, seed, value, better=better) for label, value in values.items() for seed in (0, 1)]) == row


def test_a_board_says_what_was_chosen_from_what_by_which_values(tmp_path: Path) -> None:
    of = suite(tmp_path)
    records = [*both(of, "vcae weight=0.1", 2.5, 2.5), *both(of, "vcae weight=1", 2.0, 2.0), *both(of, "vcae weight=10", 1.4, 1.6)]
    text = section(of, records)
    assert "`vcae weight=1` is chosen of 3 rows: the sum_latent_variance nearest to the latent size." in text
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| vcae")]
    assert cells[0] == ["vcae weight=0.1", "2.500 ± 0", "0.5000", "2 of 2"]
    assert [line[:1] + line[2:] for line in cells[1:]] == [["vcae weight=1", "0", "2 of 2"], ["vcae weight=10", "0.5000", "2 of 2"]]
    assert "Of cwae nothing is chosen" in text


def test_a_suite_without_a_rule_says_nothing_of_it(tmp_path: Path) -> None:
    assert section(suite(tmp_path, "[methods.ae]\nsweep = { latent_dim = [2, 4] }\n"), []) == ""
    assert seen_by(reader.read("digits")) == reader.read("digits")


def test_a_suite_measured_on_test_images_is_chosen_for_by_its_validation_runs(tmp_path: Path) -> None:
    rows = '[select]\nmetric = "rec_sse_validation"\n[methods.ae]\nsweep = { latent_dim = [2, 8] }\n'
    file, out = suite_file(tmp_path / "suite", rows, steps=60, metrics=["rec_sse_test"]), tmp_path / "out"
    boards = out / "leaderboards"
    assert cli("run", "-s", file, "-o", out, "--no-profile", "--jobs", 1).code == 0
    before = (boards / "tiny.md").read_text(encoding="utf-8")
    assert "nothing is chosen" in before
    assert "--set held_out=validation" in before
    assert cli("run", "-s", file, "--set", "held_out=validation", "-o", out, "--no-profile", "--jobs", 1).code == 0
    assert cli("leaderboard", "-s", file, "-o", out).code == 0
    (name,) = {path.stem for path in boards.glob("tiny+held_out*.md")}
    errors = {record["label"]: record["metrics"]["rec_sse_validation"]["value"] for record in Store(out, name).records()}
    assert errors.keys() == {"ae latent_dim=2", "ae latent_dim=8"}
    assert f"`{min(errors, key=lambda label: errors[label])}` is chosen of 2 rows" in (boards / "tiny.md").read_text(encoding="utf-8")
    assert "is chosen of 2 rows" in (boards / f"{name}.md").read_text(encoding="utf-8")
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0
