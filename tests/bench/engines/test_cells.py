"""A cell by its number, and the choice of an engine; what needs no cluster."""

import importlib.util
import re
from pathlib import Path

import pytest
from harness import Started, cli, files, leftovers, outcome, suite, until
from noted_runs import ALONE, NOTED, TWO_ROWS, begun

from bench.engines import choose
from bench.suites import reader

HELP = "; see: python -m bench --help"


def test_cells_one_by_one_are_the_suite(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", TWO_ROWS, seeds=2, steps=60, plugin=NOTED)
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert cli("run", "-s", file, "-o", alone, *ALONE).code == 0
    (file.parent / "begun").unlink()
    for index, run in enumerate(reader.read(str(file)).runs("cpu")):
        result = cli("cell", file, index, "-o", out)
        assert (result.code, result.err) == (0, "")
        assert re.fullmatch(rf"{out}/runs/tiny/{run.label}/{run.seed}-{run.key()}: done\n", result.out)
    assert outcome(out) == outcome(alone)
    assert not (out / "leaderboards").exists()
    assert cli("cell", file, 3, "-o", out).code == 0, "it is done"
    assert cli("run", "-s", file, "-o", out, *ALONE).code == 0
    assert len(begun(file)) == 4, "nothing was trained twice"
    assert (out / "leaderboards" / "tiny.md").exists()
    assert list(leftovers(out)) == []


def test_a_killed_cell_goes_on_and_two_starts_of_one_are_one_run(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", TWO_ROWS, steps=400, plugin=NOTED)
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert cli("run", "-s", file, "-o", alone, *ALONE, "--methods", "other").code == 0
    first = Started(tmp_path, "cell", file, 1, "-o", out, "--save-every", 0)
    until(lambda: files(out, "checkpoint.pt"), "a checkpoint")
    second = Started(tmp_path, "cell", file, 1, "-o", out, "--save-every", 0)
    log = second.logs[1]  # says that the second waits; were the first done by now, which is unlikely, it would end instead
    waits = lambda: log.exists() and "waiting for other seed 0" in log.read_text(encoding="utf-8")
    until(lambda: waits() or second.process.exitcode is not None, "the second to wait for the first")
    first.kill()
    assert second.wait().code == 0
    assert outcome(out) == outcome(alone)


def test_a_cell_that_fails_says_so(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", "[methods.boom]\n", steps=60, plugin=NOTED)
    result = cli("cell", file, 0, "-o", tmp_path)
    assert (result.code, result.err) == (1, "boom seed 0: failed: RuntimeError: this row cannot be trained (plugin.py, line 33)\n")
    assert result.out.endswith(": failed\n")


@pytest.mark.parametrize("index", [2, -1, 1000])
def test_a_number_of_no_cell_is_one_line(tmp_path: Path, index: int) -> None:
    file = suite(tmp_path, steps=5)
    result = cli("cell", "-o", tmp_path, file, "--", index) if index < 0 else cli("cell", file, index, "-o", tmp_path)
    assert result.code == 2
    assert result.line() == f"{file}: INDEX must be 0 to 1, not {index}; --dry-run of run shows them in their order"


def test_a_process_whose_team_does_not_answer_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = cli("cell", suite(tmp_path, steps=5), 0, "-o", tmp_path, "--device", "cpu")
    assert result.code == 2
    assert result.line().startswith("WORLD_SIZE is 2, but no other process answers (ValueError: ")


def test_a_dry_run_numbers_the_cells(tmp_path: Path) -> None:
    file = suite(tmp_path, seeds=2, steps=5)
    lines = cli("run", "-s", file, "-o", tmp_path, "--dry-run").out.splitlines()[-4:]
    assert [line.split()[:3] for line in lines] == [["0", "ae", "0"], ["1", "wae_gan", "0"], ["2", "ae", "1"], ["3", "wae_gan", "1"]]


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_an_engine_whose_package_is_missing_says_how_to_get_it(tmp_path: Path, name: str, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    result = cli("run", "-s", suite(tmp_path, steps=5), "-o", tmp_path, "--engine", name)
    assert (result.code, result.line()) == (2, f"--engine {name} needs the package {package}: pip install 'latentbench[{name}]'")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--engine", "slrum"), "unknown engine 'slrum'; did you mean 'slurm'? known: local, ray, slurm"),
        (("--cluster", "address=auto"), "--cluster address=... is a parameter of another engine: --engine ray or slurm"),
        (("--cluster", "address"), "--cluster address: write it as key=value, for instance address=auto"),
        (
            ("--limit", "0"),
            f"Invalid value for '--limit': '0' is not a number of seconds between 0 and a million{HELP}",
        ),
    ],
)
def test_a_wrong_engine_is_one_line(tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    result = cli("run", "-s", suite(tmp_path, steps=5), "-o", tmp_path, *options)
    assert (result.code, result.line()) == (2, says)
    assert not (tmp_path / "runs").exists()


def test_local_engines_load_no_cluster() -> None:
    from bench.engines.preload import preloaded

    assert not set(choose.CLUSTERS.values()) & set(preloaded())
    assert "bench.engines.local" in preloaded()
