"""Standard output and error wherever they go: lines of finished runs, who is waited for, closed pipes, narrow terminals; and `status`."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness import FORKS, Started, cli, files, suite, until

from bench.__main__ import main
from bench.commands.console import fitting
from bench.records.store import Store
from bench.suites import reader

ROOT = Path(__file__).parents[3]
ALONE = ("--no-profile", "--jobs", "1")


def bench(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
    """A command as a shell starts it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=100, check=False, **more)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), steps=20)


def test_without_a_terminal_each_finished_run_is_a_line_and_nothing_moves_a_cursor(file: Path, tmp_path: Path) -> None:
    result = bench("run", "-s", file, "-o", tmp_path, *ALONE, stdout=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, "ae seed 0: done, 1 of 2\nwae_gan seed 0: done, 2 of 2\n")
    assert "\x1b" not in result.stdout
    again = cli("run", "-s", file, "-o", tmp_path, *ALONE)
    assert (again.code, again.whole_err, again.out) == (0, "", result.stdout)


def test_a_closed_standard_output_costs_no_result_and_no_exit_code(file: Path, tmp_path: Path) -> None:
    reader_end, writer = FORKS.Pipe(duplex=False)
    reader_end.close()
    piped = Started(tmp_path, "run", "-s", file, "-o", tmp_path / "piped", *ALONE, out=writer).wait()
    closed = bench("run", "-s", file, "-o", tmp_path / "closed", *ALONE, preexec_fn=lambda: os.close(1))
    for code, err, out in ((piped.code, piped.whole_err, "piped"), (closed.returncode, closed.stderr, "closed")):
        assert (code, err.count("\n")) == (0, 2), err
        assert sorted(files(tmp_path / out, "record.json")) == ["ae/0", "wae_gan/0"]
        assert (tmp_path / out / "leaderboards" / "tiny.md").is_file()


def test_a_full_standard_output_costs_no_result(file: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    result = Started(tmp_path, "run", "-s", file, "-o", tmp_path, *ALONE, out="/dev/full").wait()
    assert result.code == 2
    assert result.whole_err.endswith("latentbench: standard output: No space left on device\n")
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
    command = [sys.executable, "-m", "bench", "run", "-s", slow, "-o", tmp_path, *ALONE, "--save-every", "0.1"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL) as first:
        try:
            store, (run,) = Store(tmp_path, "tiny"), reader.read(str(slow)).runs("cpu")
            until(lambda: (store.folder(run) / "checkpoint.pt").exists(), "a checkpoint")
            holder = store.holder(run)
            assert holder
            assert re.fullmatch(rf"process {first.pid} on \S+", holder)
            said = cli("status", slow, "-o", tmp_path)
            assert (said.code, said.err) == (0, "")
            assert said.out.splitlines()[0] == "tiny: 1 running of 1 runs"
            assert re.search(rf"^ae +0 +running by {holder}, 0 %$", said.out, re.MULTILINE)
            second = Started(tmp_path, "run", "-s", slow, "-o", tmp_path, *ALONE)
            waits = until(lambda: second.logs[1].exists() and second.logs[1].read_text(), "what it waits for", 60)
            second.kill()
            assert waits == f"waiting for ae seed 0, held by {holder}\n"
        finally:
            first.kill()
    assert store.holder(run) is None
    assert "interrupted, goes on from its checkpoint" in cli("status", slow, "-o", tmp_path).out


def test_status_of_all_suites_is_a_line_each(file: Path, tmp_path: Path) -> None:
    result = cli("run", "-s", file, "-o", tmp_path, *ALONE, "--methods", "ae")
    assert (result.code, "wae_gan" in result.out) == (0, False), "rows that were not asked for"
    assert cli("status", "-o", tmp_path).out == "tiny: 1 done, 1 left of 2 runs\n"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_table_fits_the_terminal(columns: int) -> None:
    rows = [["ae", "a" * 100, "b" * 30], ["vae", "c", "d"]]
    widths = fitting(["name", "what it is", "values"], rows, columns)
    assert sum(widths) + 4 == min(columns, 4 + 100 + 30 + 4)
    assert widths[0] == 4


class Terminal(io.StringIO):
    """A terminal that keeps what it is given."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", [("list", "methods"), ("list", "metrics"), ("data", "list"), ("status",), ("run", "--dry-run")])
def test_every_table_of_a_command_fits_the_terminal(
    command: tuple[str, ...], columns: int, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers with commas in their cells, too, which are no integers."""
    arguments = [
        *command,
        *({"status": [str(file), "-o", str(tmp_path)], "run": ["-s", str(file), "-o", str(tmp_path)]}.get(command[0], [])),
    ]
    shown = Terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["latentbench", *arguments])
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit, match=r"^0$"):
        main()
    lines = shown.getvalue().splitlines()
    assert len(lines) > 3
    assert max(map(len, lines)) <= columns
