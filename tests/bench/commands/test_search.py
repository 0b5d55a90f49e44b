"""Searches: their trials are ordinary rows of a suite file, chosen on validation images, and the same ones after an interruption."""

import math
import tomllib
from pathlib import Path

import pytest
from harness import cli, suite

from bench.commands.proposals import proposals
from bench.errors import UserError
from bench.records.store import Store
from bench.suites import reader
from bench.suites.schema import Range, Search, Select, Suite
from bench.suites.sweep import Point
from bench.suites.trials import text_with, trials_in

ROWS = """
[methods.ae]
[methods.wae_mmd]
weight = 2.0  # what run trains
latent_dim = 4
search = { weight = { low = 0.1, high = 100.0, log = true }, optimizer.lr = { low = 1e-4, high = 1e-2, log = true } }
select = { metric = "rec_sse_validation" }
"""
SPACE = {"weight": Range(0.01, 100.0, True), "latent_dim": Range(2, 16), "kernel": ("imq", "rbf", [1, 2])}
SEARCH = Search("vcae", SPACE, Select("x"))


def searched(file: Path, out: Path, *options: object, trials: int = 3) -> tuple[Suite, list[Point]]:
    """A search of `file`; -> the suite of its validation runs, and its trials."""
    said = cli("search", "-s", file, "--name", "tuned", "-o", out, "--jobs", 1, "--trials", trials, *options)
    assert said.code == 0, said
    text = (out / "tuned.toml").read_text(encoding="utf-8")
    return reader.read(str(out / "tuned.toml"), ("held_out=validation",)), tomllib.loads(text)["methods"]["wae_mmd"]["sweep"]


def test_a_search_ends_with_ordinary_rows_records_and_a_choice(tmp_path: Path) -> None:
    file, out = suite(tmp_path / "suite", ROWS, steps=40, metrics=["rec_sse_test", "active_units"]), tmp_path / "out"
    said = cli("search", "-s", file, "--name", "tuned", "-o", out, "--jobs", 1, "--trials", 3)
    assert said.code == 0, said
    found = reader.read(str(out / "tuned.toml"), ("held_out=validation",))
    assert len(found.methods) == 3, "the rows that are searched alone"
    records = {record["label"]: record for record in Store(out, found.name).records()}
    values = {label: record["metrics"]["rec_sse_validation"]["value"] for label, record in records.items()}
    best = min(values, key=lambda label: values[label])
    assert f"`{best}` is chosen." in said.out
    assert {(record["status"], record["config"]["latent_dim"]) for record in records.values()} == {("done", 4)}
    assert {entry.label: (entry.hyperparameters["weight"], entry.optimizer.lr) for entry in found.methods if entry.optimizer} == {
        label: (record["config"]["hyperparameters"]["weight"], record["config"]["optimizer"]["lr"]) for label, record in records.items()
    }
    board = (out / "leaderboards" / f"{found.name}.md").read_text(encoding="utf-8")
    assert f"`{best}` is chosen of 3 rows: the best rec_sse_validation" in board

    command = said.out.rpartition("python -m bench run ")[2]
    assert f"--methods '{best}'" in command, "what trains the chosen row for its test images"
    assert cli("run", "-s", out / "tuned.toml", "--methods", best, "-o", out, "--jobs", 1, "--no-profile").code == 0
    (record,) = Store(out, "tuned").records()
    assert (record["label"], "rec_sse_test" in record["metrics"]) == (best, True)
    assert f"`{best}` is chosen of 3 rows" in (out / "leaderboards" / "tuned.md").read_text(encoding="utf-8")


def test_a_search_in_two_parts_has_the_trials_of_one_and_trains_none_again(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", ROWS, steps=4, metrics=["rec_sse_test"])
    _, whole = searched(file, tmp_path / "whole", trials=4)
    searched(file, tmp_path / "parts", trials=2)
    store = Store(tmp_path / "parts", reader.read(str(tmp_path / "parts" / "tuned.toml"), ("held_out=validation",)).name)
    first = {record["key"]: record["times"] for record in store.records()}
    _, parts = searched(file, tmp_path / "parts", trials=4)
    again = {record["key"]: record["times"] for record in store.records()}
    assert parts == whole
    assert len(whole) == 4
    assert {key: again[key] for key in first} == first
    assert len(again) == 4


def test_a_trial_that_was_not_trained_is_trained_before_the_next_is_proposed(tmp_path: Path) -> None:
    file, out = suite(tmp_path / "suite", ROWS, steps=4, metrics=["rec_sse_test"]), tmp_path / "out"
    found = reader.read(str(file))
    out.mkdir()
    points = proposals(found.searches[0], [], [], 1, 0)
    (out / "tuned.toml").write_text(text_with(found, {"wae_mmd": points}, out / "tuned.toml"), encoding="utf-8")  # as a kill leaves it
    after, trials = searched(file, out, trials=2)
    assert trials[0] == points[0]
    assert {record["status"] for record in Store(out, after.name).records()} == {"done"}
    assert len(Store(out, after.name).records()) == 2


def test_seeds_and_trials_at_once(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", ROWS, steps=4, metrics=["rec_sse_test"])
    found, trials = searched(file, tmp_path / "out", "--seeds", 2, "--at-once", 3, trials=3)
    records = Store(tmp_path / "out", found.name).records()
    assert sorted((record["label"], record["seed"]) for record in records) == sorted((e.label, s) for e in found.methods for s in (0, 1))
    assert len(trials) == 3
    said = cli("search", "-s", file, "--name", "tuned", "-o", tmp_path / "out", "--jobs", 1, "--trials", 4)
    assert said.code == 0, said
    assert "`wae_mmd " in said.out, "one is chosen though earlier trials have a seed more"
    assert "2 of" not in said.out


def test_run_leaves_the_ranges_alone(tmp_path: Path) -> None:
    plain = ROWS[: ROWS.index("search")]
    with_search, without = (suite(tmp_path / name, rows) for name, rows in (("a", ROWS), ("b", plain)))
    runs = [reader.read(str(file)).runs("cpu") for file in (with_search, without)]
    assert [run.key() for run in runs[0]] == [run.key() for run in runs[1]]


def quality(point: Point) -> float:
    """Best at weight 3, 8 latents and the first kernel; lost from 50 on."""
    if point["weight"] > 50:
        return math.inf
    return (math.log10(point["weight"]) - 0.5) ** 2 + 0.01 * (point["latent_dim"] - 8) ** 2 + (point["kernel"] != "imq")


def searched_for(count: int, at_once: int = 1, seed: int = 0) -> list[Point]:
    """The trials of a search whose trials cost nothing."""
    found: list[Point] = []
    while len(found) < count:
        found += proposals(SEARCH, found, [quality(point) for point in found], at_once, seed)
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_proposals_come_near_the_best_and_depend_on_what_was_found_alone(seed: int) -> None:
    found = searched_for(40, seed=seed)
    late, early = ([quality(point) for point in part] for part in (found[20:], found[:10]))
    assert sorted(late)[len(late) // 2] < sorted(early)[len(early) // 2], "the later half is better than the random beginning"
    assert min(late) < 0.1
    lost = sum(math.isinf(value) for value in late)
    assert lost <= 2, "what was lost is not proposed again and again"
    values = [quality(point) for point in found[:25]]
    assert proposals(SEARCH, found[:25], values, 1, seed) == found[25:26]


def test_proposals_are_new_inside_the_space_and_short() -> None:
    found = searched_for(30, at_once=5)
    assert len({repr(point) for point in found}) == 30
    for point in found:
        assert 0.01 <= point["weight"] <= 100
        assert point["weight"] == float(f"{point['weight']:.3g}")
        assert (isinstance(point["latent_dim"], int), 2 <= point["latent_dim"] <= 16) == (True, True)
        assert point["kernel"] in SPACE["kernel"]


def test_a_space_that_is_used_up_ends_the_search() -> None:
    small = Search("ae", {"latent_dim": Range(1, 3)}, Select("x"))
    found = proposals(small, [{"latent_dim": 1}], [0.5], 10, 0)
    assert sorted(point["latent_dim"] for point in found) == [2, 3]
    assert proposals(small, [{"latent_dim": n} for n in (1, 2, 3)], [0.5, math.inf, 0.1], 10, 0) == []


def test_the_file_keeps_comments_and_paths_and_takes_overrides(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", f"# a comment\n{ROWS}", plugin="METHODS = []\n")
    found, target = reader.read(str(file), ("budget.steps=77",)), tmp_path / "out" / "deep" / "tuned.toml"
    points = [{"weight": 1.5, "optimizer.lr": 0.001}, {"weight": 0.5, "optimizer.lr": 0.002}]
    target.parent.mkdir(parents=True)
    target.write_text(text_with(found, {"wae_mmd": points}, target), encoding="utf-8")
    again = reader.read(str(target))
    assert "# a comment" in target.read_text(encoding="utf-8")
    assert (again.budget.steps, again.searches) == (77, ())
    assert [Path(plugin).resolve() for plugin in again.plugins] == [tmp_path / "suite" / "plugin.py"]
    assert [(entry.hyperparameters, entry.latent_dim) for entry in again.methods] == [({"weight": 1.5}, 4), ({"weight": 0.5}, 4)]
    assert trials_in(target, found, found.searches) == {"wae_mmd": tuple(points)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("steps = 300 steps = 301", "not what a search of .* has written; choose another --name, or delete it"),
        ("high = 100.0 high = 1.0", "wae_mmd weight=1.5 optimizer.lr=0.001 is no trial of methods.wae_mmd.search in .*"),
    ],
)
def test_a_file_of_another_search_is_not_gone_on_with(change: str, says: str, tmp_path: Path) -> None:
    file, target = suite(tmp_path, ROWS), tmp_path / "tuned.toml"
    found = reader.read(str(file))
    target.write_text(text_with(found, {"wae_mmd": [{"weight": 1.5, "optimizer.lr": 0.001}]}, target), encoding="utf-8")
    words = change.split(" ")
    old, new = " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    changed = reader.read(str(file))
    with pytest.raises(UserError, match=says):
        trials_in(target, changed, changed.searches)
