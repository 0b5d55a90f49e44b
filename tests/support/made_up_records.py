"""Records as `bench.runs.run` writes them, with values made up by the tests of tables."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.leaderboard.index import index, indexed
from bench.leaderboard.page.board import Board, board
from bench.leaderboard.rows import rows_of
from bench.suites.schema import Budget, Entry, Suite

SUITE = Suite(
    name="digits",
    question="Which regulariser costs how much?",
    hardware="2 CPU cores",
    expected_time="4 minutes",
    dataset="digits",
    network="mlp",
    latent_dim=8,
    batch_size=100,
    budget=Budget(epochs=60),
    seeds=5,
    methods=(Entry("vae", "vae"), Entry("vcae", "vcae", {"weight": 0.5}), Entry("ae", "ae", batch_size=50), Entry("wae_mmd", "wae_mmd")),
)
MACHINE = {"commit": "0123456789abcdef", "dirty": False, "python": "3.12.3", "torch": "2.11.0", "device": "a CPU", "threads": 1, "jobs": 2}


def metric(value: float | None, protocol: str = "test images; v1", **other: Any) -> dict[str, Any]:
    entry = {"value": value, "unit": "SSE", "better": "lower", "group": "reconstruction", "protocol": protocol}
    return {**entry, **({} if value is not None else {"reason": "no density"}), **other}


def record(label: str, seed: int, metrics: Mapping[str, Any], suite: Suite = SUITE, device: str = "cpu", **other: Any) -> dict[str, Any]:
    """A record as bench.runs.run writes it."""
    run = next(run for run in suite.runs(device) if run.label == label)
    recipe = {"posterior": "DiagonalGaussian", "cost": "squared_error", "regularisers": "0.5 × kl", "prior": "StandardNormal"}
    entry = {
        "schema": 1,
        "suite": suite.name,
        "label": label,
        "seed": seed,
        "smoke": False,
        "key": run.key(),
        "row_key": run.row_key(),
        "status": "done",
        "error": None,
        "config": {**run.config(), "recipe": recipe},
        "spent": {"steps": 900, "epochs": 60.0, "images": 90_000},
        "hashes": {"data": "d" * 64, "weights": "w" * 64, "code": "c" * 64},
        "environment": MACHINE,
        "metrics": dict(metrics),
        "cost": {"train_seconds": metric(2.5 + 0.1 * seed, "training only", unit="s", group="cost")},
        "times": {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:01:00+00:00"},
    }
    return {**entry, **other}


def page_board(suite: Suite, records: Iterable[dict[str, Any]], profiles: Iterable[dict[str, Any]] = ()) -> Board:
    """A suite's part of the page."""
    return board(suite, [row for row in rows_of(suite, records, profiles) if row.records or not row.stale])


def index_of(boards: Mapping[str, tuple[Suite, Iterable[dict[str, Any]]]]) -> str:
    """The index of boards, {name: (suite, records)}."""
    return index({name: indexed(name, suite, rows_of(suite, records, ())) for name, (suite, records) in boards.items()})


def lost(label: str, seed: int, status: str, error: str) -> dict[str, Any]:
    return record(label, seed, {}, status=status, error=error, spent=None, cost={}, hashes={"code": "c" * 64})
