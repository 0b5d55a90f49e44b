"""The planted copies behind docs/copies.md, run small: what the tests say of known shares, and that the command writes its page."""

import math
from pathlib import Path

import pytest
from table_pages import written
from typer.testing import CliRunner

from bench.__main__ import app
from bench.errors import UserError
from bench.evaluation.copies_check import GENERATORS, SHARES, TESTS, check, publish, report

TRIALS = 12
Cells = dict[tuple[str, float], dict[str, float]]


@pytest.fixture(scope="module")
def cells() -> Cells:
    """What each test said, by generator and share of copies."""
    return {(cell.generator, cell.share): dict(zip(TESTS, cell.said, strict=True)) for cell in check(TRIALS, seed=1)}


def test_every_generator_and_share_is_tried(cells: Cells) -> None:
    assert set(cells) == {(name, share) for name in GENERATORS for share in SHARES}


def test_new_images_are_seldom_taken_for_copies_and_a_fifth_of_copies_always(cells: Cells) -> None:
    for name in TESTS:
        assert cells["new images", 0.0][name] <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / TRIALS), name
    assert cells["new images", 0.2]["Z_U"] == 1


def test_too_little_variance_is_taken_for_copying_and_noise_hides_it(cells: Cells) -> None:
    assert cells["new images, shrunk to their mean", 0.0]["Z_U"] > 0.25
    assert cells["new images with noise", 0.05]["Z_U"] == 0


def test_the_nearest_samples_betray_one_copy_in_twenty_where_noise_hides_it_from_all_others(cells: Cells) -> None:
    assert cells["new images", 0.05]["nearest"] == 1
    assert cells["new images with noise", 0.05] == {"Z_U": 0, "C_T": 0, "authenticity": 0, "nearest": 1}
    assert cells["new images, noise on copies", 0.0] == cells["new images", 0.0]
    assert cells["new images, noise on copies", 0.05]["nearest"] < 1  # its domain: copies that are nearer than any test image


def test_power_grows_with_the_share_of_copies(cells: Cells) -> None:
    for name in TESTS:
        powers = [cells["new images", share][name] for share in SHARES]
        assert powers == sorted(powers), name


def test_the_command_writes_between_the_markers_of_a_page(tmp_path: Path) -> None:
    page = written(tmp_path, "copies-check", "--trials", "2", "--seed", "7")
    text = page.read_text(encoding="utf-8")
    assert report(check(2, 7)) in text
    publish(page, check(2, 7), 2, 7)
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("options", [["--trials", "0"], ["--seed", "-1"]])
def test_bad_counts_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["copies-check", *options])
    assert isinstance(result.exception, UserError)
    assert options[0] in str(result.exception)
