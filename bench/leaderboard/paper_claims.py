"""Ratios and orders that a paper prints, beside those of the records: what survives a change of scale (SPEC 6). No torch here."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bench.leaderboard.rows import current_records
from bench.leaderboard.statistics import figures, mean, mean_and_interval
from bench.markdown import table
from bench.suites.schema import Claim, Order, Suite

HEADS = ("metric", "ratio", "measured", "printed", "where")
PLACES = ("metric", "row", "measured", "place", "printed", "place there", "where")
Record = Mapping[str, Any]


def values(metric: str, suite: Suite, records: Iterable[Record]) -> dict[tuple[str, int], dict[str, float]]:
    """Values of the rows as the suite has them now, of runs that are done: {(kind of device, seed): {label: value}}."""
    keys = {run.row_key() for device in ("cpu", "cuda") for run in suite.runs(device)}
    found: dict[tuple[str, int], dict[str, float]] = {}
    for record in records:
        value = record["metrics"].get(metric, {}).get("value")
        if record["row_key"] in keys and record["status"] == "done" and value is not None and math.isfinite(value):
            found.setdefault((record["config"]["device"], record["seed"]), {})[record["label"]] = value
    return found


def ratios(claim: Claim, suite: Suite, records: Iterable[Record]) -> list[float]:
    """The claim's ratio for each seed and device on which both rows are done and the ratio is a finite number."""
    found = sorted(values(claim.metric, suite, records).items())
    both = [of[claim.row] / of[claim.over] for _, of in found if {claim.row, claim.over} <= of.keys() and of[claim.over]]
    return [ratio for ratio in both if math.isfinite(ratio)]


def places(order: Order, suite: Suite, records: Iterable[Record]) -> list[tuple[str, ...]]:
    """A line for each row, the highest printed value first: its mean over seeds and its place by each; equal values share a place."""
    found = values(order.metric, suite, records).values()
    measured = {row: [of[row] for of in found if row in of] for row in order.rows}
    means = {row: mean(of) for row, of in measured.items() if of}
    printed = dict(zip(order.rows, order.printed, strict=True))
    lines = list[tuple[str, ...]]()
    for row in sorted(order.rows, key=lambda row: -printed[row]):
        number = figures(*mean_and_interval(measured[row])) if row in means else "not run"
        lines.append((order.metric, row, number, place(row, means), f"{printed[row]:g}", place(row, printed), order.source))
    return lines


def place(row: str, of: Mapping[str, float]) -> str:
    """1 for the highest value."""
    return str(1 + sum(value > of[row] for value in of.values())) if row in of else ""


def section(suite: Suite, records: Iterable[Record]) -> str:
    """The part of a leaderboard about its claims and orders; empty for a suite without any."""
    kept, lines = current_records(suite, records), []
    for claim in suite.claims:
        found = ratios(claim, suite, kept)
        measured = figures(*mean_and_interval(found)) if found else "not run"
        lines.append((claim.metric, f"{claim.row} / {claim.over}", measured, f"{claim.printed:g}", claim.source))
    orders = [line for order in suite.orders for line in places(order, suite, kept)]
    words = "Seed by seed, beside the paper's runs; other data, networks or budgets make other numbers, and may make other orders."
    blocks = [table(HEADS, lines), table(PLACES, orders)]
    return "\n\n".join(["\n## Beside the paper", words, *filter(None, blocks)]) + "\n" if any(blocks) else ""
