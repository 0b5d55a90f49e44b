"""Faults injected for real, into the system below Python or into the process: nothing is lost, nothing half written is left.

What was tried and survived goes into the report of pytest, of which tests/support/reliability_page.py makes a page.
"""

import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_libc import environment
from harness import NEWS, Started, cli, files, leftovers, outcome, records, suite, until

Property = Callable[[str, object], None]
PACED = """
import ctypes
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from models.vae import ae

HERE = Path(__file__).parent


@dataclass
class Pause:
    name = "pause"

    def __call__(self, draw, prior):
        time.sleep(0.002)
        return (draw.z * torch.randn(draw.z.shape, generator=draw.noise)).mean()


@dataclass
class Hang:
    "From the 60th step on nothing comes any more, and the interpreter's lock is held."
    steps = 0
    name = "hang"

    def __call__(self, draw, prior):
        self.steps += 1
        if self.steps > 60:
            ctypes.PyDLL(None).sleep(600)
        return 0.0 * draw.z.sum()


@dataclass
class Greed:
    library: str
    name = "greed"

    def __call__(self, draw, prior):
        wanted = 2**40
        many = torch.ones(wanted) if self.library == "torch" else torch.from_numpy(np.ones(wanted, np.float32))
        return many.sum() * draw.z.sum()


def paced(dim):
    "Takes its time."
    return replace(ae(dim), regularisers=((1.0, Pause()),))

def hanging(dim):
    "Hangs."
    return replace(ae(dim), regularisers=((1.0, Hang()),))

def greedy(dim, *, library: str = "torch"):
    "Asks for 4 TiB."
    return replace(ae(dim), regularisers=((1.0, Greed(library)),))

METHODS = [paced, hanging, greedy]
"""
ROWS = "[methods.ae]\n[methods.paced]\n[methods.wae_gan]\nwidth = 32\n"
OPTIONS = ("--jobs", 1, "--save-every", 0)
SHORT = (*OPTIONS, "--no-profile")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), ROWS, steps=200, plugin=PACED)


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the suite leaves if nobody disturbs it."""
    out = tmp_path_factory.mktemp("whole")
    assert cli("run", "-s", file, "-o", out, *OPTIONS, "--save-every", 30).code == 0
    return outcome(out)


def bench(*arguments: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A command in a process that meets the faults of its environment."""
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, env=env, check=False)


KILLS = [
    pytest.param(4, id="4 kills", marks=pytest.mark.timeout(900)),
    pytest.param(100, id="100 kills", marks=[pytest.mark.slow, pytest.mark.timeout(3000)]),
]


@pytest.mark.fault("SIGKILL and SIGTERM by turns, at random moments of a suite of three runs")
@pytest.mark.parametrize("kills", KILLS)
def test_killed_at_random_moments(tmp_path: Path, kills: int, record_property: Property) -> None:
    """SIGKILL and SIGTERM by turns, until the suite is done; then a new one, until so many kills have met it. Every third time two workers.

    Each at any time after the command has begun to work, as long as an undisturbed one takes from there to its end.
    """
    dice, met, starts, suites, phases = random.Random(kills), 0, 0, 0, dict[str, int]()
    file = suite(tmp_path / "suite", ROWS, steps=100, plugin=PACED, metrics=("rec_sse_test", "frechet_pixels_reconstruction"))
    span = undisturbed(file, tmp_path)
    whole = outcome(tmp_path / "timed")
    while met < kills:
        out = tmp_path / f"out{suites}"
        while met < kills:
            started = begun(tmp_path, file, out, 2 if starts % 3 == 0 else 1)
            starts += 1
            time.sleep(dice.uniform(0.0, span))
            if started.process.is_alive():
                phase = seen(out)
                phases[phase] = phases.get(phase, 0) + 1
                met += 1
                started.kill() if met % 2 else terminate(started)
            else:
                assert started.wait().code == 0
                break
        assert cli("run", "-s", file, "-o", out, *SHORT).code == 0
        assert outcome(out) == whole
        assert list(leftovers(out)) == []
        assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0
        suites += 1
    assert kills < 50 or len(phases) > 4, f"all of them at few moments: {phases}"
    words = ", ".join(f"{count} with {phase}" for phase, count in sorted(phases.items()))
    say(record_property, kills, f"{suites} suite{'s' * (suites > 1)}; killed {words}")


def begun(folder: Path, file: Path, out: Path, jobs: int) -> Started:
    """The suite's command, which has written something, a claim at least, or has ended."""

    def newest() -> int:
        times = [0]
        for path in out.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
                times.append(path.stat().st_mtime_ns)
        return max(times)

    before = newest()
    started = Started(folder, "run", "-s", file, "-o", out, *SHORT, "--jobs", jobs)
    until(lambda: newest() != before or not started.process.is_alive(), "a first sign", 300)
    return started


def undisturbed(file: Path, folder: Path) -> float:
    """Seconds from the first sign of the command to its end."""
    started = begun(folder, file, folder / "timed", 1)
    start = time.monotonic()
    assert started.wait(300).code == 0
    return time.monotonic() - start


def seen(out: Path) -> str:
    """How far the suite has come."""
    if (out / "leaderboards" / "tiny.md").exists():
        return "the board written"
    for name, words in (("record.json", "record"), ("weights.safetensors", "weights"), ("checkpoint.pt", "checkpoint")):
        if found := files(out, name):
            return f"{len(found)} {words}{'s' * (len(found) > 1)}"
    return "nothing"


def terminate(started: Started) -> None:
    """As `kill PID` does; one that has only begun to start has no word to say yet."""
    started.signal(signal.SIGTERM, group=False)
    assert started.wait(60).code in (0, 143, -signal.SIGTERM)


def say(record_property: Property, tried: int, note: str = "") -> None:
    """For the page: all that were tried were survived, else the test has failed."""
    record_property("tried", tried)
    record_property("note", note)


@pytest.mark.fault("the power fails after a rename")
def test_the_power_fails_after_every_rename(file: Path, whole: dict[str, Any], tmp_path: Path, record_property: Property) -> None:
    """What was renamed without having been synchronised is empty then: no file of a run is."""
    log = tmp_path / "renames"
    faults = environment(tmp_path, torn=log)
    done = bench("run", "-s", file, "-o", tmp_path / "out", *OPTIONS, env=faults)
    assert (done.returncode, NEWS.sub("", done.stderr)) == (0, "")
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    ours = [how for how, path in lines if str(tmp_path / "out") in path]
    assert len(ours) > 20
    assert set(ours) == {"whole"}
    assert outcome(tmp_path / "out") == whole
    careless = "import os, sys; open('a', 'w').write('text'); os.replace('a', 'b')"
    subprocess.run([sys.executable, "-c", careless], env=faults, cwd=tmp_path, check=True)
    assert (tmp_path / "b").read_text() == "", "a file that nobody synchronised would have been noticed"
    say(record_property, len(ours))


@pytest.mark.fault("the clock of the day jumps by up to a day at each look")
@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(file: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    """By up to a day at each look, forwards and backwards."""
    faults = environment(tmp_path, clock=1)
    looks = "import time; print(*(int(time.time()) for _ in range(100)))"
    days = subprocess.run([sys.executable, "-c", looks], env=faults, capture_output=True, text=True, check=True).stdout.split()
    assert max(map(int, days)) - min(map(int, days)) > 100_000
    options = (*OPTIONS, "--no-profile")  # which torch takes by that clock: rows are said to have none
    done = bench("run", "-s", file, "-o", tmp_path / "out", *options, "--save-every", "0.05", env=faults)
    assert (done.returncode, NEWS.sub("", done.stderr)) == (0, "")
    assert outcome(tmp_path / "out") == whole
    again = bench("run", "-s", file, "-o", tmp_path / "out", *options, env=faults)
    assert (again.returncode, again.stderr) == (0, ""), "nothing is run again"


@pytest.mark.fault("files cannot be locked (ENOLCK, ENOSYS)")
@pytest.mark.parametrize(
    "error", [pytest.param(errno.ENOLCK, id="ENOLCK"), pytest.param(errno.ENOSYS, id="ENOSYS", marks=pytest.mark.slow)]
)
def test_a_disk_without_locks_is_refused_before_anything_starts(file: Path, tmp_path: Path, error: int) -> None:
    done = bench("run", "-s", file, "-o", tmp_path / "out", *OPTIONS, env=environment(tmp_path, flock=error))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"latentbench: cannot lock {tmp_path}/out/")
    assert os.strerror(error) in line
    assert line.endswith("; choose an --out on a disk with locks; python -m bench doctor tries one")
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


@pytest.mark.fault("no memory for what a run asks torch or numpy for")
@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_a_run_without_memory_fails_with_its_sizes(tmp_path: Path, library: str) -> None:
    """4 TiB are more than any address space here may have; the run says what it is made of, and the others go on."""
    rows = f'[methods.greedy]\nlibrary = "{library}"\n[methods.ae]\n'
    file = suite(tmp_path / "suite", rows, steps=20, plugin=PACED)
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--no-profile", *OPTIONS)
    resource.prlimit(started.pid, resource.RLIMIT_AS, (2**40, 2**40))
    result = started.wait()
    assert result.code == 1
    (line,) = result.err.splitlines()
    sizes = f"batch_size 100, latent_dim 2, {records(tmp_path)['ae/0']['metrics']['parameter_count']['value']:,} parameters"
    amount = {"torch": "4398046511104 bytes", "numpy": "4.00 TiB"}[library]
    assert line == (
        f"greedy seed 0: failed: out of memory for {amount} more ({sizes}); lower batch_size, or have fewer runs at a time: --jobs 1"
    )
    assert {name: record["status"] for name, record in records(tmp_path).items()} == {"greedy/0": "failed", "ae/0": "done"}
    assert "plugin.py" in files(tmp_path, "error.txt")["greedy/0"].read_text(encoding="utf-8")


@pytest.mark.fault("a run hangs in C with the interpreter's lock, with one worker and with two")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_hangs_is_given_up_and_the_others_go_on(tmp_path: Path, jobs: int, record_property: Property) -> None:
    """Deep in a C function that holds the interpreter's lock, so that no thread of Python could notice. Tried again by the next command."""
    file = suite(tmp_path / "suite", "[methods.hanging]\n[methods.ae]\n", seeds=2, steps=100, plugin=PACED)
    options = ("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", jobs, "--limit", 8)
    for _ in range(2 if jobs == 1 else 1):
        result = Started(tmp_path, *options).wait(200)
        says = [f"hanging seed {seed}: failed: no sign of life for 8 s; error.txt says where" for seed in (0, 1)]
        assert (result.code, sorted(result.err.splitlines())) == (1, says)
        found = {name: record["status"] for name, record in records(tmp_path).items()}
        assert found == {"hanging/0": "failed", "hanging/1": "failed", "ae/0": "done", "ae/1": "done"}
        for path in (files(tmp_path, "error.txt")[f"hanging/{seed}"] for seed in (0, 1)):
            assert "plugin.py" in path.read_text(encoding="utf-8")
    assert not list(tmp_path.rglob("stalled.txt"))
    say(record_property, 4 if jobs == 1 else 2)


def test_status_says_how_far_a_run_is_and_when_it_said_so(tmp_path: Path) -> None:
    file = suite(tmp_path / "suite", "[methods.hanging]\n", steps=10_000, plugin=PACED)
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--no-profile", *OPTIONS)
    try:
        until(lambda: ", 0 %" in cli("status", file, "-o", tmp_path).out or ", 1 %" in cli("status", file, "-o", tmp_path).out, "a share")
        (holder,) = tmp_path.rglob("lock.holder")
        os.utime(holder, (time.time() - 600, time.time() - 600))
        assert ", no news for 10 min" in cli("status", file, "-o", tmp_path).out
    finally:
        started.kill()


@pytest.mark.fault("checkpoints of two runs are swapped")
def test_a_checkpoint_in_another_runs_place_is_not_gone_on_with(file: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    """Swapped folders: its checksum is right, what it is of is not."""
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--methods", "paced", *OPTIONS)
    until(lambda: files(tmp_path, "checkpoint.pt"), "a checkpoint")
    started.kill()
    (path,) = files(tmp_path, "checkpoint.pt").values()
    assert cli("run", "-s", file, "-o", tmp_path / "other", "--methods", "ae", "--no-profile", *OPTIONS).code == 0
    (record,) = files(tmp_path / "other", "record.json").values()
    record.unlink()
    record.with_name("checkpoint.pt").write_bytes(path.read_bytes())
    result = cli("run", "-s", file, "-o", tmp_path / "other", *OPTIONS)
    assert result.code == 0
    assert "checkpoint.pt is not gone on with" in result.err
    assert outcome(tmp_path / "other") == whole
