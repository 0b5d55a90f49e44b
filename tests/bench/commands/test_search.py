"""Searches: their trials are ordinary rows of a suite file, chosen on validation images, and the same ones after an interruption."""

import math
import shlex
import sys
import tomllib
from dataclasses import replace
from importlib.abc import MetaPathFinder
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


def test_the_file_keeps_paths_and_takes_overrides(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", ROWS, plugin="METHODS = []\n")
    found, target = reader.read(str(file), ("budget.steps=77",)), tmp_path / "out" / "deep" / "tuned.toml"
    points = [{"weight": 1.5, "optimizer.lr": 0.001}, {"weight": 0.5, "optimizer.lr": 0.002}]
    target.parent.mkdir(parents=True)
    target.write_text(text_with(found, {"wae_mmd": points}, target), encoding="utf-8")
    again = reader.read(str(target))
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


@pytest.mark.parametrize("row", ["optimizer.lr = 0.5", "optimizer = { lr = 0.5 }", "[methods.wae_mmd.optimizer]\nlr = 0.5"])
def test_a_trial_keeps_the_optimizer_of_its_row(row: str, tmp_path: Path) -> None:
    of_suite = "[optimizer]\nbetas = [0.5, 0.9]\n[methods.wae_mmd]\n"
    space = 'search = { optimizer.lr = [1.0, 2.0] }\nselect = { metric = "rec_sse_validation" }\n'
    file = suite(tmp_path, of_suite + (f"{space}{row}\n" if row.startswith("[") else f"{row}\n{space}"))
    found, target = reader.read(str(file)), tmp_path / "tuned.toml"
    target.write_text(text_with(found, {"wae_mmd": [{"optimizer.lr": 2.0}]}, target), encoding="utf-8")
    (entry,), (before,) = reader.read(str(target)).methods, found.methods
    assert entry.optimizer
    assert before.optimizer
    assert entry.optimizer == replace(before.optimizer, lr=2.0)
    assert entry.optimizer.betas == (0.9, 0.999), "not the suite's"


PLUGIN = """
from models.wae import wae_mmd
def mine(dim, *, weight: float = 1.0):
    "A method of one's own."
    return wae_mmd(dim, weight=weight)
METHODS = [mine]
"""


@pytest.mark.parametrize("place", ["new/folder", "link"])
def test_plugins_are_found_from_wherever_the_file_is_written(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = '[methods.mine]\nsearch = { weight = [1.0, 2.0] }\nselect = { metric = "rec_sse_validation" }\n'
    suite(tmp_path / "here" / "suite", rows, steps=4, plugin=PLUGIN, metrics=["rec_sse_test"])
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path / "here")
    said = cli("search", "-s", "suite/tiny.toml", "--name", "tuned", "-o", place, "--jobs", 1, "--trials", 5)
    assert said.code == 0, said
    assert "2 of 5 trials: a hundred proposals in a row had been tried before." in said.out
    again = said.out.rpartition("python -m bench ")[2]
    assert f"--out {place}" in again
    assert cli(*shlex.split(again), "--no-profile", "--jobs", 1).code == 0


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("latent_dim = { low = 0, high = 4 }", "tiny.toml: methods.wae_mmd latent_dim=0.latent_dim must be at least 1, not 0"),
        ("latent_dim = [4, 8, 0]", "tiny.toml: methods.wae_mmd latent_dim=0.latent_dim must be at least 1, not 0"),
        ('kernel = ["imq", "bogus"]', "tiny.toml: methods.wae_mmd kernel=bogus.kernel must be one of "),
        ("latent_dim = { low = 2, high = 60 }", "tiny.toml: "),
    ],
)
def test_what_a_space_has_and_no_run_can_have_is_said_before_the_first(space: str, says: str, tmp_path: Path) -> None:
    rows = f'[methods.wae_mmd]\nsearch = {{ {space} }}\nselect = {{ metric = "rec_sse_validation" }}\n'
    file = suite(tmp_path, rows, steps=4, metrics=["rec_sse_test"])
    file.write_text("equal_capacity = 0.01\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    said = cli("search", "-s", file, "--name", "tuned", "-o", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    assert said.line().startswith(f"{tmp_path}/{says}"), said.line()
    assert not (tmp_path / "out" / "tuned.toml").exists()


def test_a_rule_about_what_no_trial_has_ends_after_the_first(tmp_path: Path) -> None:
    rows = '[methods.ae]\nsearch = { latent_dim = [2, 3, 4] }\nselect = { metric = "frechet_pixels_pz" }\n'
    file = suite(tmp_path / "suite", rows, steps=4, metrics=["rec_sse_test", "frechet_pixels_pz"])
    said = cli("search", "-s", file, "--name", "tuned", "-o", tmp_path / "out", "--jobs", 1)
    assert said.code == 2
    where = tmp_path / "out" / "tuned.toml"
    assert said.line().startswith(f"{where}: methods.ae.select: no trial has a value of frechet_pixels_pz: no prior")
    assert len(list((tmp_path / "out" / "runs").glob("*/*/0-*"))) == 1


def test_a_search_of_trials_all_of_which_are_lost_says_so(tmp_path: Path) -> None:
    rows = '[methods.ae]\nsearch = { optimizer.lr = [1e30, 1e31] }\nselect = { metric = "rec_sse_validation" }\n'
    file = suite(tmp_path / "suite", rows, steps=60, metrics=["rec_sse_test"])
    said = cli("search", "-s", file, "--name", "tuned", "-o", tmp_path / "out", "--jobs", 1, "--trials", 2)
    assert said.code == 1
    assert "Of ae nothing is chosen: every trial diverged or failed." in said.out
    assert "best so far" not in said.out


@pytest.mark.parametrize("text", ["", "[methods.wae_mmd]\nsweep = [{ weight = 1.0, weight = 2.0 }]\n", "methods = 3\n", "\x00"])
def test_a_damaged_file_is_not_gone_on_with(text: str, tmp_path: Path) -> None:
    found, target = reader.read(str(suite(tmp_path, ROWS))), tmp_path / "tuned.toml"
    target.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"not what a search of .* has written"):
        trials_in(target, found, found.searches)


def test_a_search_does_not_take_the_place_of_what_it_searches(tmp_path: Path) -> None:
    file = suite(tmp_path, ROWS)
    content = file.read_bytes()
    said = cli("search", "-s", file, "--name", "tiny", "-o", tmp_path)
    assert said.line() == f"--name tiny: {file} is the suite that is searched; choose another"
    assert file.read_bytes() == content


LAYOUTS = [  # of the same row, each of which TOML allows
    "[methods.vcae]\nweight = 3.0\n[optimizer]\nlr = 0.1\n[methods.vcae.search]\nweight = [1.0, 2.0]\n"
    '[methods.vcae.select]\nmetric = "a"\n',
    '[optimizer]\nlr = 0.1\n[methods]\nvcae = { weight = 3.0, search = { weight = [1.0, 2.0] }, select = { metric = "a" } }\n',
    '[optimizer]\nlr = 0.1\n[methods]\nvcae.weight = 3.0\nvcae.search.weight = [1.0, 2.0]\nvcae.select.metric = "a"\n',
    '[optimizer]\nlr = 0.1\n[methods.vcae.select]\nmetric = "a"\n[methods.ae]\n[methods.vcae]\nweight = 3.0\nsearch.weight = [1.0, 2.0]\n',
]


@pytest.mark.parametrize("rows", LAYOUTS)
def test_a_file_comes_of_every_layout(rows: str, tmp_path: Path) -> None:
    file, target = suite(tmp_path, rows), tmp_path / "tuned.toml"
    found = reader.read(str(file), ('metrics=["rec_sse_test",\n"active_units"]',))
    target.write_text(text_with(found, {"vcae": [{"weight": 1.0}]}, target), encoding="utf-8")
    again = reader.read(str(target))
    assert [(entry.label, entry.hyperparameters) for entry in again.methods] == [("vcae weight=1", {"weight": 1.0})]
    assert (again.optimizer.lr, again.metrics) == (0.1, ("rec_sse_test", "active_units"))
    assert trials_in(target, found, found.searches) == {"vcae": ({"weight": 1.0},)}


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0.99, 0.999, False), (1000.0, 1010.0, False), (1.0, 1.001, True), (-0.001, 0.001, False)]
)
def test_a_narrow_range_has_hundreds_of_values(low: float, high: float, log: bool) -> None:
    narrow = Search("ae", {"a": Range(low, high, log)}, Select("x"))
    found = proposals(narrow, [], [], 50, 0)
    assert len({point["a"] for point in found}) == 50
    assert all(low <= point["a"] <= high for point in found)


@pytest.mark.parametrize(("package", "module"), [("optuna", "bench.commands.proposals"), ("tomli_w", "bench.suites.trials")])
def test_a_search_whose_package_is_missing_says_how_to_get_it(
    package: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Without(MetaPathFinder):
        """Python without that package."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == package:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in (module, package):
        monkeypatch.delitem(sys.modules, name)  # as where it was never imported
    monkeypatch.setattr(sys, "meta_path", [Without(), *sys.meta_path])
    said = cli("search", "-s", suite(tmp_path, ROWS), "--name", "tuned", "-o", tmp_path)
    assert (said.code, said.line()) == (2, f"search needs the package {package}: pip install 'latentbench[search]'")
