"""Quality against its cost, or against another quality: where points, their intervals, names and the front are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.leaderboard.findings import percent
from bench.leaderboard.first_screen import ARROWS
from bench.leaderboard.fronts import LEAST, Front, fronts, on_front, qualities
from bench.leaderboard.headline import Head
from bench.leaderboard.page.axes import Axis, axis
from bench.leaderboard.pareto import front
from bench.leaderboard.rows import Column, Row
from bench.leaderboard.standing import Standing
from bench.leaderboard.statistics import mean_and_interval

WIDTH, HEIGHT = 620, 330
TOP, RIGHT, BOTTOM, LEFT = 24, 14, 36, 52  # margins
MOST = 3  # drawings of a suite
NAMED = 40  # points that a name is looked for; more would only cover one another
LETTER, LINE = 7.5, 11  # size of a name's letters, in the drawing's unit
SPOTS = ((8, 4, 0), (-8, 4, 1), (0, -8, 0.5), (0, 17, 0.5), (7, -5, 0), (7, 13, 0), (-7, -5, 1), (-7, 13, 1))  # dx, dy, share left of it


@dataclass(frozen=True)
class Point:
    """A row: its mark, its intervals, its name's place if there is room, and how sure it is of the front."""

    row: str
    x: int
    y: int
    across: tuple[int, int]
    upwards: tuple[int, int]
    chance: str  # of being on the front
    on_front: bool  # by its means
    name: tuple[int, int] | None = None


@dataclass(frozen=True)
class Scatter:
    """A drawing, its title for a tab, and what its two axes are."""

    title: str
    across: str
    upwards: str
    x: Axis
    y: Axis
    points: tuple[Point, ...]
    path: str  # of the front


@dataclass(frozen=True)
class Side:
    """What one axis shows."""

    name: str
    better: str
    values: Mapping[str, tuple[float, float, float]]  # {row: (mean, lower, upper end)}
    interval: bool = True  # a t interval, else the least and the most of the seeds

    def title(self) -> str:
        """Its name, which way is better, and what its whiskers are."""
        return f"{self.name}{ARROWS.get(self.better, '')}" + ("" if self.interval else ", least to most of the seeds")

    def key(self, row: str) -> float:
        """The mean, lower is better."""
        return self.values[row][0] * (-1 if self.better == "higher" else 1)


def scatters(
    heads: Sequence[Head], standings: Sequence[Standing], columns: Mapping[Column, str], rows: Sequence[Row], apart: Mapping[str, str]
) -> list[Scatter]:
    """The two first qualities against each other, then qualities against costs, seconds first."""
    found = qualities(heads, standings)
    drawn = []
    if len(found) > 1:
        (first, one), (second, other) = found[:2]
        sign = -1 if second.better == "higher" else 1
        chances = on_front(one, {row: {seed: sign * v for seed, v in other.values[row].items()} for row in other.rows})
        drawn = [scatter(quality(second, other), quality(first, one), chances, every=True)] if chances else []
    priced = sorted(fronts(heads, standings, columns, rows, apart), key=lambda of: of.cost != "seconds")
    return [*drawn, *(scatter(cost(of), quality(of.head, of.quality), of.chances) for of in priced)][:MOST]


def quality(head: Head, found: Standing) -> Side:
    """A column of the first screen, with its t intervals."""
    ends = {}
    for row in found.rows:
        mean, half = mean_and_interval(list(found.values[row].values()))
        ends[row] = (mean, mean - (half or 0), mean + (half or 0))
    return Side(head.title, head.better, ends)


def cost(of: Front) -> Side:
    """What rows cost, from the least to the most of their seeds."""
    spent = {row: list(of.spent[row].values()) for row in of.chances}
    return Side(of.cost, "lower", {row: (mean_and_interval(v)[0], min(v), max(v)) for row, v in spent.items()}, interval=False)


def scatter(across: Side, upwards: Side, chances: Mapping[str, float], every: bool = False) -> Scatter:
    """The drawing of the rows that have a chance, however small, {row: chance}; `every`: those far from the front are named too."""
    rows = list(chances)
    best = front(np.array([[across.key(row), upwards.key(row)] for row in rows]))
    x = axis([across.values[row][0] for row in rows], LEFT, WIDTH - RIGHT)
    y = axis([upwards.values[row][0] for row in rows], HEIGHT - BOTTOM, TOP)
    points = []
    for row, on in zip(rows, best.tolist(), strict=True):
        (at, *ends), (height, *tips) = across.values[row], upwards.values[row]
        spans = (x(ends[0]), x(ends[1])), (y(tips[0]), y(tips[1]))
        points.append(Point(row, x(at), y(height), *spans, percent(chances[row]) if chances[row] else "0 %", on))
    wanted = [point for point in points if every or point.on_front or chances[point.row] >= LEAST]
    names = places(sorted(wanted, key=lambda p: (not p.on_front, chances[p.row] < LEAST))[:NAMED], points)
    named = tuple(Point(**{**vars(point), "name": names.get(point.row)}) for point in points)
    title = f"{upwards.name} × {across.name}"
    scale = [", log scale" * drawn.log for drawn in (x, y)]
    return Scatter(title, across.title() + scale[0], upwards.title() + scale[1], x, y, named, stairs(named, across, upwards))


def stairs(points: Sequence[Point], across: Side, upwards: Side) -> str:
    """The edge of what the front beats, from best across to best upwards: right angles, towards the worse side."""
    edge = sorted((point for point in points if point.on_front), key=lambda point: across.key(point.row))
    if not edge:
        return ""
    worst = {"lower": TOP, "higher": HEIGHT - BOTTOM}[upwards.better], {"lower": WIDTH - RIGHT, "higher": LEFT}[across.better]
    turns = "".join(f"H{point.x}V{point.y}" for point in edge[1:])
    return f"M{edge[0].x} {worst[0]}V{edge[0].y}{turns}H{worst[1]}"


def places(wanted: Sequence[Point], points: Sequence[Point]) -> dict[str, tuple[int, int]]:
    """Where names may stand, the first wanted first, without touching a mark or another name; those that find no room are left out."""
    taken: list[tuple[float, float, float, float]] = [(point.x - 5, point.y - 5, point.x + 5, point.y + 5) for point in points]
    found = {}
    for point in wanted:
        width = LETTER * len(point.row)
        for dx, dy, left in SPOTS:
            x, y = round(point.x + dx - left * width), round(point.y + dy)
            box = (x, y - LINE, x + width, y + 2)
            inside = box[0] > LEFT and box[2] < WIDTH and box[1] > TOP - 8 and box[3] < HEIGHT - BOTTOM
            if inside and not any(box[0] < b[2] and box[2] > b[0] and box[1] < b[3] and box[3] > b[1] for b in taken):
                taken.append(box)
                found[point.row] = (x, y)
                break
    return found
