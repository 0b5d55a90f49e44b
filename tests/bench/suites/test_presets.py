"""Presets: values that rows of a suite file share, and the papers' presets that come with latentbench."""

from pathlib import Path

import pytest
from harness import HEAD
from torch import nn

from bench.registry import catalogue
from bench.runs.prepare import prepare
from bench.suites import reader
from bench.suites.schema import Budget, Entry, Optimizer

KNOWN = catalogue()
DRAWS = ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_uniform_")  # of nn.init: what draws our weights and torch's
SUITE = (
    HEAD.format(seeds=1, steps=60, plugins=[])
    + """
[presets.paper]
latent_dim = 3
weight = 4.0
budget = { epochs = 7 }
optimizer = { lr = 0.5, milestones = [[3, 0.5]] }

[presets.code]
weight = 9.0

"""
)


def entry(rows: str, *overrides: str) -> Entry:
    (found,) = reader.from_text(SUITE + rows, Path("tiny.toml"), overrides).methods
    return found


def test_a_row_has_what_its_preset_says() -> None:
    row = entry('[methods.wae_mmd]\npreset = "paper"')
    assert (row.latent_dim, row.hyperparameters, row.budget) == (3, {"weight": 4.0}, Budget(epochs=7))
    assert row.optimizer == Optimizer(lr=0.5, milestones=((3, 0.5),))


def test_a_rows_own_keys_take_the_presets_place() -> None:
    row = entry('[methods.wae_mmd]\npreset = "paper"\nweight = 1.0\nbudget = { steps = 5 }\noptimizer = { lr = 0.25 }')
    assert (row.latent_dim, row.hyperparameters, row.budget) == (3, {"weight": 1.0}, Budget(steps=5))
    assert row.optimizer == Optimizer(lr=0.25, milestones=((3, 0.5),)), "the schedule stays"


def test_a_rows_optimizer_stands_where_its_preset_has_none() -> None:
    row = entry('[methods.wae_mmd]\npreset = "code"\noptimizer = { lr = 0.25 }')
    assert (row.hyperparameters, row.optimizer) == ({"weight": 9.0}, Optimizer(lr=0.25))


def test_set_chooses_a_preset_changes_it_and_goes_before_it() -> None:
    table = '[methods.wae_mmd]\npreset = "paper"'
    assert entry(table, "methods.wae_mmd.preset=code").hyperparameters == {"weight": 9.0}
    assert entry(table, "presets.paper.weight=2").hyperparameters == {"weight": 2}
    assert entry(table, "methods.wae_mmd.weight=3").hyperparameters == {"weight": 3}
    lower = entry(table, "methods.wae_mmd.optimizer.lr=0.1").optimizer
    assert lower == Optimizer(lr=0.1, milestones=((3, 0.5),))
    assert entry(table, "methods.wae_mmd.budget.steps=9").budget == Budget(steps=9)


def test_a_row_with_a_preset_is_the_row_written_out() -> None:
    short = reader.from_text(SUITE + '[methods.wae_mmd]\npreset = "code"', Path("tiny.toml"))
    long = reader.from_text(SUITE + "[methods.wae_mmd]\nweight = 9.0", Path("tiny.toml"))
    assert [run.key() for run in short.runs("cpu")] == [run.key() for run in long.runs("cpu")]


@pytest.mark.parametrize("name", reader.names())
def test_every_row_of_every_suite_can_be_built(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights of zero: to draw those of large networks takes most of a minute, and how they start is tested elsewhere."""
    for draw in DRAWS:
        monkeypatch.setattr(nn.init, draw, lambda tensor, *values, **named: nn.init.zeros_(tensor))
    for run in reader.read(name, seeds=1).runs("cpu"):
        prepare(run, KNOWN)
