"""The examples of docs/suites.md: the grid that it shows makes the rows that it names, and its rule chooses one of them."""

import re
from pathlib import Path

from harness import cli, suite

PAGE = (Path(__file__).parents[3] / "docs" / "suites.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_grid_of_the_page_makes_the_rows_that_it_names_and_its_rule_chooses(tmp_path: Path) -> None:
    (block,) = [block for block in BLOCKS if "sweep" in block]
    named = re.findall(r"`(vcae weight=[\d.]+)`", PAGE)
    assert len(named) == 3
    file, out = suite(tmp_path / "suite", block, steps=20, metrics=["rec_sse_test", "sum_latent_variance"]), tmp_path / "out"
    assert cli("run", "-s", file, "--set", "held_out=validation", "--name", "mine", "-o", out, "--no-profile", "--jobs", 1).code == 0
    board = (out / "leaderboards" / "mine.md").read_text(encoding="utf-8")
    assert [label for label in named if f"| {label} " in board] == named
    assert re.search(r"`vcae weight=[\d.]+` is chosen of 3 rows: the sum_latent_variance nearest to the latent size", board)
