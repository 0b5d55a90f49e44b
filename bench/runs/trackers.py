"""Trackers that follow runs beside the records, `--log tensorboard,wandb`: each a package of its own, none needed, all of them offline.

tensorboard    event files in the run's folder, for `tensorboard --logdir runs`
wandb          an offline run in the run's folder, for `wandb sync`; WANDB_MODE=online sends it at once
mlflow         into mlflow.db beside the suite's runs, for `mlflow ui`; MLFLOW_TRACKING_URI names a server or file of one's own
trackio        into TRACKIO_DIR, or where trackio keeps its files, for `trackio show`

A tracker gets every row of the curve while the run trains, and its metrics when it has ended. One that fails costs itself, not the run.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from filelock import FileLock

from bench.errors import UserError, in_a_line, unknown

Row = Mapping[str, float]  # {"step": ..., "player.term": ...}
PROJECT = "latentbench"


class Followed(NamedTuple):
    """The run that a tracker follows."""

    suite: str
    name: str  # row and seed
    key: str
    folder: Path
    config: Mapping[str, Any]


class Tracker(Protocol):
    """What a package must do here."""

    def log(self, row: Row) -> None:
        """Values at a step."""

    def end(self, step: int, metrics: Mapping[str, float], status: str) -> None:
        """The run has ended; its metrics by name."""


class TensorBoard:
    """Event files by torch's own writer; a run that goes on begins them anew, with its whole curve."""

    def __init__(self, run: Followed):
        from torch.utils.tensorboard import SummaryWriter  # needs the package tensorboard

        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self.writer = SummaryWriter(str(folder), flush_secs=5)
        self.writer.add_text("config", "\n".join(f"    {name}: {value}" for name, value in sorted(run.config.items())))

    def log(self, row: Row) -> None:
        """Values at a step."""
        for name, value in terms(row):
            self.writer.add_scalar(f"train/{name}", value, int(row["step"]))

    def end(self, step: int, metrics: Mapping[str, float], status: str) -> None:
        """The run has ended."""
        for name, value in metrics.items():
            self.writer.add_scalar(f"metrics/{name}", value, step)
        self.writer.add_text("status", status)
        self.writer.close()


class Wandb:
    """An offline run of Weights & Biases."""

    def __init__(self, run: Followed):
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self.run = wandb.init(
            project=PROJECT,
            group=run.suite,
            name=run.name,
            dir=str(run.folder),
            config=dict(run.config),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True),
        )

    def log(self, row: Row) -> None:
        """Values at a step."""
        self.run.log({f"train/{name}": value for name, value in terms(row)}, step=int(row["step"]))

    def end(self, step: int, metrics: Mapping[str, float], status: str) -> None:
        """The run has ended."""
        self.run.summary.update({**{f"metrics/{name}": value for name, value in metrics.items()}, "status": status})
        self.run.finish(exit_code=int(status != "done"))


class Trackio:
    """A run of trackio, in a project of the suite's name."""

    def __init__(self, run: Followed):
        import trackio

        self.run = trackio.init(project=f"{PROJECT}-{run.suite}", name=f"{run.name} {run.key[:6]}", config=dict(run.config), embed=False)

    def log(self, row: Row) -> None:
        """Values at a step."""
        self.run.log({f"train/{name}": value for name, value in terms(row)}, step=int(row["step"]))

    def end(self, step: int, metrics: Mapping[str, float], status: str) -> None:
        """The run has ended."""
        self.run.log({f"metrics/{name}": value for name, value in metrics.items()}, step=step)
        self.run.finish()


class MLflow:
    """A run of MLflow in an experiment of the suite's name; a run that goes on begins another, with its whole curve."""

    def __init__(self, run: Followed):
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # else it tells of every table that it makes
        where = os.environ.get("MLFLOW_TRACKING_URI")
        file = (run.folder.parents[1] / "mlflow.db").absolute()
        with nullcontext() if where else FileLock(f"{file}.lock"):  # workers would make the tables at the same time
            self.client = MlflowClient(where or f"sqlite:///{file}")
            self.run_id = self.create(run, None if where else file.with_name("mlflow-artifacts").as_uri())
        for name, value in flat(run.config):
            self.client.log_param(self.run_id, name, value)

    def create(self, run: Followed, artifacts: str | None) -> str:
        """Begin a run; -> its id."""
        experiment = self.client.get_experiment_by_name(run.suite)
        of = experiment.experiment_id if experiment else self.client.create_experiment(run.suite, artifacts)
        return str(self.client.create_run(of, run_name=run.name, tags={"latentbench.key": run.key}).info.run_id)

    def log(self, row: Row) -> None:
        """Values at a step."""
        self.batch({f"train/{name}": value for name, value in terms(row)}, int(row["step"]))

    def end(self, step: int, metrics: Mapping[str, float], status: str) -> None:
        """The run has ended."""
        self.batch({f"metrics/{name}": value for name, value in metrics.items()}, step)
        self.client.set_terminated(self.run_id, "FINISHED" if status == "done" else "FAILED")

    def batch(self, values: Mapping[str, float], step: int) -> None:
        """Values at a step, at once."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self.client.log_batch(self.run_id, [Metric(name, value, now, step) for name, value in values.items()])


KNOWN: dict[str, Callable[[Followed], Tracker]] = {"tensorboard": TensorBoard, "wandb": Wandb, "mlflow": MLflow, "trackio": Trackio}


def check(names: Iterable[str]) -> None:
    """UserError for a tracker that there is not, or whose package is not installed."""
    for name in names:
        if name not in KNOWN:
            raise UserError(f"--log: {unknown('tracker', name, KNOWN)}")
        if find_spec(name) is None:
            raise UserError(f"--log {name}: its package is not installed; pip install 'latentbench[{name}]'")


class Trackers:
    """The trackers of one run."""

    def __init__(self, names: Iterable[str], run: Followed, note: Callable[[str], None] | None):
        self.note, self.step = note, 0
        self.opened: dict[str, Tracker] = {}
        for name in names:
            self.guarded(name, partial(self.open, name, run))

    def open(self, name: str, run: Followed) -> None:
        """Begin with a tracker."""
        self.opened[name] = KNOWN[name](run)

    def log(self, rows: Iterable[Row]) -> None:
        """Rows of the curve, in their order."""
        for row in rows:
            self.step = int(row["step"])
            for name, tracker in list(self.opened.items()):
                self.guarded(name, partial(tracker.log, row))

    def end(self, metrics: Mapping[str, float], status: str) -> None:
        """The run has ended."""
        for name, tracker in list(self.opened.items()):
            self.guarded(name, partial(tracker.end, self.step, metrics, status))
        self.opened.clear()

    def guarded(self, name: str, do: Callable[[], object]) -> None:
        """Do it; a tracker that fails is left out from then on, and said to be."""
        try:
            do()
        except Exception as error:  # each package raises kinds of its own; hours of training are worth more than their curve there
            self.opened.pop(name, None)
            if self.note:
                self.note(f"{name} fails ({in_a_line(error)}); the run goes on without it")


def terms(row: Row) -> list[tuple[str, float]]:
    """The row's values but its step, as `autoencoder/loss`."""
    return [(name.replace(".", "/"), value) for name, value in row.items() if name != "step"]


def flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """The values of a configuration as texts, by names such as `optimizer.lr`."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
