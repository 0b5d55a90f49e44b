"""Training curves: the means are those of the curve files, and the leaderboard shows the picture."""

from pathlib import Path

import pytest
from harness import cli, suite

from bench.errors import UserError
from bench.leaderboard.curves import curves, draw, mean_curve
from bench.records.store import Store
from bench.suites import reader


def test_means_are_over_the_seeds_that_have_come_so_far() -> None:
    one = [{"step": 50, "loss": 4.0}, {"step": 100, "loss": 2.0}]
    other = [{"step": 50, "loss": 2.0}, {"step": 100, "other": 1.0}]
    assert mean_curve([one, other], "loss") == ([50, 100], [3.0, 2.0])
    assert mean_curve([one], "other") == ([], [])


def test_a_leaderboard_shows_the_curves_that_were_drawn(tmp_path: Path) -> None:
    file, out = suite(tmp_path / "suite", "[methods.ae]\n[methods.vae_gauss]", seeds=2, steps=120), tmp_path / "out"
    assert cli("run", "-s", file, "-o", out, "--no-profile", "--jobs", 1).code == 0
    board = out / "leaderboards" / "tiny.md"
    assert "curves" not in board.read_text(encoding="utf-8")
    whole = reader.read(str(file))
    found = curves(Store(out, "tiny"), whole)
    assert {label: len(seeds) for label, seeds in found.items()} == {"ae": 2, "vae_gauss": 2}
    steps, values = mean_curve(found["ae"], "autoencoder.reconstruction")
    assert steps == [50, 100, 120]
    assert values[0] == pytest.approx(sum(curve[0]["autoencoder.reconstruction"] for curve in found["ae"]) / 2)
    assert cli("curves", "-s", file, "-o", out).code == 0
    assert "![curves](tiny.curves.png)" in board.read_text(encoding="utf-8")
    drawn = (out / "leaderboards" / "tiny.curves.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert draw(out, whole).read_bytes() == drawn
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0


def test_no_runs_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no run of digits in .* has left a training curve; train it first: python -m bench run --suite digits"
    ):
        draw(tmp_path, reader.read("digits"))
