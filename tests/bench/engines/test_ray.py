"""Cells on a real Ray cluster of three nodes on this machine: a node is killed, a cell crashes twice, results lie elsewhere, Ctrl-C.

Marker `ray`; needs the extra `ray`.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import NEWS, cli, files, group_of, leftovers, outcome, pids, suite, sweep_on, until
from page_commands import commands

from bench.engines.choose import engine
from bench.errors import UserError
from bench.records.store import Store
from bench.suites import reader

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
PLUGIN = """
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from models.vae import ae

HERE = Path(__file__).parent


@dataclass
class Pause:
    "Once it has gone far enough for a checkpoint, it waits until it is told to go on."
    steps = 0
    name = "pause"

    def __call__(self, draw, prior):
        self.steps += 1
        while self.steps > 60 and not (HERE / "go").exists():
            time.sleep(0.05)
        return 0.0 * draw.z.sum()


@dataclass
class Crash:
    "Ends its process the first two times that anyone comes so far."
    name = "crash"

    def __call__(self, draw, prior):
        died = len(list(HERE.glob("died*")))
        if len(draw.z) > 2 and died < 2:
            (HERE / f"died{died}").touch()
            os._exit(1)
        return 0.0 * draw.z.sum()


def paced(dim):
    "Takes its time."
    return replace(ae(dim), regularisers=((1.0, Pause()),))

def crashing(dim):
    "Ends its process, twice."
    return replace(ae(dim), regularisers=((1.0, Crash()),))

METHODS = [paced, crashing]
"""
# eight rows of three seeds: 24 cells; the row that crashes has one width of its own, so that each row is another
ROWS = "".join(f"[methods.ae{dim}]\nmethod = 'ae'\nlatent_dim = {dim}\n" for dim in range(2, 7))
ROWS += "[methods.paced]\n[methods.crashing]\nlatent_dim = 3\n[methods.wae_gan]\nwidth = 32\n"
MEASURED = ("rec_sse_test",)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes, each with a raylet of its own and room for one cell; nothing of them is left."""
    before, roots = descendants(os.getpid()), set[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_raylet_start_wait_time_s", "240")
        utils = pytest.importorskip("ray.cluster_utils")
        room = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        found = utils.Cluster(initialize_head=True, head_node_args=room | {"include_dashboard": False})
        try:
            found.others = [found.add_node(**room) for _ in range(2)]
            roots = descendants(os.getpid()) - before
            yield found
        finally:
            ours = roots.union(*map(descendants, roots))
            found.shutdown()
            until(lambda: not any(map(group_of, ours)), "the end of the cluster", 60)


def descendants(pid: int) -> set[int]:
    """Processes that a process started, and those that these started."""
    parents = {}
    for other in pids():
        with contextlib.suppress(OSError):
            parents[other] = int(Path(f"/proc/{other}/stat").read_text().rpartition(")")[2].split()[1])
    found, more = set[int](), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more}
    return found - {pid}


def started(file: Path, out: Path, cluster: Any, *options: str, before: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """`run --engine ray` in a process of its own."""
    return sweep_on("ray", file, out, "--cluster", f"address={cluster.address}", *options, before=before)


@pytest.mark.fault("a node of a Ray cluster is killed, and a cell crashes twice")
def test_a_suite_of_24_cells_survives_a_lost_node_and_a_cell_that_crashes_twice(tmp_path: Path, cluster: Any) -> None:
    file = suite(tmp_path / "suite", ROWS, seeds=3, steps=20, plugin=PLUGIN, metrics=MEASURED)
    out, alone = tmp_path / "out", tmp_path / "alone"
    with started(file, out, cluster) as command:
        until(lambda: len(files(out, "record.json")) >= 4, "some records", 400)
        cluster.remove_node(cluster.others[0], allow_graceful=False)  # SIGKILL for its raylet, and so the end of its workers
        before = len(files(out, "record.json"))
        said, news = command.communicate(timeout=400)
    assert (command.returncode, NEWS.sub("", news)) == (0, ""), news
    assert before < 24, "the node was lost while cells were left"
    assert sorted(path.name for path in file.parent.glob("died*")) == ["died0", "died1"]
    assert len(NEWS.findall(news)) == 24
    assert "24 of 24" in news
    kept = Store(out, "tiny").records()
    assert len({(record["label"], record["seed"]) for record in kept}) == len(kept) == 24
    assert cli("run", "-s", file, "-o", alone, "--no-profile", "--jobs", 1).code == 0
    assert outcome(out) == outcome(alone)
    assert list(leftovers(out)) == []
    assert re.search(r"^ae2 +3/3 done", said, re.MULTILINE)
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0


def test_records_come_home_from_workers_that_do_not_see_the_folder(tmp_path: Path, cluster: Any) -> None:
    """The command has a file system of its own there, which the raylets, started before, have not."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system of its own")
    file = suite(tmp_path / "suite", "[methods.ae]\n[methods.wae_gan]\nwidth = 32\n", seeds=2, steps=20, metrics=MEASURED)
    out, alone, kept = tmp_path / "out", tmp_path / "alone", tmp_path / "kept"
    out.mkdir()
    script = f'mount -t tmpfs none {out} || exit 77; "$@"; code=$?; cp -r {out} {kept}; exit $code'
    with started(file, out, cluster, before=("unshare", "-m", "bash", "-c", script, "bash")) as command:
        _, news = command.communicate(timeout=300)
    assert (command.returncode, NEWS.sub("", news)) == (0, ""), news
    assert not any(out.iterdir()), "the workers put nothing there"
    assert cli("run", "-s", file, "-o", alone, "--no-profile", "--jobs", 1).code == 0
    assert outcome(kept) == outcome(alone)
    assert list(leftovers(kept)) == []


@pytest.mark.fault("Ctrl-C for a suite on Ray")
def test_ctrl_c_cancels_what_was_queued_and_the_same_command_goes_on(tmp_path: Path, cluster: Any) -> None:
    rows = "[methods.paced]\n[methods.ae]\n"
    file = suite(tmp_path / "suite", rows, seeds=2, steps=100, plugin=PLUGIN, metrics=MEASURED)
    with started(file, tmp_path, cluster) as command:
        until(lambda: files(tmp_path, "checkpoint.pt"), "a checkpoint", 200)
        running = cli("status", file, "-o", tmp_path).out
        command.send_signal(signal.SIGINT)
        _, news = command.communicate(timeout=60)
    assert command.returncode == 130, news
    assert news.splitlines()[-1] == "latentbench: interrupted; the same command goes on from the last checkpoint"
    assert "running by process" in running
    store, runs = Store(tmp_path, "tiny"), reader.read(str(file)).runs("cpu")
    until(lambda: not any(store.holder(run) for run in runs), "workers to end", 60)
    (file.parent / "go").touch()
    alone = tmp_path / "alone"
    assert cli("run", "-s", file, "-o", alone, "--no-profile", "--jobs", 1).code == 0
    with started(file, tmp_path, cluster) as command:
        command.communicate(timeout=300)
    assert command.returncode == 0
    assert outcome(tmp_path) == outcome(alone)


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """As docs/cluster.md has them, but for the address and the suite; `--block` keeps what they start in sight."""
    pytest.importorskip("ray")
    suite(tmp_path, "[methods.ae]\n", steps=20, metrics=MEASURED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    head, other, run = commands("cluster.md", "Ray", **{"6379": port, "HOST": "127.0.0.1", "--suite digits": "--suite tiny.toml"})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    nodes = []
    try:
        for command in (head, other):
            nodes.append(
                subprocess.Popen(
                    [*shlex.split(command), "--num-cpus=1", "--object-store-memory=83886080", "--block"],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                )
            )
            until(lambda: reachable(int(port)), "the head", 60)
        done = subprocess.run(["bash", "-c", run], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False)
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)
    assert (done.returncode, NEWS.sub("", done.stderr)) == (0, "")
    assert (tmp_path / "leaderboards" / "tiny.md").exists()


def reachable(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.timeout(60)  # where nobody listens Ray itself looks for minutes
@pytest.mark.parametrize("parameter", ["adress=auto", "address=127.0.0.1:1", "address=ray://127.0.0.1:1", "address=127.0.0.1:99999"])
def test_a_cluster_that_is_none_is_one_line(tmp_path: Path, parameter: str) -> None:
    pytest.importorskip("ray")
    result = cli("run", "-s", suite(tmp_path, steps=5), "-o", tmp_path, "--engine", "ray", "--cluster", parameter, "--no-profile")
    assert result.code == 2
    assert result.line().startswith("--engine ray: ")
    assert list(tmp_path.rglob(".shared-*")) == []


def test_the_engine_is_found() -> None:
    pytest.importorskip("ray")
    assert callable(engine("ray", {}))
    with pytest.raises(UserError, match="did you mean 'ray'"):
        engine("rai", {})
