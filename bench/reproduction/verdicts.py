"""Whether records bear an ordering out: each seed that its rows share wins, loses or ties, or is withheld where a condition fails.

The conditions are the papers' own: a method whose summed latent variance is a constraint is that method while the constraint holds.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bench.leaderboard.capacity import same_length
from bench.reproduction.paper import BudgetClass, Ordering, Paper
from bench.reproduction.results import Cell, Results, SuiteResults

NEAR = 0.05  # share of its target by which a summed latent variance may be off
VARIANCE, TARGET = "sum_latent_variance", "latent_variance_target"
Outcome = Literal["won", "lost", "tied"]
Verdict = Literal["supported", "contradicted", "mixed", "withheld", "no record"]
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "mixed", "withheld", "no record")


@dataclass(frozen=True)
class Seen:
    """What one suite's records say of an ordering."""

    suite: str
    budget: BudgetClass  # cpu for data other than the paper's too
    metric: str  # the one of the ordering's that its records have
    won: int = 0
    lost: int = 0
    tied: int = 0
    withheld: tuple[str, ...] = ()  # a reason for each seed that does not count
    lacking: int = 0  # seeds that some of the rows have and others do not: diverged, failed, not run, without a value
    ratios: tuple[float, ...] = ()  # of an ordering of two rows: the first's value over the second's, of seeds that count
    spread_over: int = 0  # seeds whose spread is compared, once for all of them; 0: seeds are compared one by one

    @property
    def counted(self) -> int:
        """Seeds that count."""
        return self.won + self.lost + self.tied

    @property
    def words(self) -> str:
        """`2/3, 1 withheld`: seeds won of those that count, and what became of the others."""
        others = {"tied": self.tied, "withheld": len(self.withheld), "lacking": self.lacking}
        told = f"{self.won}/{self.counted}"
        if self.spread_over:
            (word,) = (name for name in ("won", "lost", "tied") if getattr(self, name))
            told, others["tied"] = f"spread over {self.spread_over} seeds {word}", 0
        return ", ".join([told, *(f"{count} {name}" for name, count in others.items() if count)])


def outcome(values: Sequence[float], ordering: Ordering) -> Outcome:
    """Of one seed: the rows' values in their order, the best first. Values are finite."""
    if ordering.bounds is not None:
        low, high = ordering.bounds
        return "won" if low <= values[0] <= high else "lost"
    if ordering.target is not None:
        values = [abs(value - ordering.target) for value in values]
    losses = [-value for value in values] if ordering.best == "higher" else list(values)
    pairs = list(pairwise(losses)) if ordering.each == "next" else [(losses[0], other) for other in losses[1:]]
    if any(first > second for first, second in pairs):
        return "lost"
    return "tied" if any(first == second for first, second in pairs) else "won"


def verdict(seen: Sequence[Seen]) -> Verdict:
    """What the seeds of several suites come to: all won, all lost, or neither."""
    counted, won, lost = (sum(getattr(of, name) for of in seen) for name in ("counted", "won", "lost"))
    if not counted:
        return "withheld" if any(of.withheld for of in seen) else "no record"
    return "supported" if won == counted else "contradicted" if lost == counted else "mixed"


def metric_of(ordering: Ordering, row: str, metric: str) -> str:
    """The metric of a row: its bound, where the row has no exact value."""
    return f"{metric}_bound" if row in ordering.bound_rows else metric


def look(ordering: Ordering, paper: Paper, results: Results) -> list[Seen]:
    """What each suite that has records of all of an ordering's rows says of it."""
    return [seen for suite in ordering.suites if (seen := look_in(ordering, paper, results[suite]))]


def look_in(ordering: Ordering, paper: Paper, of: SuiteResults) -> Seen | None:
    """What one suite says of an ordering by the first of its metrics that the rows have; None where they have none."""
    rows = {row: paper.settings[of.name].row(row) for row in ordering.rows}
    looks = (look_at(ordering, of, rows, metric, paper.budget(of.name, ordering)) for metric in ordering.metrics)
    return next((seen for seen in looks if seen), None)


def look_at(ordering: Ordering, of: SuiteResults, rows: Mapping[str, str], metric: str, budget: BudgetClass) -> Seen | None:
    """What one suite says by one metric; None where no seed has a value in every row, and nothing was lost.

    rows: {as the ordering names them: as the suite does}
    """
    entries = [of.entries(label, metric_of(ordering, row, metric)) for row, label in rows.items()]
    places = [set(found) for found in entries]
    common = sorted(set[Cell].intersection(*places)) if all(places) else []
    if not common:
        return None
    withheld, values = list[str](), list[list[float]]()
    for place in common:
        if why := withholding(ordering, of, rows, place, [found[place] for found in entries]):
            withheld.append(why)
        else:
            values.append([float(found[place]["value"]) for found in entries])
    some = set[Cell].union(*places, *(set(of.lost(label)) for label in rows.values()))
    spread_over = 0
    if ordering.statistic == "spread":
        spread_over = len(values) if len(values) > 1 else 0
        values = [[statistics.stdev(column) for column in zip(*values, strict=True)]] if spread_over else []
    outcomes = [outcome(line, ordering) for line in values]
    pairs = values if len(rows) == 2 and ordering.target is None else []
    ratios = tuple(a / b for a, b in pairs if b and math.isfinite(a / b))
    counts = {name: outcomes.count(name) for name in ("won", "lost", "tied")}
    return Seen(
        of.name, budget, metric, **counts, withheld=tuple(withheld), lacking=len(some) - len(common), ratios=ratios, spread_over=spread_over
    )


def withholding(ordering: Ordering, of: SuiteResults, rows: Mapping[str, str], place: Cell, entries: Sequence[Mapping[str, object]]) -> str:
    """Why a seed does not count; empty where it does."""
    if not ordering.bound_rows and len({(entry.get("protocol"), entry.get("code")) for entry in entries}) > 1:
        return "the rows' values are of different protocols or code"
    for row in ordering.constrained:
        if why := off_target(of, rows[row], place):
            return f"{rows[row]}: {why}"
    records = [of.rows[label][place] for label in rows.values()]
    if ordering.equal_codes and not all(same_length(records[0], other) for other in records[1:]):
        return "the rows have codes of different lengths"
    return ""


def off_target(of: SuiteResults, row: str, place: Cell) -> str:
    """How far a row's summed latent variance is from its target; empty where that is at most NEAR of it."""
    found, wanted = (of.values(row, metric).get(place) for metric in (VARIANCE, TARGET))
    if found is None or not wanted:
        return "its records do not say how far its summed variance is from its target"
    share = found / wanted - 1
    return f"its summed variance is {100 * share:+.1f} % off its target {wanted:g}" if abs(share) > NEAR else ""


@dataclass(frozen=True)
class Judged:
    """An ordering with what records say of it."""

    ordering: Ordering
    seen: tuple[Seen, ...]

    def at(self, budget: BudgetClass) -> list[Seen]:
        """What suites at that budget say."""
        return [of for of in self.seen if of.budget == budget]

    @property
    def budget(self) -> BudgetClass:
        """The budget of the verdict: the paper's, where any record is at it."""
        return "paper" if self.at("paper") else "cpu"

    @property
    def verdict(self) -> Verdict:
        """At full budget where records are, else at reduced ones."""
        return verdict(self.at(self.budget))

    @property
    def reversed(self) -> bool:
        """Whether every seed at full budget has the ordering the wrong way round."""
        return verdict(self.at("paper")) == "contradicted"


def judged(paper: Paper, results: Results) -> list[Judged]:
    """Every ordering of a paper."""
    return [Judged(ordering, tuple(look(ordering, paper, results))) for ordering in paper.orderings]
