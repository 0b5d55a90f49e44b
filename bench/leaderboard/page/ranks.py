"""Drawings of ranks: rank intervals of a suite's rows, and the critical-difference diagram of several suites."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.leaderboard.findings import QUALITIES
from bench.leaderboard.headline import Head
from bench.leaderboard.overview import Overview
from bench.leaderboard.page.axes import Axis
from bench.leaderboard.resampling import rank_intervals
from bench.leaderboard.standing import Standing

WIDTH, NAMES, TOP, STEP = 560, 128, 24, 18  # of a drawing: its width, that of names, its head, and a line
LETTER = 7.5  # width of a letter of a name
MOST = 100  # rows that are drawn
CRITICAL = 620, 150  # the diagram's width, and how much of it the names at each side take


@dataclass(frozen=True)
class Line:
    """A row: its tier, the ranks that the tier leaves open, and those of 95 % of resampled seeds, as places across."""

    row: str
    y: int
    at: int
    tier: tuple[int, int]
    resampled: tuple[int, int]


@dataclass(frozen=True)
class Ranks:
    """Rank intervals of one column."""

    title: str
    height: int
    names: int  # how much of its width the names of rows take
    ticks: tuple[tuple[int, str], ...]
    bands: tuple[tuple[int, int], ...]  # y and height of every second tier, so that each can be told from the next
    lines: tuple[Line, ...]
    left: int  # rows further down, which are not drawn


def rank_plots(heads: Sequence[Head], standings: Sequence[Standing]) -> list[Ranks]:
    """Of the first ranked columns."""
    ranked = [(head, found) for head, found in zip(heads, standings, strict=True) if found.rows]
    return [rank_plot(head.title, found) for head, found in ranked[:QUALITIES]]


def rank_plot(title: str, found: Standing) -> Ranks:
    """The rows in their order, best first."""
    count = len(found.rows)
    names = max(NAMES, round(LETTER * max(map(len, found.rows))))
    x = Axis(0.5, count + 0.5, names + 10, WIDTH - 12)
    low, high = rank_intervals(found.compared.values)
    lines = []
    for i, row in enumerate(found.rows[:MOST]):
        first, last = found.tiers.place[row]
        ends = (x(low[i]), x(high[i]))
        lines.append(Line(row, TOP + i * STEP + STEP // 2, x(i + 1), (x(first), x(last)), ends))
    tiers = [found.tiers.tier[line.row] for line in lines]
    starts = [i for i, tier in enumerate(tiers) if not i or tier != tiers[i - 1]]
    edges = [*starts, len(lines)]
    bands = [(TOP + STEP * start, STEP * (end - start)) for start, end in zip(edges[:-1:2], edges[1::2], strict=False)]
    marks = range(1, count + 1) if count <= 10 else [1, *range(5 * (count // 50 + 1), count + 1, 5 * (count // 50 + 1))]
    ticks = tuple((x(rank), str(rank)) for rank in marks)
    return Ranks(title, TOP + len(lines) * STEP + 24, names, ticks, tuple(bands), tuple(lines), count - len(lines))


@dataclass(frozen=True)
class Label:
    """A row of the diagram: where its rank stands on the axis, and where its name does."""

    row: str
    x: int
    y: int
    left: bool
    rank: str


@dataclass(frozen=True)
class Critical:
    """A critical-difference diagram (Demšar, J. Mach. Learn. Res. 7 (2006) 1, figure 1)."""

    height: int
    axis: Axis
    ticks: tuple[tuple[int, str], ...]
    distance: tuple[int, int]  # ends of a bar as long as the critical difference
    bars: tuple[tuple[int, int, int], ...]  # two ends and y: rows under one bar are not told apart
    labels: tuple[Label, ...]


def critical(of: Overview) -> Critical:
    """The diagram of rows over suites: the better half is named at the left, the other at the right."""
    width, names = CRITICAL
    ranks = of.difference.ranks
    order = np.argsort(ranks, kind="stable").tolist()
    x = Axis(1, len(order), names, width - names)
    bars = [(x(ranks[bar[0]]) - 3, x(ranks[bar[-1]]) + 3, 58 + 8 * i) for i, bar in enumerate(of.difference.cliques)]
    base = 58 + 8 * len(bars) + 10
    half = (len(order) + 1) // 2
    labels = []
    for place, i in enumerate(order):
        depth = place if place < half else len(order) - 1 - place
        labels.append(Label(of.rows[i], x(ranks[i]), base + 17 * depth, place < half, f"{ranks[i]:.1f}"))
    ticks = tuple((x(rank), str(rank)) for rank in range(1, len(order) + 1))
    distance = (names, names + round(of.difference.distance * (width - 2 * names) / (len(order) - 1)))
    return Critical(base + 17 * half, x, ticks, distance, tuple(bars), tuple(labels))
