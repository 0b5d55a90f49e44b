"""Standard output and error wherever they go: lines of finished runs, who is waited for, closed pipes, narrow terminals; and `status`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import cli, files, suite, until

from bench.commands.console import fitting
from bench.records.store import Store
from bench.suites import reader

ROOT = Path(__file__).parents[3]
ALONE = ("--no-profile", "--jobs", "1")


def bench(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=100, check=False, **more)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), steps=20)


def started(*arguments: object) -> subprocess.Popen[str]:
    """A command in a process of its own, under way."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_without_a_terminal_each_finished_run_is_a_line_and_nothing_moves_a_cursor(file: Path, tmp_path: Path) -> None:
    result = bench("run", "-s", file, "-o", tmp_path, *ALONE, stdout=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, "ae seed 0: done, 1 of 2\nwae_gan seed 0: done, 2 of 2\n")
    assert "\x1b" not in result.stdout
    again = bench("run", "-s", file, "-o", tmp_path, *ALONE, stdout=subprocess.PIPE)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", result.stdout)


def test_a_closed_standard_output_costs_no_result_and_no_exit_code(file: Path, tmp_path: Path) -> None:
    reader_end, writer = os.pipe()
    os.close(reader_end)
    piped = bench("run", "-s", file, "-o", tmp_path / "piped", *ALONE, stdout=writer)
    os.close(writer)
    closed = bench("run", "-s", file, "-o", tmp_path / "closed", *ALONE, preexec_fn=lambda: os.close(1))
    for result, out in ((piped, "piped"), (closed, "closed")):
        assert (result.returncode, result.stderr.count("\n")) == (0, 2), result.stderr
        assert sorted(files(tmp_path / out, "record.json")) == ["ae/0", "wae_gan/0"]
        assert (tmp_path / out / "leaderboards" / "tiny.md").is_file()


def test_a_full_standard_output_costs_no_result(file: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        result = bench("run", "-s", file, "-o", tmp_path, *ALONE, stdout=full)
    assert result.returncode == 2
    assert result.stderr.endswith("latentbench: standard output: No space left on device\n")
    assert (tmp_path / "leaderboards" / "tiny.md").is_file()


@pytest.mark.parametrize("name", ["models", "metrics"])
def test_a_package_of_the_users_in_place_of_ours_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise SystemExit('not ours')")
    result = bench("list", "methods", stdout=subprocess.PIPE, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        f"latentbench: {tmp_path / name} hides latentbench's own package '{name}'; start it from another folder"
    )


def test_status_says_who_has_a_run_and_waiting_says_for_whom(tmp_path: Path) -> None:
    slow = suite(tmp_path / "suite", "[methods.ae]\n", steps=10**7)
    assert "left" in cli("status", slow, "-o", tmp_path).out
    first = started("run", "-s", slow, "-o", tmp_path, *ALONE, "--save-every", 0.1)
    store, (run,) = Store(tmp_path, "tiny"), reader.read(str(slow)).runs("cpu")
    until(lambda: (store.folder(run) / "checkpoint.pt").exists(), "a checkpoint")
    holder = store.holder(run)
    assert holder
    assert re.fullmatch(rf"process {first.pid} on \S+", holder)
    said = cli("status", slow, "-o", tmp_path)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == "tiny: 1 running of 1 runs"
    assert re.search(rf"^ae +0 +running by {holder}$", said.out, re.MULTILINE)
    second = started("run", "-s", slow, "-o", tmp_path, *ALONE)
    assert second.stderr
    try:
        assert second.stderr.readline() == f"waiting for ae seed 0, held by {holder}\n"
    finally:
        for process in (first, second):
            process.kill()
            process.wait(10)
    assert store.holder(run) is None
    assert "interrupted, goes on from its checkpoint" in cli("status", slow, "-o", tmp_path).out


def test_status_of_all_suites_is_a_line_each(file: Path, tmp_path: Path) -> None:
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE, "--methods", "ae").code == 0
    assert cli("status", "-o", tmp_path).out == "tiny: 1 done, 1 left of 2 runs\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_table_fits_the_terminal(columns: int) -> None:
    rows = [["ae", "a" * 100, "b" * 30], ["vae", "c", "d"]]
    widths = fitting(["name", "what it is", "values"], rows, columns)
    assert sum(widths) + 4 == min(columns, 4 + 100 + 30 + 4)
    assert widths[0] == 4
