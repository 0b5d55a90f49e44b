"""Finished runs on disk: what their records say, and the methods that their weights make again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bench.errors import RunError, UserError, in_a_line
from bench.records.store import read_record
from bench.registry import Catalogue
from bench.runs.context import Context
from bench.runs.prepare import Prepared, prepare
from bench.runs.run import WEIGHTS
from bench.suites.schema import Budget, Density, Optimizer, Run


@dataclass(frozen=True)
class Trained:
    """A run that was trained: <out>/runs/<suite>/<label>/<seed>-<key>."""

    folder: Path
    plugins: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As a progress bar calls it."""
        return f"{self.folder.parent.name} seed {self.folder.name.partition('-')[0]}"

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.folder.name.partition("-")[0])

    def record(self) -> dict[str, Any]:
        """Its record; RunError unless it is that of a whole run with weights beside it."""
        record = read_record(self.folder)
        if record is None:
            raise RunError(f"{self.folder}: it has not finished, there is no record; go on with it")
        if record.get("smoke"):
            raise RunError(f"{self.folder}: a smoke run, which no leaderboard takes; train it whole")
        if record["status"] != "done":
            raise RunError(f"{self.folder}: it is {record['status']}; only finished runs are measured")
        if not (self.folder / WEIGHTS).is_file():
            raise RunError(f"{self.folder}: {WEIGHTS} is not there; delete its record.json, then train it again")
        return record

    def weights(self) -> dict[str, Tensor]:
        """Its weights by name; RunError where the file is not what was written."""
        return weights_in(self.folder / WEIGHTS)

    def prepared(self, record: Mapping[str, Any], tensors: Mapping[str, Tensor], context: Context) -> Prepared:
        """The method of the record's configuration with those weights; RunError where this code can make no such thing."""
        return remade(self.folder, record, tensors, self.plugins, context.catalogue, context.device)


def weights_in(file: Path) -> dict[str, Tensor]:
    """Weights by name; RunError where the file is not what was written."""
    try:
        return dict(safetensors.torch.load_file(file))
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{file}: damaged ({error}); delete the folder and train this run again") from None


def remade(
    where: Path, record: Mapping[str, Any], tensors: Mapping[str, Tensor], plugins: tuple[str, ...], known: Catalogue, device: torch.device
) -> Prepared:
    """The method of a record's configuration with those weights; RunError, which begins with `where`, where this code can make none."""
    try:
        prepared = prepare(run_of(record, plugins), known)
        prepared.load(tensors, device)
    except UserError as error:
        raise RunError(f"{where}: {error}") from None
    except RuntimeError as error:
        raise RunError(f"{where}: its weights do not fit the method as the code has it now: {in_a_line(error)}") from None
    return prepared


def run_of(record: Mapping[str, Any], plugins: tuple[str, ...]) -> Run:
    """The run that a record is of, with all its values as they were resolved; its key is not that of the suite file's run.

    UserError where the record does not say all of it.
    """
    try:
        config = dict(record["config"])
        same = ("method", "dataset", "network", "latent_dim", "batch_size", "held_out", "device", "smoke")
        return Run(
            **{name: record[name] for name in ("suite", "label", "seed")},
            **{name: config[name] for name in same},
            hyperparameters=given(config["hyperparameters"]),
            budget=Budget(**config["budget"]),
            optimizer=optimizer(config["optimizer"]),
            metrics=(),
            plugins=plugins,
            density=density(config["density"]) if "density" in config else None,
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"its record is none that this version can read ({in_a_line(error)})") from None


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments as a suite file would give them: one that is None was a default."""
    return {name: value for name, value in options.items() if value is not None}


def optimizer(table: Mapping[str, Any]) -> Optimizer:
    """An optimiser from the lists that JSON made of its tuples."""
    milestones = tuple((start, factor) for start, factor in table["milestones"])
    return Optimizer(**{**table, "betas": tuple(table["betas"]), "milestones": milestones})


def density(table: Mapping[str, Any]) -> Density:
    """A second stage from its resolved values."""
    budget, schedule = table.get("budget"), table.get("optimizer")
    return Density(table["model"], given(table["options"]), Budget(**budget) if budget else None, optimizer(schedule) if schedule else None)
