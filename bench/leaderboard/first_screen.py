"""The first screen of a leaderboard: one narrow table in the order of its first column, and how to read it. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from bench.leaderboard.headline import Head
from bench.leaderboard.rows import ABSENT, Row, machines
from bench.leaderboard.standing import Standing
from bench.leaderboard.statistics import figures, mean_and_interval
from bench.markdown import counted, listed, narrow

WIDTH = 120  # characters of a line: more does not fit beside a repository's list of files
ARROWS = {"lower": " ↓", "higher": " ↑", "target": " →"}
WIDE, LOST, OTHER = "~", "†", "‡"
SAMPLERS = {  # by the end of a metric's name
    "_qz": "of images decoded from a density that was fitted to the codes after training",
    "_pz": "of images decoded from the prior",
}


@dataclass(frozen=True)
class Screen:
    """What a first screen shows of its rows, best first."""

    heads: tuple[Head, ...]  # the columns that vary and have room, the one that sorts first
    rows: tuple[Row, ...]
    places: tuple[str, ...]  # each row's ranks, or why it has none
    names: tuple[str, ...]  # with marks
    cells: Mapping[str, Mapping[str, str]]  # {column: {row: its cell}}, of all columns that were asked for
    table: str  # as Markdown
    said: str  # what does not vary or has no room

    def text(self) -> str:
        """The table and a line on what is not in it; empty without a column."""
        return "\n\n".join(filter(None, [self.table, self.said]))


def screen(heads: Sequence[Head], standings: Sequence[Standing], rows: Sequence[Row], apart: Mapping[str, str], seeds: int) -> Screen:
    """The first screen of at least one column.

    Where a line would be wider than `WIDTH`, bars stand close to the cells; then columns from the last on are left out. `apart` are
    the rows of another code.
    """
    now = [row for row in rows if row.done() and not row.stale]
    shown = [row for row in rows if now or row.done()]  # of a suite that has not run since it changed, the stale rows alone
    cells = {head.name: column(head, found, shown, apart) for head, found in zip(heads, standings, strict=True)}
    constant = [h for h in heads[1:] if len(shown) > 1 and len(set(cells[h.name].values())) == 1]
    kept = [head for head in heads if head not in constant]
    ordered = order(standings, shown)
    places, names = [place(row, standings[0], apart, seeds) for row in ordered], [name(row, apart) for row in ordered]
    titles = ["place", "method", *(head.title + ARROWS.get(head.better, "") for head in kept)]
    lines = [
        [ranks, called, *(cells[head.name][row.name] for head in kept)] for row, ranks, called in zip(ordered, places, names, strict=True)
    ]
    for count, gap in product(range(len(kept), 0, -1), (" ", "")):
        table = narrow(titles[: 2 + count], [line[: 2 + count] for line in lines], left=2, gap=gap)
        if max(map(len, table.splitlines()), default=0) <= WIDTH:
            break
    same = [f"{head.title}: {cells[head.name][shown[0].name]} in all rows" for head in constant]
    left = [f"No room for {listed(f'`{head.name}`' for head in kept[count:])}, which stands below"] if kept[count:] else []
    said = "; ".join([*same, *left]) + "." if same or left else ""
    return Screen(tuple(kept[:count]), tuple(ordered), tuple(places), tuple(names), cells, table, said)


def order(standings: Sequence[Standing], rows: Sequence[Row]) -> list[Row]:
    """Rows by the first column in which they have a value, in its order; then those that have none, as the suite has them."""
    names = dict.fromkeys(name for found in standings for name in found.order())
    places = {name: place for place, name in enumerate(names)}
    return sorted(rows, key=lambda row: places.get(row.name, len(places)))


def place(row: Row, found: Standing, apart: Mapping[str, str], seeds: int) -> str:
    """The ranks that the row's tier fills; for a row that has none, how many of its seeds are done where they are not all."""
    if row.name in found.tiers.place:
        first, last = found.tiers.place[row.name]
        return f"{first}–{last}" if last > first else str(first)
    if row.stale:
        return "stale"
    planned = max(seeds, len(row.records))
    return f"{len(row.done())}/{planned}" if len(row.done()) < planned else ABSENT


def name(row: Row, apart: Mapping[str, str]) -> str:
    """The row's name with the marks that hold in all of its columns."""
    return row.name + OTHER * (row.name in apart) + LOST * bool(row.done() and row.has_losses())


def column(head: Head, found: Standing, rows: Sequence[Row], apart: Mapping[str, str]) -> dict[str, str]:
    """Each row's cell: of a cost the least and the most, which an interval over runs beside others would not tell."""
    if head.columns[0].group == "cost":
        shown = thousands if head.name == "parameter_count" else short
        return {row.name: span(list(head.values(row).values()), shown) for row in rows}
    return {row.name: cell(list(head.values(row).values()), row.name, found) for row in rows}


def span(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """`7.1–19`, the least and the most; one number where they do not differ as shown."""
    return "–".join(dict.fromkeys(map(shown, (min(values), max(values))))) if values else ABSENT


def short(value: float) -> str:
    """A number of two digits, or of all those before the point."""
    return f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.2g}"


def thousands(value: float) -> str:
    """A count of three digits: 101k, 1.09M."""
    unit, letter = (1e6, "M") if value >= 999_500 else (1e3, "k") if value >= 1000 else (1, "")
    return f"{value / unit:.3g}{letter}"


def cell(values: Sequence[float], row: str, found: Standing) -> str:
    """A mean, ± one digit of its interval's half width, bold in the first tier if there are two or more."""
    if not values:
        return ABSENT
    number = figures(*mean_and_interval(values), digits=1)
    return (f"**{number}**" if row in found.tiers.best() else number) + WIDE * (row in found.tiers.wide)


def meaning(head: Head, rows: Sequence[Row]) -> str:
    """The metrics that a column shows; of samples also what they are decoded from, since rows with a density show that one's."""
    used = {column: [f"`{row.name}`" for row in rows if head.column(row) == column] for column in head.columns}
    *first, last = ((f"`{column.name}`{sampled(column.name)}", names) for column, names in used.items() if names)
    return ", else ".join([*(f"{words} ({listed(names)})" for words, names in first), last[0]])


def sampled(name: str) -> str:
    """What the images of a metric of samples are decoded from; empty for another metric."""
    return next((f", {words}" for end, words in SAMPLERS.items() if name.endswith(end)), "")


def notes(heads: Sequence[Head], standings: Sequence[Standing], rows: Sequence[Row], apart: Mapping[str, str], seeds: int) -> list[str]:
    """How to read the table, and why some rows have no rank: only what is in it."""
    about = [f"*{head.title}*: {meaning(head, rows)}" for head in heads]
    idle = [row.name for row in rows if not row.records and not row.stale]
    gone = [row.name for row in rows if row.records and not row.done()]
    lost = [row.name for row in rows if row.done() and row.has_losses()]
    ranks = (
        f"*Place*: the ranks that a row's tier fills by *{heads[0].title}*; no row of a tier is shown to be worse than another, in a test "
        "that holds for the whole column. **Bold**: the first tier of a column that has more than one. [How](../docs/statistics.md)."
    )
    interval = f"±: 95 % t interval over {counted(seeds, 'seed')}; means are rounded to its precision. Costs: minimum–maximum over seeds."
    wide = f"{WIDE}: too wide to say on which side of the first tier's edge the row belongs."
    lines = [
        *[ranks] * bool(standings[0].rows),
        interval if seeds > 1 else "One seed: no interval, so that nothing tells how many digits of a number another seed would repeat.",
        *[wide] * any(found.tiers.wide for found in standings),
        "; ".join(about) + ".",
    ]
    lines += [f"{OTHER} `{row}` is shown and not ranked: it has {why}." for row, why in apart.items()]
    lines += [
        f"{LOST} {listed((f'`{row}`' for row in lost), most=len(lost))}: of runs that survived, others diverged or failed; not ranked."
    ] * bool(lost)
    for said, of in (("Not run", idle), ("No run finished, see Runs below", gone)):
        lines += [f"{said}: {listed((f'`{row}`' for row in of), most=len(of))}."] * bool(of)
    several = len(machines(rows)) > 1 and any(head.columns[0].group == "cost" for head in heads)
    lines += [f"Runs are from {len(machines(rows))} machines: seconds of two machines do not compare; see Cost below."] * several
    return lines
