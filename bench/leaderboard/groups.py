"""All columns of a leaderboard, group by group: what the first screen has no room for. From the records, no torch here."""

from collections.abc import Mapping, Sequence

from bench.leaderboard.findings import QUALITIES, percent
from bench.leaderboard.first_screen import ARROWS, LOST, WIDE
from bench.leaderboard.headline import Head
from bench.leaderboard.resampling import rank_intervals
from bench.leaderboard.resolution import MOST_SEEDS
from bench.leaderboard.rows import ABSENT, Column, Row, machine, machines
from bench.leaderboard.standing import Standing
from bench.leaderboard.statistics import figures, mean_and_interval
from bench.markdown import bullets, compact, counted, folded, text

DITTO = 5  # words that two lines have in common, from which on the second is shortened


def group_table(group: str, names: Mapping[Column, str], rows: Sequence[Row], standings: Mapping[Column, Standing]) -> str:
    """The folded section of a group: a line per row, a column per metric, the best tier in bold; its footnotes; what has no value.

    Rows of one trained network, whose values are equal in all columns, share a line; rows without a value here are named below.
    """
    notes: dict[str, int] = {}
    columns = [column for column in names if column.group == group]
    shown = [column for column in columns if standings[column].values]
    filled = [row for row in rows if any(row.name in standings[column].values for column in shown)]
    places = machines(rows) if group == "cost" else []
    lines: dict[object, list[str]] = {}
    for row in filled:
        cells = [cell(c, row, places, standings[c], notes) for c in shown]
        same = row.name if group == "cost" else (row.stale, *cells, *(str(standings[column].values.get(row.name)) for column in shown))
        line = lines.setdefault(same, ["", *cells])
        line[0] += ", " * bool(line[0]) + row.name
    heads = [names[c] + ARROWS.get(c.better, "") + (f" ({c.unit})" if c.unit else "") for c in shown]
    table = compact(["method", *heads], [*lines.values(), *resolution([standings[column] for column in shown])])
    footnotes = bullets(f"[{number}] {reason}" for reason, number in notes.items())
    title = f"{group.capitalize()}: {counted(len(shown), 'metric')} of {len(filled)} rows"
    absent = bullets(no_row(shown, [row for row in rows if row not in filled]))
    return folded(title, table, footnotes, absent) if shown else ""


def resolution(standings: Sequence[Standing]) -> list[list[str]]:
    """Two lines under a table: what share of a column's pairs the seeds separate, and how many seeds the first two would need."""
    if not any(found.rows for found in standings):
        return []
    shares = [percent(found.share()) if found.rows else "" for found in standings]
    needed = [found.needed() if found.rows else None for found in standings]
    return [
        ["*pairs separated*", *shares],
        [
            "*seeds for the first two*",
            *(f"≥{MOST_SEEDS}" if count == MOST_SEEDS else str(count) if count else "" for count in needed),
        ],
    ]


def no_row(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """Those rows, which have no value in any of the columns, by the reason."""
    found: dict[str, list[str]] = {}
    for row in rows:
        reasons = sorted({column.why_absent(record) for column in columns for record in row.done()})
        found.setdefault("; ".join(reasons) or "no finished run", []).append(row.name)
    return [f"no value of {', '.join(names)}: {reason}" for reason, names in found.items()]


def nowhere(names: Mapping[Column, str], rows: Sequence[Row], standings: Mapping[Column, Standing]) -> list[str]:
    """Metrics of which no row has a value, by the reason; a group that has none at all by its name."""
    found: dict[str, list[Column]] = {}
    for column in names:
        if not standings[column].values:
            reasons = {column.why_absent(record) for row in rows for record in row.done()}
            found.setdefault("; ".join(sorted(reasons)), []).append(column)
    lines = []
    for reason, columns in found.items():
        groups = {column.group: [other for other in names if other.group == column.group] for column in columns}
        whole = [group for group, of in groups.items() if set(of) <= set(columns) and len(of) > 1]
        said = [names[column] for column in columns if column.group not in whole]
        lines.append(f"no value of {', '.join([*said, *(f'all {len(groups[group])} of {group}' for group in whole)])}: {reason}")
    return lines


def cell(column: Column, row: Row, places: Sequence[str], found: Standing, notes: dict[str, int]) -> str:
    """A row's value, of each machine apart if there are places; if finished runs have none, the number of the reason in `notes`."""
    value = by_machine(row, places, found) if len(places) > 1 else number(row, found)
    return " ".join(filter(None, [value, footnote(column, row, notes)])) or ABSENT


def number(row: Row, found: Standing) -> str:
    """A mean with its interval and marks; empty without a value."""
    values = found.values.get(row.name)
    if not values:
        return ""
    said = figures(*mean_and_interval(list(values.values())), digits=1).removesuffix(" ± 0").replace(" ± ", "±")
    said = f"**{said}**" if row.name in found.tiers.best() else said
    return said + WIDE * (row.name in found.tiers.wide) + LOST * row.has_losses()


def by_machine(row: Row, places: Sequence[str], found: Standing) -> str:
    """The mean of a row's runs on each machine, by its number; one mean if all runs have one value."""
    values = found.values.get(row.name, {})
    ran = {record["seed"]: places.index(machine(record["environment"])) + 1 for record in row.done()}
    numbers = sorted({ran[seed] for seed in values}) if len(set(values.values())) > 1 else []
    if not numbers:
        return number(row, found)
    parts = {place: [value for seed, value in values.items() if ran[seed] == place] for place in numbers}
    return "; ".join(f"{figures(*mean_and_interval(of))} (machine {place})" for place, of in parts.items())


def footnote(column: Column, row: Row, notes: dict[str, int]) -> str:
    """The number in `notes` of why finished runs have no value; empty if all have one."""
    reasons = {column.why_absent(record) for record in row.done()} - {""}
    if not reasons:
        return ""
    has = sum(not column.why_absent(record) for record in row.done())
    some = f"{has} of {len(row.done())} finished runs have a value; the others: " if has else ""
    return f"[{notes.setdefault(some + '; '.join(sorted(reasons)), len(notes) + 1)}]"


def rank_table(heads: Sequence[Head], standings: Sequence[Standing]) -> str:
    """The ranks that a row has in 95 % of resamples of the seeds, in the first ranked columns of the first screen."""
    ranked = [(head, found) for head, found in zip(heads, standings, strict=True) if found.rows][:QUALITIES]
    intervals = []
    for _, found in ranked:
        low, high = rank_intervals(found.compared.values)
        intervals.append({row: f"{a}–{b}" if b > a else str(a) for row, a, b in zip(found.rows, low, high, strict=True)})
    rows = dict.fromkeys(row for of in intervals for row in of)
    return compact(["method", *(head.title for head, _ in ranked)], [[row, *(of.get(row, ABSENT) for of in intervals)] for row in rows])


def protocols(names: Mapping[Column, str]) -> str:
    """How each column is measured; what follows the first clause stands once for all columns that share it.

    … stands for the words with which the line before begins too.
    """
    found: dict[str, list[str]] = {}
    before: dict[str, str] = {}
    codes = {column.name: {other.code for other in names if other.name == column.name} for column in names}
    for column, name in names.items():
        code = f" (measured by code {column.code or 'unknown'})" * (len(codes[column.name]) > 1)
        first, _, rest = text(column.protocol).partition("; ")
        found.setdefault(rest, []).append(f"{name}: {unlike(first, before.get(rest, ''))}{code}")
        before[rest] = first
    shared = [(rest, lines) for rest, lines in found.items() if rest and len(lines) > 1]
    alone = [f"{line}; {rest}" if rest else line for rest, lines in found.items() for line in lines if (rest, lines) not in shared]
    blocks = [bullets(alone), *(f"{rest}:\n\n{bullets(lines)}" for rest, lines in shared)]
    return "\n\n".join(filter(None, blocks))


def unlike(words: str, before: str) -> str:
    """The words without the five or more with which those before begin too."""
    ours, theirs = words.split(), before.split()
    same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), 0)
    return " ".join(["…", *ours[same:]]) if same >= DITTO else words
