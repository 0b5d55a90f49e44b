"""The leaderboards of this repository: made from the records beside them, and narrow enough to be read."""

from pathlib import Path

import pytest

from bench.leaderboard.publish import current
from bench.suites import reader

ROOT = Path(__file__).parents[3]
BOARDS = [name for name in reader.names() if (ROOT / "leaderboards" / f"{name}.md").exists()]


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_what_its_records_make(name: str) -> None:
    assert current(ROOT, reader.read(name)), f"python -m bench leaderboard --suite {name}"


@pytest.mark.parametrize("name", BOARDS)
def test_a_first_screen_fits_a_page(name: str) -> None:
    text = (ROOT / "leaderboards" / f"{name}.md").read_text(encoding="utf-8")
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 120
    assert lines[0].count("|") <= 9
    assert len(text.encode()) < 60 * 1024
