"""Whole runs of the digits suite on a pretended GPU: data, training, density, metrics and files, with the values of the CPU."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from harness import METRICS
from pretended_gpu import HERE, Device, pretended_machine
from torch import Tensor, nn

from bench.runs import together
from bench.runs.context import context_of
from bench.runs.resolve import resolve
from bench.runs.run import WEIGHTS, execute
from bench.runs.settings import Settings
from bench.suites import reader
from bench.training.gathered import GatheringTraining

ROWS = ("wae_gan", "vcae")  # two players; a batch of which a covariance is taken
OVERRIDES = ("budget.epochs=2", f"metrics={[*METRICS, 'frechet_pixels_pz', 'frechet_pixels_qz']}")


def ran(label: str, out: Path, device: Device | None) -> dict[str, Any]:
    """The record of seed 0 of that row; device: the pretended one, where it is there that the run is made."""
    suite = reader.read("digits", OVERRIDES, (label,))
    context = context_of(Settings(out, Path()), suite.name, ())
    if device:
        context.device = HERE
    return execute(resolve(suite.runs("cpu")[0], context.catalogue), context)


def watched(step: Callable[..., Any], device: Device) -> Callable[..., Any]:
    """A step of players, refused as soon as it waits for the device: such a step is no CUDA graph."""

    def taken(*arguments: Any) -> Any:
        device.debug, device.recorded = 2, True
        try:
            return step(*arguments)
        finally:
            device.debug, device.recorded = 0, False

    return taken


@cache
def records(label: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The same run on the CPU and there, and how many of its steps had their batches' places there; each was watched."""
    here, steps = ran(label, folder / "here", None), 0
    with pytest.MonkeyPatch.context() as patch, pretended_machine() as device:
        plain = GatheringTraining.players_step

        def step(training: GatheringTraining, streams: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
            nonlocal steps
            steps += all(map(device.has, streams))
            return watched(plain, device)(training, streams, moving)

        patch.setattr(GatheringTraining, "players_step", step)
        patch.setattr(together, "trainer_on", lambda where: GatheringTraining)
        there = ran(label, folder / "there", device)
    return here, there, steps


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both write."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("label", ROWS)
def test_a_run_ends_there_as_on_the_cpu(label: str, folder: Path) -> None:
    here, there, steps = records(label, folder)
    assert (there["status"], there["error"]) == ("done", None), there["error"]
    assert steps == there["spent"]["steps"] > 0
    assert there["hashes"]["weights"] == here["hashes"]["weights"], "the same operations on the same numbers"
    assert there["hashes"]["data"] == here["hashes"]["data"]
    assert there["metrics"].keys() == here["metrics"].keys()
    for name, entry in here["metrics"].items():
        found = there["metrics"][name]
        assert found.get("reason") == entry.get("reason")
        assert found["value"] == (entry["value"] if entry["value"] is None else pytest.approx(entry["value"], rel=1e-5, abs=1e-6)), name


@pytest.mark.parametrize("label", ROWS)
def test_what_a_run_leaves_is_what_it_leaves_on_the_cpu(label: str, folder: Path) -> None:
    records(label, folder)
    found = [{path.name: path for path in (folder / place / "runs").rglob(f"{label}/0-*/*")} for place in ("here", "there")]
    assert WEIGHTS in found[0]
    assert found[0].keys() == found[1].keys()


def test_a_method_that_stays_on_the_host_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "to", lambda module, *places: module)
    with pretended_machine() as device:
        record = ran("vcae", tmp_path, device)
    assert record["status"] == "failed"
    assert "mixed: " in record["error"]
