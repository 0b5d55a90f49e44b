"""What the training seeds say of one column: its rows in order, their tiers, and what they cannot tell apart. No torch here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.leaderboard.headline import Head
from bench.leaderboard.resolution import seeds_needed, share_separated
from bench.leaderboard.rows import Column, Row
from bench.leaderboard.statistics import mean
from bench.leaderboard.tiers import Comparison, Tiers, compare, cut

Values = Mapping[str, Mapping[int, float]]  # {row: {seed: value}}


@dataclass(frozen=True)
class Standing:
    """A column's rows as the seeds rank them."""

    values: Values  # of every row that has any
    better: str
    comparable: frozenset[str]  # rows with a value that are neither stale nor of another code
    tiers: Tiers
    compared: Comparison  # the ranked rows, best first, their values lower is better

    @property
    def rows(self) -> tuple[str, ...]:
        """The ranked rows, best mean first."""
        return self.compared.rows

    @property
    def seeds(self) -> int:
        """How many seeds all ranked rows have."""
        return self.compared.values.shape[1] if self.rows else 0

    def first(self) -> list[str]:
        """The rows of the first tier, best first; all ranked rows where there is one tier only."""
        return [row for row in self.rows if self.tiers.tier[row] == 1]

    def share(self) -> float:
        """The share of pairs of ranked rows that the seeds separate."""
        return share_separated(self.compared.values)

    @cached_property
    def rivals(self) -> tuple[str, str] | None:
        """The best row and the next one that is not the same network under another name; None if there is no such two."""
        for i in range(1, len(self.rows)):
            if (self.compared.values[i] != self.compared.values[0]).any():
                return self.rows[0], self.rows[i]
        return None

    def lead(self, row: str) -> np.ndarray:
        """By how much the best row is better than another, seed by seed."""
        return np.asarray(self.compared.values[self.rows.index(row)] - self.compared.values[0])

    def needed(self) -> int | None:
        """Seeds that would tell the two rivals apart, roughly; None where there are none."""
        return seeds_needed(self.lead(self.rivals[1]).tolist()) if self.rivals else None

    def order(self) -> list[str]:
        """Every row with a value: the ranked ones by rank, then the others that compare by mean, then those that do not."""
        sign = -1 if self.better == "higher" else 1
        others = self.values.keys() - set(self.rows)
        by_mean = sorted(others, key=lambda row: (row not in self.comparable, sign * mean(list(self.values[row].values())), row))
        return [*self.rows, *by_mean]


def standing(values: Values, better: str, rows: Sequence[Row], apart: Collection[str]) -> Standing:
    """The standing of the rows' values; stale rows and those set `apart` (of another code) have no rank."""
    ranked = [row for row in rows if not row.stale and row.name not in apart]
    of = {row.name: values.get(row.name, {}) for row in ranked}
    lost = {row.name for row in ranked if row.has_losses()}
    filled = {row: found for row, found in values.items() if found}
    found = compare(of, better, lost)
    return Standing(filled, better, frozenset(row.name for row in ranked if row.name in filled), cut(found), found)


def column_standing(column: Column, rows: Sequence[Row], apart: Collection[str]) -> Standing:
    """The standing of a column of the records; a cost has no better, so that its rows have no rank."""
    return standing({row.name: column.values(row) for row in rows}, "" if column.group == "cost" else column.better, rows, apart)


def head_standing(head: Head, rows: Sequence[Row], apart: Collection[str]) -> Standing:
    """The standing of a column of the first screen."""
    return standing({row.name: head.values(row) for row in rows}, head.better, rows, apart)
