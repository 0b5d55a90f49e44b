"""Metrics of a run while it trains, at chosen shares of its budget: how good it is for the time it has had, `run --measure-at`.

They are measured of the weights as they are then, by the functions and random streams that measure a trained run, off the clock. Training
goes on as if nothing had happened: it ends with the same weights, bit for bit. A density that is fitted to the codes afterwards is not
there yet, so metrics of its samples have no value.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from bench.evaluation.evaluate import Evaluation, evaluate
from bench.records.store import PLACE, Store
from bench.runs.trackers import Trackers
from bench.suites.schema import Run
from bench.training.train import Progress
from metrics.metric import Metric


@dataclass
class Anytime:
    """Measures one run in the first stage of its training; called after each block of steps.

    A row of its file has the step, the share of the budget that is spent, the share that was asked for, the seconds of training, and the
    metrics that have a value, by their names in records.
    """

    store: Store
    run: Run
    shares: Collection[float]  # between 0 and 1
    metrics: Collection[Metric]
    evaluation: Callable[[], Evaluation]
    module: nn.Module  # all that is trained
    trackers: Trackers
    rows: list[Mapping[str, float]] = field(default_factory=list)
    before: float = 0.0  # the share that was spent when this was called last
    begun: bool = False  # whether this process has looked at what an earlier one left

    def __call__(self, progress: Progress) -> None:
        """Another block has been trained."""
        if not self.begun:
            self.begin(progress)
        due = [share for share in self.shares if self.before < share <= progress.share < 1]  # at 1 the record has it
        self.before = progress.share
        if not due:
            return
        with undisturbed(self.module):
            entries = evaluate(self.evaluation(), self.metrics)
        place = dict(zip(PLACE, (progress.step, progress.share, max(due), progress.seconds), strict=True))
        values = {name: float(entry["value"]) for name, entry in entries.items() if entry["value"] is not None}
        self.rows.append({**place, **values})
        self.store.save_anytime(self.run, self.rows)
        self.trackers.log([{"step": progress.step, **{f"measured.{name}": value for name, value in values.items()}}])

    def begin(self, progress: Progress) -> None:
        """Keep of an earlier process's rows those from before the checkpoint that training goes on from: of a fresh start none."""
        start = progress.curve[-2]["step"] if len(progress.curve) > 1 else 0
        found = self.store.anytime(self.run)
        self.rows = [row for row in found if row["step"] <= start]
        self.before = max((row["share"] for row in self.rows), default=0.0)
        self.begun = True
        if len(found) > len(self.rows):
            self.store.save_anytime(self.run, self.rows)


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """What measuring changes is as it was afterwards: the modes of modules, and torch's own random stream, which dropout draws from."""
    modes = [(part, part.training) for part in module.modules()]
    cuda = {parameter.device for parameter in module.parameters() if parameter.is_cuda}
    with torch.random.fork_rng(devices=list(cuda)):
        yield
    for part, training in modes:
        part.training = training
