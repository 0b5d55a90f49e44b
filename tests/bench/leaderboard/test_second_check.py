"""Rank correlations over a suite's rows: scipy's, with an interval that a known correlation has, and a page that the command writes."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from bench.__main__ import app
from bench.errors import UserError
from bench.leaderboard.second_check import check, means, publish, rank_correlation, report

RANDOM = np.random.default_rng(0)


def record(label: str, seed: int, status: str = "done", **values: float | None) -> dict[str, object]:
    return {"label": label, "seed": seed, "status": status, "metrics": {name: {"value": value} for name, value in values.items()}}


def rows_of(n: int, noise: float) -> list[dict[str, object]]:
    """Rows whose interpolated distance says the mixture's but for noise, and whose reconstructions say the contrary."""
    found = []
    for i in range(n):
        for seed in range(2):
            truth = float(i + noise * RANDOM.standard_normal())
            found.append(
                record(f"row{i}", seed, frechet_pca_mixture=truth, frechet_pca_interpolated=float(i), frechet_pca_reconstruction=-float(i))
            )
    return found


def test_a_rows_value_is_the_mean_of_its_finished_seeds() -> None:
    records = [record("a", 0, x=1.0), record("a", 1, x=3.0), record("a", 2, "diverged", x=99.0), record("b", 0, x=None), record("c", 0)]
    assert means(records, "x") == {"a": 2.0}


def test_predictors_that_say_all_nothing_and_the_contrary() -> None:
    found = {one.predictor: one for one in check(rows_of(20, 0.0)).correlations}
    assert set(found) == {"interpolated latents", "reconstructions"}  # no row has prior draws
    assert (found["interpolated latents"].rho, found["reconstructions"].rho) == (1, -1)
    assert (found["interpolated latents"].low, found["interpolated latents"].rows) == (1, 20)


def test_the_correlation_is_scipys_and_its_interval_holds_the_truth() -> None:
    """Pairs of a normal law of correlation 0.6, whose Spearman correlation is 6/π asin(0.3)."""
    truth, inside = 6 / np.pi * np.arcsin(0.3), 0
    for trial in range(40):
        x = RANDOM.standard_normal(40)
        y = 0.6 * x + 0.8 * RANDOM.standard_normal(40)
        rho, low, high = rank_correlation(x, y, trial)
        assert rho == pytest.approx(spearmanr(x, y).statistic)
        assert low < rho < high
        inside += low <= truth <= high
    assert inside >= 33  # 95 % of 40 less 4 standard deviations


def test_rows_of_one_trained_network_count_once_and_share_a_line() -> None:
    records = rows_of(8, 1.0)
    twins = [{**one, "label": f"{one['label']}+flow"} for one in records[:6]]  # of the first three rows
    alone, both = check(records), check([*records, *twins])
    assert both.correlations == alone.correlations
    assert [one.rows for one in both.correlations] == [8, 8]
    assert "| row0, row0+flow |" in report(both)


def test_every_rows_distances_are_there_the_mixtures_least_first() -> None:
    records = rows_of(6, 0.0)
    records.append(record("prior", 0, frechet_pca_mixture=2.5, frechet_pca_pz=31.5))  # which was not interpolated
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report(check(records)).splitlines() if line.startswith("| ")]
    begin = next(i for i, line in enumerate(lines) if line[0] == "row")
    assert lines[begin] == ["row", "mixture", "interpolated latents", "reconstructions", "prior draws"]
    assert [line[0] for line in lines[begin + 1 :]] == ["row0", "row1", "row2", "prior", "row3", "row4", "row5"]
    assert [float(cell) for cell in lines[begin + 2][1:4]] == [1.0, 1.0, -1.0]
    assert lines[begin + 4][2:] == ["", "", "31.50"]


def test_rows_without_the_metrics_are_said_how_to_get_them() -> None:
    with pytest.raises(UserError, match=r"measure them first: python -m bench evaluate SUITE --metrics frechet_pca_mixture,"):
        check([record(f"row{i}", 0, frechet_pca_pz=1.0) for i in range(9)])


def test_the_page_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by `python -m bench second-check zoo` -->\n<!-- end -->\nafter\n", encoding="utf-8")
    found = check(rows_of(8, 1.0))
    publish(page, found, "zoo", 3)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n<!-- written by `python -m bench second-check zoo --seed 3 --page {page.as_posix()}` -->\n\n| Fréchet")
    assert report(found) in text


def test_the_command_refuses_a_suite_without_records(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["second-check", "digits", "--out", str(tmp_path)])
    assert isinstance(result.exception, UserError)
    assert "measure them first" in str(result.exception)
