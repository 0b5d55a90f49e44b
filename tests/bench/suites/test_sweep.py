"""Grids: the rows that they make, what these are called, and that they are the rows that one would have written out."""

import itertools
from pathlib import Path

import pytest
from harness import HEAD

from bench.suites import reader
from bench.suites.schema import Budget, Optimizer, Select, Suite
from bench.suites.sweep import group

TEXT = HEAD.format(seeds=2, steps=60, plugins=[])
GRID = "[methods.vcae]\nsweep = { weight = [0.1, 1.0], latent_dim = [2, 4] }\n"


def suite(rows: str, *overrides: str, methods: tuple[str, ...] = ()) -> Suite:
    return reader.choose(reader.from_text(TEXT + rows, Path("tiny.toml"), overrides), methods)


def labels(found: Suite) -> list[str]:
    return [entry.label for entry in found.methods]


def test_a_grid_makes_a_row_of_each_combination_in_its_order() -> None:
    found = suite(f"[methods.ae]\n{GRID}")
    assert labels(found) == ["ae", *(f"vcae weight={w} latent_dim={d}" for w, d in itertools.product(("0.1", "1"), (2, 4)))]
    assert [(e.method, e.hyperparameters, e.latent_dim) for e in found.methods[1:]] == [
        ("vcae", {"weight": w}, d) for w, d in itertools.product((0.1, 1.0), (2, 4))
    ]
    assert [group(label) for label in labels(found)] == ["ae", *["vcae"] * 4]


def test_a_row_of_a_grid_trains_what_the_row_written_out_trains() -> None:
    swept, written = suite(GRID), suite("[methods.vcae]\nweight = 1.0\nlatent_dim = 4\n")
    (run,) = [run for run in swept.runs("cpu") if run.label == "vcae weight=1 latent_dim=4" and run.seed == 1]
    assert run.config() == written.runs("cpu")[1].config()
    assert len({run.key() for run in swept.runs("cpu")}) == 8, "rows that share no folder"


def test_the_suite_s_grid_is_for_rows_without_one_and_set_makes_it() -> None:
    rows = '[methods.ae]\n[methods.wae_mmd]\nsweep = { kernel = ["imq", "rbf"] }\n'
    found = suite(rows, "sweep.latent_dim=[2, 4, 8, 16]")
    kernels = ["wae_mmd kernel=imq", "wae_mmd kernel=rbf"]
    assert labels(found) == ["ae latent_dim=2", "ae latent_dim=4", "ae latent_dim=8", "ae latent_dim=16", *kernels]
    assert {run.latent_dim for run in found.runs("cpu") if run.label.startswith("ae")} == {2, 4, 8, 16}
    assert found.name != suite(rows).name


def test_a_key_of_a_table_changes_that_key_alone() -> None:
    head = TEXT.replace("[budget]", "[optimizer]\nlr = 0.5\nmilestones = [[3, 0.5]]\n\n[budget]")
    rows = '[methods.ae.sweep]\noptimizer.lr = [1e-3, 2e-3]\n"budget.epochs" = [3.0]\n'
    found = reader.from_text(head + rows, Path("tiny.toml"))
    assert labels(found) == ["ae optimizer.lr=0.001 budget.epochs=3", "ae optimizer.lr=0.002 budget.epochs=3"]
    assert [entry.optimizer for entry in found.methods] == [Optimizer(lr=lr, milestones=((3, 0.5),)) for lr in (1e-3, 2e-3)]
    assert {entry.budget for entry in found.methods} == {Budget(epochs=3.0)}, "one kind of budget, not two"


def test_a_grid_over_a_density_and_over_the_end_of_a_schedule() -> None:
    rows = """
[density]
model = "mixture"
components = 5
[methods.ae.sweep]
density.components = [1, 2]
[methods.beta_vae]
beta = { from = 0, over = "30 steps" }
sweep = { beta.to = [1, 4] }
"""
    found = suite(rows)
    assert labels(found) == [f"ae density.components={n}" for n in (1, 2)] + [f"beta_vae beta.to={n}" for n in (1, 4)]
    assert [entry.density.options for entry in found.methods[:2] if entry.density] == [{"components": 1}, {"components": 2}]
    assert [entry.hyperparameters["beta"] for entry in found.methods[2:]] == [{"from": 0, "over": "30 steps", "to": n} for n in (1, 4)]


def test_a_grid_takes_the_place_of_a_preset_s_value() -> None:
    found = suite('[presets.paper]\nweight = 4.0\nlatent_dim = 3\n[methods.vcae]\npreset = "paper"\nsweep = { weight = [0.5, 1e-5] }\n')
    assert labels(found) == ["vcae weight=0.5", "vcae weight=1e-05"]
    assert [(entry.hyperparameters, entry.latent_dim) for entry in found.methods] == [({"weight": 0.5}, 3), ({"weight": 1e-5}, 3)]


@pytest.mark.parametrize(
    ("value", "name"),
    [("750.0", "750"), ("0.1234567890123", "0.1234567890123"), ("true", "true"), ('"rbf"', "rbf"), ("[64, 64]", "64x64"), ("-3", "-3")],
)
def test_values_are_named_as_they_are_written(value: str, name: str) -> None:
    assert labels(suite(f"[methods.ae]\nsweep = {{ a = [{value}] }}\n")) == [f"ae a={name}"]


def test_the_name_of_a_row_in_the_file_means_all_rows_of_its_grid() -> None:
    rows = f"[methods.ae]\n{GRID}"
    assert len(suite(rows, methods=("vcae",)).methods) == 4
    assert labels(suite(rows, methods=("vcae weight=1 latent_dim=2",))) == ["vcae weight=1 latent_dim=2"]


def test_a_rule_is_that_of_the_row_or_else_of_the_suite() -> None:
    rows = """
[select]
metric = "sum_latent_variance"
nearest = "latent_dim"
[methods.ae]
[methods.vcae]
sweep = { weight = [0.1, 1] }
[methods.cwae]
sweep = { weight = [10, 50] }
select = { metric = "rec_sse_validation" }
"""
    vcae, cwae = suite(rows).selections
    assert (vcae.label, vcae.rows, vcae.rule) == ("vcae", ("vcae weight=0.1", "vcae weight=1"), Select("sum_latent_variance", "latent_dim"))
    assert (cwae.rows, cwae.rule) == (("cwae weight=10", "cwae weight=50"), Select("rec_sse_validation"))
    assert suite(rows, "select.nearest=2").selections[0].rule.nearest == 2.0
