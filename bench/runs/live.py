"""A run while it trains: its curve on disk grows by a line a block, trackers get the same rows, whoever watches hears how far it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.records.store import Store
from bench.runs.trackers import Trackers
from bench.suites.schema import Run
from bench.training.train import Progress

Row = Mapping[str, float]


@dataclass(frozen=True)
class News:
    """How far the training of a run is."""

    share: float  # of the budgets of all its stages
    loss: float  # mean of the last block of steps
    images_per_second: float  # of the present stage, so far


Report = Callable[[News], None]


@dataclass
class Live:
    """Follows one run through its stages. All that it does is off the clock of training."""

    store: Store
    run: Run
    stages: int  # how many there are
    trackers: Trackers
    report: Report | None = None
    first_stage: Callable[[Progress], None] | None = None  # called of the blocks of that one
    before: list[Row] = field(default_factory=list)  # the curve of the stages that have ended
    start: int = 0  # steps of these
    number: int = 0  # of them
    seen: int = 0  # rows of the present stage
    begun: bool = False  # whether this process has begun the file

    def __call__(self, progress: Progress) -> None:
        """Another block of the present stage has been trained."""
        rows = moved(progress.curve[self.seen :], self.start)
        self.seen = len(progress.curve)
        if self.begun:
            self.store.append_curve(self.run, rows)
        else:  # a run that goes on has rows from before
            rows = [*self.before, *rows]
            self.store.save_curve(self.run, rows)
            self.begun = True
        self.trackers.log(rows)
        if self.first_stage and self.number == 0:
            self.first_stage(progress)
        if self.report and progress.seconds > 0:
            share = (self.number + progress.share) / self.stages
            self.report(News(share, loss_of(rows[-1]), progress.step * self.run.batch_size / progress.seconds))

    def stage_ended(self, curve: Sequence[Row], steps: int) -> None:
        """The present stage has ended after so many steps, with that curve."""
        self.before += moved(curve, self.start)
        self.start += steps
        self.number, self.seen = self.number + 1, 0


def moved(curve: Sequence[Row], start: int) -> list[Row]:
    """A stage's rows with steps counted on from the stages before."""
    return [{**row, "step": start + row["step"]} for row in curve]


def loss_of(row: Row) -> float:
    """The autoencoder's loss, or that of the only player there is."""
    losses = {name: value for name, value in row.items() if name.endswith(".loss")}
    return losses.get("autoencoder.loss", next(iter(losses.values())))
