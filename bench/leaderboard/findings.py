"""Sentences under a leaderboard's first screen: who leads, by how much, and what the seeds cannot tell apart. No torch here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.leaderboard.first_screen import short
from bench.leaderboard.fronts import Front, fronts
from bench.leaderboard.headline import Head, heads, reference
from bench.leaderboard.pareto import front
from bench.leaderboard.resolution import MOST_SEEDS, kendall_tau, winner_changes
from bench.leaderboard.rows import Column, Row, losses
from bench.leaderboard.standing import Standing
from bench.leaderboard.statistics import figures, mean, mean_and_interval
from bench.leaderboard.tiers import MIN_SEEDS
from bench.markdown import counted, listed

QUALITIES = 2  # columns that have a sentence: the first ones for which lower or higher is better


def findings(
    shown: Sequence[Head], standings: Sequence[Standing], columns: Mapping[Column, str], rows: Sequence[Row], apart: Collection[str]
) -> list[str]:
    """A sentence or two for each of the first columns, then on the rows that lead in both, what quality costs, and what went wrong.

    `apart` are the rows of another code, which have no rank.
    """
    now = [row for row in rows if not row.stale]
    comparable = [row for row in now if row.name not in apart]
    chosen = [
        (head, found) for head, found in zip(shown, standings, strict=True) if head.better in ("lower", "higher") and found.comparable
    ]
    chosen = chosen[:QUALITIES]
    lines = [f"**{head.title}**{length(head)}{beside(head, columns, comparable)}: {sentence(found)}" for head, found in chosen]
    if not any(found.comparable for found in standings):
        return ["The rows are stale: no run of the suite as it is now has finished, so that nothing is ranked."]
    split = [found for _, found in chosen if found.tiers.best()]
    if len(split) == QUALITIES:
        both = [row for row in split[0].first() if row in split[1].first()]
        who = f"{names(both)} {'is' if len(both) == 1 else 'are'}" if both else "no row is"
        lines.append(f"**Both**: {who} in the first tier of {' and '.join(head.title for head, _ in chosen)}.")
    first = [head.name for head in shown]
    agreements = [agreement(claim, first, columns, comparable) for claim in CLAIMS]
    return [*lines, *filter(None, [cost_of(fronts(shown, standings, columns, rows, apart), now), *agreements]), ended(now)]


def cost_of(found: Sequence[Front], rows: Sequence[Row]) -> str:
    """The rows that no other beats in quality and seconds both, by their means, the cheapest first; empty without such a front."""
    of = next((front for front in found if front.cost == "seconds"), None)
    if of is None:
        return ""
    price, quality = ({row: mean(list(part[row].values())) for row in of.chances} for part in (of.spent, of.quality.values))
    sign = -1 if of.quality.better == "higher" else 1
    on = front(np.array([[price[row], sign * quality[row]] for row in of.chances]))
    ordered = sorted((row for row, best in zip(of.chances, on.tolist(), strict=True) if best), key=lambda row: price[row])
    said = listed(f"`{row}` ({short(price[row])} s, {of.head.title} {value(of.quality, row)})" for row in ordered)
    order = ", the cheapest first" * (len(ordered) > 1)
    seconds = "seconds of training" + " and density fit" * any(
        column.name == "density_seconds" and column.values(row) for row in rows for column in row.numbers
    )
    return f"**Cost**: the Pareto front of {of.head.title} and {seconds}, by means, is {said}{order}."


def ended(rows: Sequence[Row]) -> str:
    """Which rows lost runs, or have none."""
    lost = [f"`{row.name}` ({losses(row.records).removeprefix(', ')})" for row in rows if row.has_losses()]
    idle = [f"`{row.name}`" for row in rows if not row.records]
    said = [f"lost runs: {listed(lost, most=len(lost))}" if lost else "no run failed or diverged", f"not run: {listed(idle)}" * bool(idle)]
    return f"**Failed**: {'; '.join(filter(None, said))}."


@dataclass(frozen=True)
class Claim:
    """Columns that claim to measure the same."""

    title: str
    columns: Mapping[str, str]  # by name, and what a reader calls each
    best: str  # what the best row has, and on what; a column's words follow
    other: str  # what one of the others is called
    by: str  # the preposition before it


NETWORKS = Claim(
    "Feature networks",
    {
        "frechet_pca": "PCA features",
        "frechet_pixels": "pixels",
        "frechet_classifier": "a classifier's features",
        "frechet_lite0": "lite0's features",
        "frechet_wavelet": "wavelet packets",
        "fid": "Inception's features",
        "frechet_dinov2": "DINOv2's features",
    },
    "the lowest mean Fréchet distance on",
    "other network",
    "on",
)
ERRORS = Claim(
    "Measures of error",
    {"rec_sse_test": "squared error", "rec_bce_sum_test": "cross-entropy", "rec_l1_per_pixel_x100_test": "absolute error"},
    "the lowest mean",
    "other measure",
    "by",
)
CLAIMS = (NETWORKS, ERRORS)


def agreement(claim: Claim, first: Sequence[str], columns: Mapping[Column, str], rows: Sequence[Row]) -> str:
    """Whether the best row depends on which of these columns is asked; empty without two of them.

    first: the first screen's columns; the claim's column among them is the one that others are compared with. By means over seeds, of
    the rows that have a value in every column and lost no run.
    """
    chosen = sorted(claim.columns, key=lambda name: name not in first)
    found = heads(chosen, columns, rows)
    whole = [row for row in rows if not row.has_losses()]
    common = [row for row in whole if all(head.values(row) for head in found)]
    if len(found) < 2 or len(common) < 2:
        return ""
    means = {head.name: {row.name: mean(list(head.values(row).values())) for row in common} for head in found}
    asked, *others = means
    best = min(means[asked], key=lambda row: means[asked][row])
    (changed, count), tau = winner_changes(means), kendall_tau(means)
    orders = listed(f"{tau[asked, other]:.2f} with {claim.columns[other]}" for other in others)
    return (
        f"**{claim.title}**: {names([best])} has {claim.best} {claim.columns[asked]}, and is the best {claim.by} {count - changed} of "
        f"{counted(count, claim.other)} too. Kendall's τ of the orders of {len(common)} rows is {orders}."
    )


def length(head: Head) -> str:
    """What a reconstruction is compared at: rows of longer codes have no rank."""
    return " at equal code length" * (head.columns[0].group == "reconstruction")


def beside(head: Head, columns: Mapping[Column, str], rows: Sequence[Row]) -> str:
    """What the column's values may be read by."""
    found = reference(head, columns, rows)
    return f" ({found[0]}: {figures(found[1])})" if found else ""


def sentence(found: Standing) -> str:
    """Who leads a column, by how much, and what that takes to tell."""
    if not found.rows:
        return unranked(found)
    first, best, count = found.first(), value(found, found.rows[0]), len(found.rows)
    told = f"The {found.seeds} seeds separate {percent(found.share())} of all pairs{more(found)}."
    if not found.tiers.best():
        return f"the seeds show none of {count} rows to be worse than the best, {names(first[:1])} with {best}. {told}"
    after = found.rows[len(first)]
    if len(first) > 1:
        below = f"the first row that is shown to be worse than one of them is {names([after])}, {value(found, after)}"
        return f"{names(first)} share places 1–{len(first)} of {count}, {names(first[:1])} with {best}; {below}. {told}"
    ahead = figures(*mean_and_interval(found.lead(after).tolist()), digits=1)
    return f"{names(first)} leads {count} rows with {best}, better than the next, {names([after])}, by {ahead}. {told}"


def unranked(found: Standing) -> str:
    """Why there is no rank, and the best value all the same."""
    best, count = found.order()[0], len(found.comparable)
    least = min(len(found.values[row]) for row in found.comparable)
    said = f"the best of {count} rows is {names([best])} with {value(found, best)}" if count > 1 else f"{names([best])} alone has a value"
    few = {1: "one seed does", 2: "two seeds do"}.get(least, "")
    return f"{said}; {few} not tell rows apart, it takes {MIN_SEEDS}." if few and count > 1 else f"{said}; nothing is ranked."


def more(found: Standing) -> str:
    """How many seeds would tell the first two rows apart, where these do not."""
    if found.rivals is None:
        return ""
    one, other = found.rivals
    if found.tiers.tier[other] > 1 or (needed := found.needed()) is None:
        return ""
    return f"; to tell {names([other])} from {names([one])} would take {seeds(needed)} such seeds"


def seeds(needed: int) -> str:
    """`about 17`, or that they are many."""
    return f"{MOST_SEEDS} or more" if needed >= MOST_SEEDS else f"about {needed}"


def value(found: Standing, row: str) -> str:
    """A row's mean, with one digit of its interval."""
    return figures(*mean_and_interval(list(found.values[row].values())), digits=1)


def percent(share: float) -> str:
    """`70 %`; and never 100 % of what is not all, nor 0 % of what is some."""
    whole = round(100 * share)
    return f"{min(max(whole, 1), 99) if 0 < share < 1 else whole} %"


def names(rows: Sequence[str]) -> str:
    """Rows by name, as code."""
    return listed(f"`{row}`" for row in rows)
