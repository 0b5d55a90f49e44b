"""A printed number beside the measured one. Only runs at full budget stand beside it.

A paper's number is one training run's, ours are several: it is inside where it lies in the 95 % prediction interval of one more run,
mean ± t_{n-1} s √(1 + 1/n), widened by the ± that is printed. That is √(n + 1) times the half width of the mean's interval.
"""

import math
from dataclasses import dataclass
from typing import Literal

from bench.leaderboard.statistics import mean_and_interval
from bench.markdown import counted
from bench.reproduction.paper import Cell, Paper
from bench.reproduction.results import Results, SuiteResults

State = Literal["measured", "reduced", "no record", "needs", "no row"]
STATES: dict[State, str] = {  # as words after a count
    "measured": "measured at full budget",
    "reduced": "measured only at a reduced budget, which shows no number",
    "no record": "without a record yet",
    "needs": "that need data or weights not to be had here",
    "no row": "that no suite has a row for",
}


@dataclass(frozen=True)
class Measured:
    """The finished runs of a cell's row."""

    count: int
    mean: float
    half_width: float | None  # of the mean's 95 % t interval; None for one run
    run_half_width: float | None  # of the 95 % prediction interval of one more run
    difference: float  # mean - printed
    inside: bool | None  # None: one run alone does not tell
    protocol: str

    @property
    def word(self) -> str:
        """inside, outside, or why neither."""
        return "one run does not tell" if self.inside is None else "inside" if self.inside else "outside"


@dataclass(frozen=True)
class Standing:
    """What has become of a printed number."""

    cell: Cell
    state: State
    why: str = ""
    measured: Measured | None = None
    lost: int = 0  # runs of its row that diverged or failed

    @property
    def word(self) -> str:
        """Where the printed number lies, and how many runs say nothing of it."""
        told = "scales differ" if self.cell.scale else self.measured.word if self.measured else self.state
        return told + f", {counted(self.lost, 'run')} lost" * bool(self.lost)


def compare(cell: Cell, values: list[float], protocol: str = "") -> Measured:
    """Values of finished runs, at least one, beside the printed number."""
    mean, half = mean_and_interval(values)
    run = None if half is None else half * math.sqrt(len(values) + 1)
    difference, printed = mean - cell.printed, cell.plus_minus or 0.0
    inside: bool | None = abs(difference) <= (run or 0.0) + printed
    if cell.scale or (run is None and not inside):
        inside = None
    return Measured(len(values), mean, half, run, difference, inside, protocol)


def standing(cell: Cell, paper: Paper, results: Results) -> Standing:
    """The state of a printed number."""
    if cell.missing:
        return Standing(cell, "reduced" if at_reduced(cell, paper, results) else "no row", cell.missing)
    of, row = results[cell.suite], paper.settings[cell.suite].row(cell.row)
    lost = len(of.lost(row))
    if values := values_of(cell, of, row):
        protocol = str(next(iter(of.entries(row, cell.metric).values())).get("protocol") or "")
        return Standing(cell, "measured", measured=compare(cell, values, protocol), lost=lost)
    if why := of.why_absent(row, cell.metric):
        return Standing(cell, "needs", why)
    if lost:
        return Standing(cell, "no record", f"{counted(lost, 'run')} diverged or failed")
    if at_reduced(cell, paper, results):
        return Standing(cell, "reduced")
    wanted = list(filter(None, [paper.settings[cell.suite].needs, paper.weights.get(cell.metric, "")]))
    return Standing(cell, "needs", " and ".join(wanted)) if wanted else Standing(cell, "no record")


def at_reduced(cell: Cell, paper: Paper, results: Results) -> bool:
    """Whether the row has this metric at a reduced budget."""
    return any(results[suite].values(paper.settings[suite].row(cell.row), cell.metric) for suite in cell.reduced)


def values_of(cell: Cell, of: SuiteResults, row: str) -> list[float]:
    """The metric of the row's finished runs; of a number that is the best run's, that one's alone."""
    found = of.values(row, cell.metric)
    if not cell.best_by:
        return list(found.values())
    scores = {place: score for place, score in of.values(row, cell.best_by).items() if place in found}
    return [found[max(scores, key=lambda place: scores[place])]] if scores else []


def standings(paper: Paper, results: Results) -> list[Standing]:
    """Every printed number of a paper."""
    return [standing(cell, paper, results) for cell in paper.cells]
