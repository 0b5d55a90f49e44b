"""A run that is killed, whenever and however often, and started again ends bit for bit like one that never was."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import ROWS, Started, cli, files, leftovers, outcome, records, suite, until, whole_records

from bench.training.checkpoint import load_state

PACED = """
import time
from dataclasses import dataclass, replace
import torch
from torch import nn
from models.networks.mlp import mlp
from models.vae import ae

@dataclass(frozen=True)
class Pause:
    name = "pause"

    def __call__(self, draw, prior):
        time.sleep(0.002)
        return (draw.z * torch.randn(draw.z.shape, generator=draw.noise)).mean()

def paced(dim):
    "An autoencoder that takes its time and draws from the run's noise."
    return replace(ae(dim), regularisers=((1.0, Pause()),))

def dropping(shape, dim, outputs):
    "Layers that draw from torch's own random stream, and that have buffers."
    encoder, decoder = mlp(shape, dim, outputs)
    return nn.Sequential(encoder, nn.BatchNorm1d(outputs * dim), nn.Dropout(0.2)), decoder

METHODS, NETWORKS = [paced], [dropping]
"""
PACED_ROWS = f"""{ROWS}
[methods.paced]
network = "dropping"
"""
OPTIONS = ("--no-profile", "--jobs", 1, "--save-every", 0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), PACED_ROWS, steps=300, plugin=PACED)


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the suite leaves if nobody disturbs it."""
    out = tmp_path_factory.mktemp("whole")
    assert cli("run", "-s", file, "-o", out, *OPTIONS, "--save-every", 30).code == 0
    return outcome(out)


def steps_kept(out: Path) -> dict[str, int]:
    """The step of every checkpoint."""
    contents = {run: path.read_bytes().partition(b"\n")[2] for run, path in files(out, "checkpoint.pt").items()}
    return {run: int(load_state(content, torch.device("cpu"))["step"]) for run, content in contents.items()}


def finish(file: Path, out: Path, whole: dict[str, Any]) -> None:
    """The same command goes on and ends as if nothing had happened."""
    result = cli("run", "-s", file, "-o", out, *OPTIONS)
    assert (result.code, result.err) == (0, "")
    assert outcome(out) == whole
    assert list(leftovers(out)) == []


def some_checkpoint(out: Path) -> bool:
    return bool(files(out, "checkpoint.pt"))


def evaluated(out: Path) -> bool:
    """Weights are written between training and record."""
    return bool(files(out, "weights.safetensors"))


@pytest.mark.fault("SIGKILL at chosen moments: checkpoints, weights, a later run")
@pytest.mark.parametrize(
    ("moment", "delay"),
    [(some_checkpoint, 0.0), (some_checkpoint, 0.4), (evaluated, 0.0), (evaluated, 0.7)],
    ids=["first checkpoint", "some blocks later", "first weights", "in a later run"],
)
def test_a_killed_suite_ends_as_if_it_had_not_been(
    file: Path, whole: dict[str, Any], tmp_path: Path, moment: Callable[[Path], bool], delay: float
) -> None:
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, *OPTIONS)
    until(lambda: moment(tmp_path), "the moment to kill it")
    time.sleep(delay * random.Random(f"{moment} {delay}").random())
    started.kill()
    assert len(files(tmp_path, "record.json")) < 3
    for step in steps_kept(tmp_path).values():
        assert 0 < step <= 300
    finish(file, tmp_path, whole)


@pytest.mark.fault("SIGKILL twice in one run")
def test_a_suite_killed_twice_goes_on_from_its_checkpoints(file: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    reached = []
    for _ in range(2):
        before = reached[-1] if reached else 0
        started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--methods", "paced", *OPTIONS)
        until(lambda before=before: max(steps(tmp_path), default=0) > before, "a later checkpoint")
        started.kill()
        reached += steps_kept(tmp_path).values()
    assert 0 < reached[0] < reached[1] < 300
    finish(file, tmp_path, whole)


def steps(out: Path) -> list[int]:
    """Of the checkpoints that are there; they may vanish while we look."""
    try:
        return list(steps_kept(out).values())
    except FileNotFoundError:
        return []


@pytest.mark.fault("SIGKILL while Python starts, and in training")
@pytest.mark.slow
def test_a_plain_start_killed_while_it_starts_and_one_killed_while_it_trains(file: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "run", "-s", file, "-o", tmp_path, *map(str, OPTIONS)]
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    for ready in (lambda: True, lambda: some_checkpoint(tmp_path)):
        with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, env=environment) as process:
            time.sleep(random.Random(7).uniform(0.1, 0.6))
            until(ready, "a checkpoint", 120)
            os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    assert some_checkpoint(tmp_path)
    finish(file, tmp_path, whole)


def test_a_checkpoint_is_used_and_not_only_kept(file: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    """A mark on its curve and a clock set forward are there in the end: what was trained before is not trained again."""
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--methods", "paced", *OPTIONS)
    until(lambda: max(steps(tmp_path), default=0) >= 100, "100 steps")
    started.kill()
    (path,) = files(tmp_path, "checkpoint.pt").values()
    state = load_state(path.read_bytes().partition(b"\n")[2], torch.device("cpu"))
    state["curve"][0]["mark"], state["seconds"] = 7.0, state["seconds"] + 1000
    torch.save(state, tmp_path / "state")
    payload = (tmp_path / "state").read_bytes()
    path.write_bytes(hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
    assert cli("run", "-s", file, "-o", tmp_path, "--methods", "paced", *OPTIONS).code == 0
    (record,) = whole_records(tmp_path).values()
    of_whole = whole["records"]["paced/0"]
    assert record["spent"] == of_whole["spent"] == {"steps": 300, "epochs": 300 / 14, "images": 30_000}
    assert record["hashes"]["weights"] == of_whole["hashes"]["weights"]
    assert 1000 < record["cost"]["train_seconds"]["value"] < 1100
    curves = [
        [json.loads(line) for line in curve.decode().splitlines()]
        for curve in (files(tmp_path, "curve.jsonl")["paced/0"].read_bytes(), whole["curve.jsonl"]["paced/0"])
    ]
    assert curves[0][0].pop("mark") == 7.0
    assert curves[0] == curves[1]


@pytest.mark.fault("Ctrl-C")
def test_interrupted_by_ctrl_c(file: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    started = Started(tmp_path, "run", "-s", file, "-o", tmp_path, "--methods", "paced", *OPTIONS)
    until(lambda: some_checkpoint(tmp_path), "a checkpoint")
    started.signal(signal.SIGINT)
    result = started.wait()
    assert result.code == 130
    assert result.line().startswith("interrupted; the same command goes on")
    assert records(tmp_path) == {}
    finish(file, tmp_path, whole)
