"""Several processes on one suite: no cell is run twice, none is lost, and none of them outlives its parent."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from harness import NEWS, ROWS, Started, cli, files, leftovers, outcome, records, suite, until
from noted_runs import ALONE, NOTED, TWO_ROWS, begun

from bench.leaderboard import publish as boards
from bench.processes import WAY, listen
from bench.records.store import Store
from bench.runs.events import Event
from bench.suites import reader

STARTS = {"forkserver": b"multiprocessing.forkserver", "spawn": b"spawn_main"}[WAY]  # in the commands of workers


def board(out: Path) -> list[str]:
    """The lines of the leaderboard that do not depend on times."""
    lines = (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8").splitlines()
    first, last = (
        next(i for i, line in enumerate(lines) if line.startswith(f"<summary>{group}: ")) for group in ("Reconstruction", "Cost")
    )
    return lines[first:last]


@pytest.mark.fault("two commands on one suite at once")
def test_two_commands_at_once_share_the_runs(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", TWO_ROWS, seeds=2, steps=100, plugin=NOTED)
    alone = tmp_path / "alone"
    assert cli("run", "-s", file, "-o", alone, *ALONE).code == 0
    assert len(set(begun(file))) == 4, "every cell has a mark of its own"
    (file.parent / "begun").unlink()
    out = tmp_path / "out"
    both = [Started(tmp_path, "run", "-s", file, "-o", out, *ALONE) for _ in range(2)]
    results = [started.wait() for started in both]
    assert [(result.code, result.err) for result in results] == [(0, ""), (0, "")]
    assert results[0].out == results[1].out
    assert sorted(begun(file)) == sorted(set(begun(file)))
    assert len(begun(file)) == 4
    assert outcome(out) == outcome(alone)
    assert board(out) == board(alone)
    assert list(leftovers(out)) == []
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0


@pytest.mark.fault("a command is killed while another waits for its run")
def test_a_command_takes_over_what_a_killed_one_had_begun(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", TWO_ROWS, steps=300, plugin=NOTED)
    alone, out = tmp_path / "alone", tmp_path / "out"
    assert cli("run", "-s", file, "-o", alone, *ALONE).code == 0
    first = Started(tmp_path, "run", "-s", file, "-o", out, *ALONE)
    until(lambda: files(out, "checkpoint.pt"), "a checkpoint of the first")
    second = Started(tmp_path, "run", "-s", file, "-o", out, *ALONE)
    until(lambda: len(files(out, "checkpoint.pt")) + len(files(out, "record.json")) == 2, "the second at work")
    first.kill()
    result = second.wait()
    assert (result.code, result.err) == (0, "")
    assert outcome(out) == outcome(alone)
    assert list(leftovers(out)) == []


def test_commands_for_different_rows_make_one_leaderboard(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", TWO_ROWS, steps=20, plugin=NOTED)
    both = [Started(tmp_path, "run", "-s", file, "-o", tmp_path, *ALONE, "--methods", row) for row in ("noted", "other")]
    assert [started.wait().code for started in both] == [0, 0]
    text = (tmp_path / "leaderboards" / "tiny.md").read_text(encoding="utf-8")
    assert "2 of 2 runs done" in text
    assert "not run" not in text
    assert cli("leaderboard", "-s", file, "-o", tmp_path, "--check").code == 0


def test_a_leaderboard_waits_for_who_changes_its_records(tmp_path: Path) -> None:
    """Else one made of fewer records could be written after one made of more."""
    file = suite(tmp_path / "suite", steps=5)
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE).code == 0
    records_file, board_file = (tmp_path / "leaderboards" / name for name in ("runs/tiny.jsonl", "tiny.md"))
    both = records_file.read_text(encoding="utf-8")
    publishing = threading.Thread(target=boards.publish, args=(tmp_path, reader.read(str(file)), print))
    with Store(tmp_path, "tiny").alone():
        records_file.write_text(both.partition("\n")[2], encoding="utf-8")
        board_file.unlink()
        publishing.start()
        publishing.join(0.3)
        assert not board_file.exists()
        records_file.write_text(both, encoding="utf-8")
    publishing.join(10)
    assert "2 of 2 runs done" in board_file.read_text(encoding="utf-8")
    assert "not run" not in board_file.read_text(encoding="utf-8")


@pytest.mark.fault("a worker is killed, its neighbour goes on")
def test_workers_survive_each_other_and_repeat_nothing(tmp_path: Path) -> None:
    """Two workers: one row fails, one kills its worker; the other worker ends what that one had; numbers are as with one."""
    file = suite(tmp_path / "suite", f"[methods.boom]\n[methods.dying]\nlatent_dim = 3\n{ROWS}", steps=60, plugin=NOTED)
    two, one = tmp_path / "two", tmp_path / "one"
    result = Started(tmp_path, "run", "-s", file, "-o", two, "--no-profile", "--jobs", 2).wait()
    assert (file.parent / "died").exists()
    assert result.code == 1
    assert result.err == "boom seed 0: failed: RuntimeError: this row cannot be trained (plugin.py, line 33)\n"
    assert re.search(r"^boom +0/1 done, 1 failed", result.out, re.MULTILINE)
    assert len(begun(file)) == len(set(begun(file))) == 2, "the failing row ran once, though two workers saw it"
    kept = Store(two, "tiny").records()
    assert {record["label"]: record["status"] for record in kept} == {"ae": "done", "boom": "failed", "dying": "done", "wae_gan": "done"}
    assert {record["environment"]["jobs"] for record in kept} == {2}
    cli("run", "-s", file, "-o", one, *ALONE)
    assert outcome(two) == outcome(one)
    assert board(two) == board(one)


def test_workers_profile_each_row_once(tmp_path: Path) -> None:
    """Also rows whose runs were done before; never one that no run of was done."""
    file = suite(tmp_path / "suite", f"[methods.shy]\n[methods.boom]\n{ROWS}", steps=20, seeds=2, plugin=NOTED)
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE, "--methods", "ae,shy").code == 0
    profiles = tmp_path / "leaderboards" / "runs" / "tiny.profile.jsonl"
    assert not profiles.exists()
    result = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--jobs", 2).wait()
    failed = {f"boom seed {seed}: failed: RuntimeError: this row cannot be trained (plugin.py, line 33)" for seed in (0, 1)}
    shy = "shy profile: failed: cannot be profiled: RuntimeError: somebody is looking (plugin.py, line 47)"
    assert (result.code, sorted(result.err.splitlines())) == (1, [*sorted(failed), shy])
    kept = profiles.read_bytes()
    assert [line["label"] for line in map(json.loads, kept.splitlines()) if "label" in line] == ["ae", "wae_gan"]
    assert Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--jobs", 2).wait().err.count(shy) == 1
    assert profiles.read_bytes() == kept, "nothing was measured again"


@pytest.mark.fault("SIGKILL for the command alone, while two workers train")
def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    """However it ends; a run that was under way is not called failed, and the next command ends it."""
    file = suite(tmp_path / "suite", TWO_ROWS, steps=400, plugin=NOTED)
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 2, "--save-every", 0)
    until(lambda: files(tmp_path, "checkpoint.pt"), "a checkpoint")
    workers = started.workers()
    assert len(workers) >= 2
    started.signal(signal.SIGKILL, group=False)
    until(lambda: started.workers() == [], "the workers to end", 10)
    assert records(tmp_path) == {}
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE).code == 0
    assert {record["status"] for record in records(tmp_path).values()} == {"done"}
    assert list(leftovers(tmp_path)) == []


@pytest.mark.fault("SIGINT and SIGTERM while workers import, and while they train")
@pytest.mark.parametrize(
    ("number", "group", "code", "says"),
    [
        (signal.SIGINT, True, 130, "latentbench: interrupted; the same command goes on from the last checkpoint\n"),
        (signal.SIGINT, False, 130, "latentbench: interrupted; the same command goes on from the last checkpoint\n"),
        (signal.SIGTERM, False, 143, "latentbench: terminated; the same command goes on from the last checkpoint\n"),
    ],
    ids=["Ctrl-C", "SIGINT to the parent", "SIGTERM to the parent"],
)
@pytest.mark.parametrize("processes", [1, 2 + (WAY == "forkserver")], ids=["while they import", "while they train"])
def test_signals_end_all_of_it_without_a_traceback(tmp_path: Path, number: int, group: bool, code: int, says: str, processes: int) -> None:
    """Also while the process that workers are forks of still imports, which takes it seconds."""
    file = suite(tmp_path / "suite", seeds=2, steps=100_000)
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 2)
    try:
        until(lambda: len([pid for pid in started.workers() if STARTS in command_of(pid)]) >= processes, "workers")
        started.signal(number, group)
        result = started.wait(30)
        assert (result.code, result.err) == (code, says)
        until(lambda: started.workers() == [], "the workers to end")  # one that imports torch from a cold disk first ends its import
    finally:
        started.signal(signal.SIGKILL)
    assert records(tmp_path) == {}


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_news_of_workers_comes_until_each_has_ended() -> None:
    pipes = [multiprocessing.Pipe(duplex=False) for _ in range(3)]
    expected = {Event(f"run {number}", 0.5) for number in range(3)}
    for (_, sender), event in zip(pipes, sorted(expected, key=lambda event: event.run), strict=True):
        sender.send(event)
        sender.close()
    heard: list[Event] = []
    receivers: list[Connection] = [receiver for receiver, _ in pipes]
    listen(receivers, heard.append)
    assert set(heard) == expected
    assert receivers == []


@pytest.mark.fault("the only worker is killed")
def test_a_worker_that_always_dies_is_said_and_others_results_stay(tmp_path: Path) -> None:
    """One worker: the whole command is what dies, and the next one goes on."""
    file = suite(tmp_path / "suite", "[methods.ae]\n[methods.dying]\n", steps=60, plugin=NOTED)
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, *ALONE)
    assert started.wait().code == -signal.SIGKILL
    assert list(records(tmp_path)) == ["ae/0"]
    before = outcome(tmp_path)["weights.safetensors"]["ae/0"]
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE).code == 0
    assert outcome(tmp_path)["weights.safetensors"]["ae/0"] == before
    assert set(records(tmp_path)) == {"ae/0", "dying/0"}
    assert sorted(path.name for path in (tmp_path / "leaderboards").iterdir()) == ["README.md", "index.html", "runs", "tiny.md"]


DEAD = """
from functools import partial
from bench import processes
from bench.errors import UserError

try:
    processes.run_workers(partial(print), 1, 1, print, ["dies"])
except UserError as error:
    print(error)
"""


@pytest.mark.fault("the process that starts workers is killed")
@pytest.mark.skipif(WAY != "forkserver", reason="workers are no forks here")
def test_the_death_of_the_process_that_starts_workers_is_said(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text("import os\nos.kill(os.getpid(), 9)")
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[3])])
    result = subprocess.run(
        [sys.executable, "-c", DEAD], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths}, timeout=60
    )
    assert result.stdout == "no worker can be started: the process that starts them died (for lack of memory? try --jobs 1)\n", (
        result.stderr
    )


FOREIGN = f"""
import os, sys
sys.path[0] = {str(Path(__file__).parents[3])!r}
os.environ["LATENTBENCH_KERNELS"] = "tiled"  # after the start, as a script may
from bench.__main__ import main
main()
"""


def test_workers_import_what_the_command_imports_wherever_it_runs(tmp_path: Path) -> None:
    """The current folder may hold modules of any name; what the command has in its environment its workers have too."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('not ours')")
    arguments = ["run", "-s", suite(tmp_path / "suite", steps=20), "-o", tmp_path, "--no-profile", "--jobs", "2"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    result = subprocess.run(
        [sys.executable, "-c", FOREIGN, *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, NEWS.sub("", result.stderr)) == (0, "")
    kept = Store(tmp_path, "tiny").records()
    assert [(record["label"], record["environment"]["kernels"]) for record in kept] == [("ae", "tiled"), ("wae_gan", "tiled")]
