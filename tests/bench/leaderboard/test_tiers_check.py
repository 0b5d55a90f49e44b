"""The simulation behind docs/statistics.md, run small: what it counts, and that its page is written by its command."""

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.__main__ import app
from bench.errors import UserError
from bench.leaderboard.tiers_check import SCENARIOS, by_all_pairs, by_range, by_tiers, check, equal_rows, publish, report, simulate

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(("rows", "seeds"), [(2, 3), (10, 5), (30, 3), (30, 10)])
def test_false_winners_are_at_most_five_per_cent(scenario: str, rows: int, seeds: int) -> None:
    columns = 150
    cell = simulate(scenario, rows, seeds, columns, seed=1)
    assert cell.unmarked <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / columns)
    if SCENARIOS[scenario][1]:
        assert cell.left_out <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / columns)


def test_the_simulation_notices_procedures_that_promise_too_much() -> None:
    """What was decided against: all pairs at once where most rows are worse, the studentised range where rows spread unevenly."""
    assert simulate("a third equal, others worse", 30, 3, 60).all_pairs > 0.4
    assert simulate("all equal, unequal spreads", 30, 3, 60).studentised_range > 0.2


def test_procedures_find_a_row_that_is_clearly_worse() -> None:
    values = np.random.default_rng(1).normal(size=(5, 5)) + np.array([0, 50, 0, 0, 0])[:, None]
    assert by_tiers(values) == ({1}, {1})
    assert by_all_pairs(values) == by_range(values) == {1}


def test_equal_rows_are_equal_and_others_worse() -> None:
    for name, (draw, all_equal) in SCENARIOS.items():
        values = draw(np.random.default_rng(2), 12, 40_000)
        equal = 12 if all_equal else equal_rows(12)
        assert np.abs(values[:equal].mean(1)).max() < 0.5, name
        assert np.round(values[equal:].mean(1)).tolist() == [3.0 * i for i in range(1, 13 - equal)], name


def test_the_same_seed_makes_the_same_table() -> None:
    small = {"rows": (2, 5), "seeds": (3, 5)}
    table = report(check(20, 3, **small))
    assert table == report(check(20, 3, **small))
    assert table != report(check(20, 4, **small))
    assert table.count("\n") == 1 + 2 * len(SCENARIOS)
    assert "tiers, 3 / 5 seeds" in table


def test_the_command_writes_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by `python -m bench tiers-check` -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    cells = check(10, 7, rows=(2,), seeds=(3,))
    publish(page, cells, 10, 7)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(
        f"before\n<!-- written by `python -m bench tiers-check --columns 10 --seed 7 --page {page.as_posix()}` -->\n\n| "
    )
    assert report(cells) in text
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in text
    publish(page, cells, 10, 7)
    assert page.read_text(encoding="utf-8") == text
    page.write_text("no markers", encoding="utf-8")
    for bad in (page, tmp_path / "none.md"):
        with pytest.raises(UserError, match=r"no page with the lines"):
            publish(bad, cells, 10, 7)


@pytest.mark.parametrize("options", [["--columns", "0"], ["--seed", "-1"]])
def test_bad_counts_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["tiers-check", *options])
    assert isinstance(result.exception, UserError)
    assert options[0] in str(result.exception)


def test_the_page_is_what_the_committed_seed_makes() -> None:
    """One line of docs/statistics.md, computed again with its own seed and number of columns."""
    text = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    begin = text.index("python -m bench tiers-check --columns ")
    columns, seed = (int(text[begin:].split(f"--{name} ")[1].split(" ")[0]) for name in ("columns", "seed"))
    cells = [simulate("all rows equal", 2, seeds, columns, seed) for seeds in (3, 5, 10)]
    line = report(cells).splitlines()[-1].split("|")[1:-1]
    assert [part.strip() for part in line] in [[part.strip() for part in row.split("|")[1:-1]] for row in text.splitlines()]
