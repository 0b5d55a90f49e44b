"""The rows that several suites share, compared over them by one metric. From the records, no torch here."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.leaderboard.across_suites import (
    CriticalDifference,
    critical_difference,
    interquartile_interval,
    interquartile_mean,
    probability_best,
)
from bench.leaderboard.headline import Head
from bench.leaderboard.pictures import FOLDER, across
from bench.leaderboard.standing import Standing
from bench.markdown import listed, narrow, section

ROWS, SUITES = 5, 2  # that a comparison needs
LEVEL = 0.05


LETTERS = "not told apart"
HEADS = ("method", LETTERS, "mean rank", "IQM ↓ (95 %)", "P(best) in %")


@dataclass(frozen=True)
class Overview:
    """The rows that several suites share, compared over them by one metric."""

    metric: str
    title: str
    rows: tuple[str, ...]
    difference: CriticalDifference
    lines: tuple[tuple[str, ...], ...]  # under `heads`, the best mean rank first
    said: str

    @property
    def heads(self) -> tuple[str, ...]:
        """What stands over its columns."""
        return HEADS if self.tells else tuple(head for head in HEADS if head != LETTERS)

    @property
    def tells(self) -> bool:
        """Whether so many suites can tell any of so many rows apart."""
        return can_tell(self.difference, len(self.rows))

    def text(self) -> str:
        """Its section of the index."""
        drawn = f"![Critical-difference diagram: rows under one bar are not told apart]({FOLDER}/{across(self.metric)})"
        return section(self.title, narrow(list(self.heads), self.lines, left=1 + self.tells), self.said, drawn * self.tells)


def overview(metric: str, found: Mapping[str, tuple[Head, Standing]]) -> Overview | None:
    """The comparison by one metric, {suite: (its column, the rows' standing)}; None where no two suites share enough rows.

    Lower must be better and all values positive: those of a suite are divided by their median over its shared rows, to be on one scale.
    """
    standings = {suite: standing for suite, (head, standing) in found.items() if head.better == "lower"}
    rows, values = shared({suite: {row: of.values[row] for row in of.comparable} for suite, of in standings.items()})
    if not values or min(float(of.min()) for of in values.values()) <= 0:
        return None
    scaled = [of / np.median(of.mean(1)) for of in values.values()]
    difference = critical_difference(np.stack([of.mean(1) for of in values.values()]), LEVEL)
    best = probability_best(list(values.values()))
    lines = []
    for i in np.argsort(difference.ranks, kind="stable").tolist():
        low, high = interquartile_interval([of[i] for of in scaled])
        iqm = f"{interquartile_mean([of[i] for of in scaled]):.2f} ({low:.2f}–{high:.2f})"
        bars = (letters(i, difference),) * can_tell(difference, len(rows))
        lines.append((rows[i], *bars, f"{difference.ranks[i]:.1f}", iqm, f"{100 * best[i]:.0f}"))
    title = f"{next(iter(found.values()))[0].title} over {listed(values, most=len(values))}"
    return Overview(metric, title, tuple(rows), difference, tuple(lines), said(metric, rows, difference, len(values)))


def shared(suites: Mapping[str, Mapping[str, Mapping[int, float]]]) -> tuple[list[str], dict[str, np.ndarray]]:
    """The rows, by name, that all of these suites have; and {suite: (rows, seeds)} on the seeds that a suite's rows all have.

    Suites are left out, that of the fewest rows first, until the others share five rows; nothing where no two do.
    """
    kept = dict(sorted(suites.items(), key=lambda item: (-len(item[1]), item[0])))
    while len(kept) >= SUITES:
        rows = sorted(set.intersection(*(set(of) for of in kept.values())))
        if len(rows) >= ROWS:
            seeds = {suite: sorted(set.intersection(*(set(of[row]) for row in rows))) for suite, of in kept.items()}
            arrays = {
                suite: np.array([[of[row][seed] for seed in seeds[suite]] for row in rows]) for suite, of in kept.items() if seeds[suite]
            }
            return (rows, dict(sorted(arrays.items()))) if len(arrays) >= SUITES else ([], {})
        kept.popitem()
    return [], {}


def can_tell(difference: CriticalDifference, rows: int) -> bool:
    """Whether mean ranks can differ by the critical difference at all: few suites of many rows show nothing, whatever they say."""
    return difference.distance <= rows - 1


def letters(row: int, difference: CriticalDifference) -> str:
    """The bars of the critical-difference diagram that a row is in, one letter each: rows that share a letter are not told apart."""
    return "".join(chr(ord("a") + i) for i, bar in enumerate(difference.cliques) if row in bar)


def said(metric: str, rows: list[str], difference: CriticalDifference, suites: int) -> str:
    """Whether the suites tell any rows apart, and what the columns are."""
    test = "show" if difference.p <= LEVEL else "do not show"
    nemenyi = (
        f"Mean ranks that differ by {difference.distance:.1f} or more are told apart (Nemenyi, {100 * LEVEL:.0f} %); rows of one letter "
        "are not."
        if can_tell(difference, len(rows))
        else f"Nemenyi's test can tell no two rows apart here, however they differ: it takes mean ranks {difference.distance:.1f} apart "
        f"({100 * LEVEL:.0f} %), and none differ by more than {len(rows) - 1}; more suites would."
    )
    return (
        f"`{metric}` of the {len(rows)} rows that these {suites} suites share. The suites {test} that rows differ "
        f"(Friedman, p = {difference.p:.2g}). {nemenyi} IQM: interquartile mean of all runs' values over the suite's median, "
        "with a bootstrap interval within suites. P(best): share of resamples of the seeds in which the row has the best mean rank, "
        "the suites taken as they are; suites of one seed make both too sure. [How](../docs/statistics.md)."
    )
