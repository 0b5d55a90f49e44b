"""Equal capacity, where a suite demands it: counted by hand, and refused before anything is trained."""

from pathlib import Path

import pytest
from harness import cli, suite

ROWS = "[methods.ae]\n\n[methods.vcae]\n\n[methods.wae_gan]\nwidth = 8\n"


def demanding(folder: Path, tolerance: float, rows: str = ROWS) -> Path:
    path = suite(folder, rows, steps=3)
    path.write_text(f"equal_capacity = {tolerance}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def counts(path: Path, folder: Path) -> dict[str, int]:
    """{row: parameters} as --dry-run prints them."""
    printed = cli("run", "-s", path, "-o", folder, "--dry-run", "--jobs", 1)
    assert printed.code == 0, printed
    lines = [line.split() for line in printed.out.splitlines()]
    return {words[1]: int(words[-2].replace(",", "")) for words in lines if len(words) > 4 and words[1] in ("ae", "vcae", "wae_gan")}


def test_rows_of_more_than_the_tolerance_are_named_with_their_counts(tmp_path: Path) -> None:
    found = counts(suite(tmp_path / "free", ROWS, steps=3), tmp_path)
    small, large = found["ae"], found["wae_gan"]
    assert found["vcae"] == small < large
    share = (large - small) / small
    refused = cli("run", "-s", path := demanding(tmp_path / "tight", share - 1e-4), "-o", tmp_path / "out", "--jobs", 1)
    assert refused.code == 2
    said = f"trained parameters differ by more than {share - 1e-4:g} of the smallest count"
    assert refused.line() == f"{path}: equal_capacity: {said}: ae, vcae: {small:,}; wae_gan: {large:,}"
    assert not (tmp_path / "out").exists()
    assert counts(demanding(tmp_path / "wide", share + 1e-4), tmp_path) == found


@pytest.mark.parametrize(
    "option", [("--methods", "ae"), ("--methods", "wae_gan", "--smoke"), ("--dry-run",), ("--methods", "vcae", "--dry-run")]
)
def test_a_choice_of_rows_does_not_pass_by_the_others(option: tuple[str, ...], tmp_path: Path) -> None:
    refused = cli("run", "-s", demanding(tmp_path, 0.0), "-o", tmp_path / "out", "--jobs", 1, *option)
    assert (refused.code, "equal_capacity" in refused.line()) == (2, True)


def test_rows_of_equal_counts_are_trained_and_the_key_changes_no_run(tmp_path: Path) -> None:
    free, equal = (
        suite(tmp_path / "free", "[methods.ae]\n[methods.vcae]\n", steps=3),
        demanding(tmp_path / "equal", 0.0, "[methods.ae]\n[methods.vcae]\n"),
    )
    for path in (free, equal):
        assert cli("run", "-s", path, "-o", path.parent, "--jobs", 1, "--no-profile").code == 0
    first, second = (sorted(folder.name for folder in path.parent.glob("runs/tiny/*/*")) for path in (free, equal))
    assert first == second != []
