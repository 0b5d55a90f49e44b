"""The likelihoods behind docs/copies.md, run small: a flow's surprise of a known law, what planted copies do, and the command's page."""

import math
from pathlib import Path

import pytest
import torch
from small_methods import normal
from table_pages import written
from typer.testing import CliRunner

from bench.__main__ import app
from bench.docs import likelihood_check
from bench.docs.likelihood_check import NAMES, check, report, surprises, trial
from bench.errors import UserError
from bench.evaluation.copies_check import GENERATORS, all_digits


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One generator, two shares, a flow of a few steps."""
    monkeypatch.setattr(likelihood_check, "GENERATORS", {"new images": GENERATORS["new images"]})
    monkeypatch.setattr(likelihood_check, "SHARES", (0.0, 0.2))
    monkeypatch.setattr(likelihood_check, "STEPS", 10)


def test_a_flows_surprise_is_the_entropy_of_the_law_of_its_samples() -> None:
    samples, test = normal(2000, 3, seed=1).float(), normal(500, 3, seed=2).float()
    entropy = 100 * 0.5 * math.log(2 * math.pi * math.e)
    assert surprises(samples, [test], 0)[0] == pytest.approx(entropy, rel=0.05)
    scale = 100 * math.log(3)
    assert surprises(3 * samples, [3 * test], 0)[0] == pytest.approx(entropy + scale, rel=0.05)


def test_of_the_steps_the_one_that_held_out_samples_like_best_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    few, test = normal(30, 8, seed=1).float(), normal(500, 8, seed=2).float()
    monkeypatch.setattr(likelihood_check, "RATE", 0.05)  # it soon fits these few alone
    best = surprises(few, [test], 0)[0]
    monkeypatch.setattr(likelihood_check, "STEPS", 0)
    assert best <= surprises(few, [test], 0)[0] + 20


def test_copies_widen_the_gap_and_the_state_of_torch_stays(small: None) -> None:
    state = torch.get_rng_state()
    found = trial(all_digits(), 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(found) == {("new images", 0.0), ("new images", 0.2)}
    gap = NAMES.index("gap")
    assert found["new images", 0.2][gap] < found["new images", 0.0][gap] - 50


def test_the_command_writes_between_the_markers_of_a_page(small: None, tmp_path: Path) -> None:
    page = written(tmp_path, "likelihood-check", "--trials", "1", "--seed", "3")
    text = page.read_text(encoding="utf-8")
    assert report(check(1, 3)) in text
    assert isinstance(CliRunner().invoke(app, ["likelihood-check", "--trials", "0"]).exception, UserError)
