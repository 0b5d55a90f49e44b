"""Names of results: other values have another name, the same values the same, and none is too long for a file or another's."""

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from harness import HEAD

from bench.errors import UserError
from bench.suites import reader
from bench.suites.names import PAGES, STEM, built_in, options, relative
from bench.suites.schema import Suite

TEXT = (
    HEAD.format(seeds=1, steps=5, plugins=[])
    + """
[methods."a+b"]
method = "wae_mmd"

[methods.a_b]
method = "wae_mmd"
"""
)


def suite(*overrides: str, name: str | None = None) -> Suite:
    return reader.from_text(TEXT, Path("lab/exp.toml"), overrides, name=name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["budget.steps=20", "budget.steps=10"], ["budget.steps=10", "budget.steps=20"]),
        (["methods.a+b.weight=2"], ["methods.a_b.weight=2"]),
        (["budget.steps=20", "budget.epochs=3"], ["budget.epochs=3", "budget.steps=20"]),
        (["optimizer.lr=0.5", "optimizer={lr=0.25}"], ["optimizer={lr=0.25}", "optimizer.lr=0.5"]),
        (["methods.a_b.weight=1.25"], ["methods.a_b.weight=1.5"]),
        (["methods.a_b.kernel='rbf'", "methods.a_b.weight=2.0"], ["methods.a_b.kernel='imq'", "methods.a_b.weight=2.0"]),
        (["optimizer.betas=[0.5, 0.9]"], ["optimizer.betas=[0.5, 0.95]"]),
        (["methods.a_b.weight=1.0"], []),
    ],
)
def test_other_values_have_another_name(one: list[str], other: list[str]) -> None:
    first, second = suite(*one), suite(*other)
    assert first != second
    assert first.name.casefold() != second.name.casefold()
    assert {run.key() for run in first.runs("cpu")}.isdisjoint(run.key() for run in second.runs("cpu"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["latent_dim=3", "batch_size=50"], ["batch_size=50", "latent_dim=3"]),
        (["methods.a_b.weight=0.001"], ["methods.a_b.weight = 1e-3"]),
        (["methods.a_b.kernel='rbf'"], ["methods.a_b.kernel=rbf"]),
        (["seeds=2", "seeds=4"], ["seeds=3", "seeds=4"]),
    ],
)
def test_the_same_values_have_the_same_name(one: list[str], other: list[str]) -> None:
    assert suite(*one).name == suite(*other).name
    assert [run.key() for run in suite(*one).runs("cpu")] == [run.key() for run in suite(*other).runs("cpu")]


def test_a_name_says_its_values_and_ends_with_their_hash() -> None:
    stem, _, fingerprint = suite("methods.a_b.weight=0.5", "latent_dim=3").name.rpartition("-")
    assert stem == "exp+latent_dim=3+methods.a_b.weight=0.5"
    assert len(fingerprint) == 8
    assert suite().name == "exp"


def test_nine_ordinary_overrides_make_a_name_that_a_file_can_have() -> None:
    nine = ["optimizer.lr=5e-4", "optimizer.betas=[0.5, 0.999]", "optimizer.milestones=[[30, 0.5], [50, 0.2]]", "batch_size=64"]
    nine += ["methods.a_b.kernel=rbf_median", "methods.a+b.kernel=imq7", "methods.a_b.weight=12.5", "methods.a+b.weight=0.125"]
    found = suite(*nine, "held_out=validation")
    longest = reader.from_text(TEXT, Path("x" * 100 + ".toml"), tuple(nine))
    for name in (found.name, longest.name):
        assert len(f"{name}.profile.jsonl.writing".encode()) <= 255
    assert len({suite(*nine, f"latent_dim={n}").name for n in range(1, 30)}) == 29


def test_every_page_of_ours_is_named_so_that_no_suite_can_take_its_place() -> None:
    there = {path.stem for path in (Path(__file__).parents[3] / "leaderboards").glob("*.md")}
    assert len(there) > 10
    variants = {name for name in there if not STEM.fullmatch(name)}  # no file of a suite and no --name can be called so
    assert all(name.partition("+")[0] in built_in() for name in variants)
    assert there - variants - set(built_in()) <= set(PAGES)


@pytest.mark.parametrize("name", [*PAGES, "Speed", "readme", "DIGITS", *built_in()])
def test_a_name_of_ours_is_refused_before_work(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(TEXT, encoding="utf-8")
    for read in (lambda: reader.read(str(path)), lambda: suite(name=name)):
        with pytest.raises(UserError, match=r"their results would mix|the page of this one would take its place"):
            read()


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "a+b", "x" * 101, "é", "-a", ".a", "a.b"])
def test_a_name_that_no_file_should_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="a suite's name becomes a file name, it has up to 100 letters"):
        suite(name=name)


def test_a_row_becomes_a_folder_with_a_name_that_is_not_too_long() -> None:
    with pytest.raises(UserError, match="a name has up to 100 letters"):
        reader.from_text(TEXT.replace("a_b", "a" * 101), Path("exp.toml"))


def test_a_chosen_name_is_that_of_suite_and_runs() -> None:
    found = suite("latent_dim=3", name="small")
    assert {found.name, found.chosen_name, *(run.suite for run in found.runs("cpu"))} == {"small"}
    assert found.values == suite("latent_dim=3").values != suite("latent_dim=4").values


@pytest.mark.parametrize(
    ("overrides", "name"),
    [((), None), (("methods.a+b.weight = 2",), None), (("budget.steps=20", "budget.steps=10"), None), (("latent_dim=3",), "small")],
)
def test_the_options_of_a_suite_make_it_again(tmp_path: Path, overrides: tuple[str, ...], name: str | None) -> None:
    path = tmp_path / "my lab" / "exp.toml"
    path.parent.mkdir()
    path.write_text(TEXT, encoding="utf-8")
    found = reader.read(str(path), overrides, name=name)
    said = shlex.split(options(found))
    given = {key: [value for option, value in pairwise(said) if option == key] for key in ("--suite", "--set", "--name")}
    again = reader.read(given["--suite"][0], tuple(given["--set"]), name=next(iter(given["--name"]), None))
    assert again == found


def test_a_path_in_a_command_is_that_from_the_folder_where_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative("lab/exp.toml", Path("results")) == "../lab/exp.toml"
    assert relative("lab/exp.toml", Path()) == "lab/exp.toml"
    assert relative("lab/exp.toml", None) == "lab/exp.toml"
    assert relative(str(tmp_path / "lab" / "exp.toml"), tmp_path) == "lab/exp.toml"
    assert options(reader.read("digits", ("latent_dim=3",)), tmp_path) == "--suite digits --set latent_dim=3"
