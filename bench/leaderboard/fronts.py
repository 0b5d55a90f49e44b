"""Which rows give the best quality for what they cost, and how sure the seeds are of it. From the records, no torch here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.leaderboard.headline import Head
from bench.leaderboard.pareto import probability_on_front
from bench.leaderboard.rows import ABSENT, Column, Row, machines
from bench.leaderboard.standing import Standing
from bench.leaderboard.tiers import compare
from bench.markdown import compact

SECONDS = ("train_seconds", "density_seconds")  # of both stages together
COSTS = {SECONDS: "seconds", ("parameter_count",): "params", ("rate",): "rate", ("capacity_bits",): "bits"}  # sums, lower costs less
CODE = ("rate", "bits")  # what a code may hold: the price of reconstruction alone
QUALITIES = 2  # columns of the first screen of which there are fronts: the first ones that have ranks
LEAST = 0.05  # of the probabilities of a row, the largest must reach it for the row to be shown
GAP = "generalisation"  # no quality that is paid for
ROWS = 3  # rows without which a front says nothing


@dataclass(frozen=True)
class Front:
    """A quality and a cost, and how sure the seeds are of which rows give the best of one for the other."""

    head: Head
    quality: Standing
    cost: str
    spent: Mapping[str, Mapping[int, float]]  # {row: {seed: cost}}
    chances: Mapping[str, float]  # of each row that has both, to be on the front

    @property
    def title(self) -> str:
        """What stands over its column."""
        return f"{self.head.title}, {self.cost}"


def fronts(
    heads: Sequence[Head], standings: Sequence[Standing], columns: Mapping[Column, str], rows: Sequence[Row], apart: Collection[str]
) -> list[Front]:
    """The fronts of the first ranked columns of quality.

    Costs that all rows share have no front, nor have seconds of several machines. Nothing where no column has ranks.
    """
    now = [row for row in rows if not row.stale and row.name not in apart]
    found = []
    for head, ranked in qualities(heads, standings):
        for parts, cost in COSTS.items():
            if (cost not in CODE or head.columns[0].group == "reconstruction") and (parts != SECONDS or len(machines(now)) == 1):
                spent = {row.name: total([c for c in columns if c.name in parts], row) for row in now}
                if chances := on_front(ranked, spent):
                    found.append(Front(head, ranked, cost, spent, chances))
    return found


def qualities(heads: Sequence[Head], standings: Sequence[Standing]) -> list[tuple[Head, Standing]]:
    """The first columns that have ranks and are a quality."""
    pairs = zip(heads, standings, strict=True)
    return [(head, found) for head, found in pairs if found.rows and head.columns[0].group != GAP][:QUALITIES]


def front_table(found: Sequence[Front], rows: Sequence[Row]) -> list[str]:
    """A table of the rows that may be on a front, with the probability in per cent, and how to read it; nothing without a front."""
    shown = [row.name for row in rows if any(of.chances.get(row.name, 0) >= LEAST for of in found)]
    shown.sort(key=lambda row: [-of.chances.get(row, 0) for of in found])
    lines = [[name, *(f"{100 * of.chances[name]:.0f}" if name in of.chances else ABSENT for of in found)] for name in shown]
    said = (
        "Chance in % that no other row is at least as good in both and better in one, over resampled seeds; few seeds make it too sure. "
        "Seconds: of training, and of fitting the density where there is one. "
        f"{ABSENT}: a value is missing. Rows below {100 * LEAST:.0f} % in all are left out."
    )
    return [compact(["method", *(of.title for of in found)], lines), said] if lines else []


def total(columns: Sequence[Column], row: Row) -> dict[int, float]:
    """{seed: the sum of a row's values in those columns}, over the columns that it has values in."""
    parts = [values for column in columns if (values := column.values(row))]
    return {seed: sum(values[seed] for values in parts) for seed in parts[0] if all(seed in values for values in parts)} if parts else {}


def on_front(quality: Standing, costs: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """The chance of each row that has both on all seeds; empty for fewer than three such rows, or where all cost the same."""
    priced = {row: costs.get(row, {}) for row in quality.rows}
    found = compare(priced, "lower")
    common = [row for row in quality.rows if row in found.rows]
    if len(common) < ROWS or (found.values == found.values[0, 0]).all() or found.values.shape[1] != quality.seeds:
        return {}
    best = quality.compared.values[[quality.rows.index(row) for row in common]]
    cost = found.values[[found.rows.index(row) for row in common]]
    return dict(zip(common, probability_on_front(np.stack([best, cost])).tolist(), strict=True))
