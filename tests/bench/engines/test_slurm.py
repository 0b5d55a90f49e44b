"""Cells as a job array of a real Slurm with two nodes on this machine: preempted jobs go on, Ctrl-C cancels, a lost job is a failure.

Marker `slurm`; needs root, the extra `slurm`, and Debian's packages slurm-wlm and munge.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import NEWS, cli, files, leftovers, outcome, records, suite, sweep_on, until
from page_commands import commands

from bench.engines.choose import engine
from bench.suites import reader

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tests" / "support" / "slurm_cluster.sh"
PLUGIN = """
import time
from dataclasses import dataclass, replace
from pathlib import Path

from models.vae import ae

GO = Path(__file__).with_name("go")


@dataclass
class Pause:
    "Once it has gone far enough for a checkpoint, it waits until it is told to go on."
    steps = 0
    name = "pause"

    def __call__(self, draw, prior):
        self.steps += 1
        while self.steps > 60 and not GO.exists():
            time.sleep(0.05)
        return 0.0 * draw.z.sum()


def paced(dim):
    "Takes its time."
    return replace(ae(dim), regularisers=((1.0, Pause()),))

METHODS = [paced]
"""
MEASURED = ("rec_sse_test",)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cluster, up."""
    pytest.importorskip("submitit")
    if os.geteuid() or not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))):
        pytest.skip("needs root and Debian's packages slurm-wlm and munge")
    folder = tmp_path_factory.mktemp("slurm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            subprocess.run([SCRIPT, "start", folder], check=True, timeout=120)
            yield
        finally:
            subprocess.run(["scancel", "--user=root"], check=False)
            subprocess.run([SCRIPT, "stop", folder], check=True, timeout=60)


def started(file: Path, out: Path, *options: str) -> "subprocess.Popen[str]":
    """`run --engine slurm` in a process of its own."""
    return sweep_on("slurm", file, out, "--cluster", "slurm_partition=low", "--cluster", "timeout_min=10", *options)


def said(*command: str) -> str:
    """What one of Slurm's commands says."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.fault("an array of Slurm is preempted")
def test_an_array_that_is_preempted_goes_on_and_completes(tmp_path: Path, slurm: None) -> None:
    file = suite(tmp_path / "suite", "[methods.paced]\n[methods.ae]\n", seeds=2, steps=100, plugin=PLUGIN, metrics=MEASURED)
    out, alone = tmp_path / "out", tmp_path / "alone"
    with started(file, out) as command:
        until(lambda: files(out, "checkpoint.pt"), "a checkpoint", 200)
        assert "running by process" in cli("status", file, "-o", out).out
        said("sbatch", "--partition=high", "--nodes=2", "--output=/dev/null", "--wrap=sleep 3")
        until(lambda: "Restarts=1" in said("scontrol", "show", "jobs"), "a preempted job", 120)
        assert len(files(out, "record.json")) < 4
        (file.parent / "go").touch()
        _, news = command.communicate(timeout=400)
    assert (command.returncode, NEWS.sub("", news)) == (0, ""), news
    assert len(NEWS.findall(news)) == 4
    assert cli("run", "-s", file, "-o", alone, "--no-profile", "--jobs", 1).code == 0
    assert outcome(out) == outcome(alone)
    assert list(leftovers(out)) == []


@pytest.mark.fault("Ctrl-C for an array of Slurm")
def test_ctrl_c_cancels_the_array_and_the_same_command_goes_on(tmp_path: Path, slurm: None) -> None:
    file = suite(tmp_path / "suite", "[methods.paced]\n", seeds=3, steps=100, plugin=PLUGIN, metrics=MEASURED)
    out, alone = tmp_path / "out", tmp_path / "alone"
    with started(file, out) as command:
        until(lambda: files(out, "checkpoint.pt"), "a checkpoint", 200)
        command.send_signal(signal.SIGINT)
        _, news = command.communicate(timeout=60)
    assert command.returncode == 130, news
    assert news.splitlines()[-1] == "latentbench: interrupted; the same command goes on from the last checkpoint"
    until(lambda: not said("squeue", "--noheader", "--name=tiny"), "an empty queue", 60)
    (file.parent / "go").touch()
    with started(file, out) as command:
        command.communicate(timeout=300)
    assert command.returncode == 0
    assert cli("run", "-s", file, "-o", alone, "--no-profile", "--jobs", 1).code == 0
    assert outcome(out) == outcome(alone)


def test_the_commands_of_the_page(tmp_path: Path, slurm: None) -> None:
    """As docs/cluster.md has them, but for the partition, the suite and its number of cells."""
    file = suite(tmp_path, "[methods.ae]\n[methods.wae_gan]\nwidth = 32\n", steps=20, metrics=MEASURED)
    names = {"--suite digits": f"--suite {file}", "cell digits": f"cell {file}", "0-59": "0-1", "PARTITION": "low"}
    by_engine, array, board = commands("cluster.md", "Slurm", **names)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    for folder, lines in (("engine", [by_engine]), ("array", [array, board])):
        (tmp_path / folder).mkdir()
        for line in lines:
            where = tmp_path / folder
            done = subprocess.run(
                ["bash", "-c", line], cwd=where, env=environment, capture_output=True, text=True, timeout=300, check=False
            )
            assert (done.returncode, NEWS.sub("", done.stderr)) == (0, ""), line
        assert (tmp_path / folder / "leaderboards" / "tiny.md").exists()
    assert outcome(tmp_path / "engine") == outcome(tmp_path / "array")


@pytest.mark.fault("a job of Slurm is cancelled by somebody else")
def test_a_job_that_somebody_ends_is_a_failed_run(tmp_path: Path, slurm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.engines import slurm_array
    from bench.runs.context import context_of
    from bench.runs.resolve import resolve
    from bench.runs.settings import Settings

    file = suite(tmp_path / "suite", "[methods.paced]\n[methods.ae]\n", steps=100, plugin=PLUGIN, metrics=MEASURED)
    monkeypatch.setattr(slurm_array, "LOST", 2.0)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    context = context_of(Settings(tmp_path, tmp_path, "cpu", save_every=0), "tiny", tuple(reader.read(str(file)).plugins))
    runs = [resolve(run, context.catalogue) for run in reader.read(str(file)).runs("cpu")]
    heard: list[str] = []

    def tell(event: object) -> None:
        heard.append(str(event))
        if len(heard) == 1:  # the first news is of the row that is fast, or a share of the other
            said("scancel", "--name=tiny")

    engine("slurm", {"slurm_partition": "low", "timeout_min": 10})(runs, context, False, tell)
    statuses = {name: record["status"] for name, record in records(tmp_path).items()}
    assert statuses["paced/0"] == "failed"
    assert "before the run's end" in records(tmp_path)["paced/0"]["error"]
    assert list((tmp_path / "runs" / "tiny" / ".slurm").glob("*_log.err"))
