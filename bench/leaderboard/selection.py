"""Which rows of a grid its rule chooses, from records of the validation images alone. No torch here.

A suite that holds out validation images has these records itself. One that is measured on its test images takes them from its own
variant `--set held_out=validation`: no number of a test image can reach a rule.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import UserError, unknown
from bench.leaderboard.rows import current_records
from bench.leaderboard.statistics import figures, mean, mean_and_interval
from bench.markdown import counted, table
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Select, Selection, Suite

VALIDATION = "held_out=validation"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Candidate:
    """One row of a grid, as its rule sees it."""

    label: str
    values: tuple[float, ...]  # of the rule's metric, by seed
    seeds: frozenset[tuple[str, int]]  # (kind of device, seed) of the runs that have ended
    lost: bool  # whether a run diverged, failed or has no value
    far: float  # from what the rule wants: the smallest is chosen; infinite without a value or with a lost run


def seen_by(suite: Suite) -> Suite:
    """The suite whose records the rules see."""
    if suite.held_out == "validation" or not suite.selections:
        return suite
    return reader.from_text(suite.text, Path(suite.source), (*suite.overrides, VALIDATION))


def check(suite: Suite, directions: Mapping[str, str | None], on_test: Collection[str]) -> None:
    """UserError for a rule that cannot be followed.

    directions: {metric of validation runs: lower, higher, target, or None for a description}; on_test: metrics as test runs call them.
    """
    for selection in suite.selections:
        rule, where = selection.rule, "select" if selection.rule == suite.select else f"methods.{selection.label}.select"
        if rule.metric not in directions:
            if rule.metric in on_test:
                near = rule.metric.replace("test", "validation")
                way = f"; of the validation images it is {near!r}" if near in directions else ""
                raise UserError(f"{where}.metric: {rule.metric!r} is of test images, by which nothing may be chosen{way}")
            raise UserError(f"{where}.metric: {unknown('metric', rule.metric, directions)}")
        if rule.nearest is None and directions[rule.metric] not in ("lower", "higher"):
            raise UserError(f"{where}: {rule.metric} has no best value; say what it is to come near, as in nearest = 16.0")


def section(suite: Suite, records: Iterable[Record], folder: Path | None = None) -> str:
    """The part of a leaderboard about what its rules chose; empty for a suite without any. records: those of `seen_by(suite)`."""
    if not suite.selections:
        return ""
    seen = seen_by(suite)
    kept = current_records(seen, records)
    blocks = [block for selection in suite.selections for block in shown(selection, seen, kept, folder)]
    words = "By values on validation images, which no run of these was trained on; no value of a test image has a part in it."
    return "\n\n".join(["\n## What was chosen", words, *blocks]) + "\n"


def shown(selection: Selection, seen: Suite, records: Sequence[Record], folder: Path | None) -> list[str]:
    """A sentence on the choice, and a table of what the rule saw."""
    rule, found = selection.rule, candidates(selection, seen, records)
    heads = ["row", rule.metric, *["distance"] * (rule.nearest is not None), "seeds"]
    lines = [
        [
            one.label,
            figures(*mean_and_interval(one.values)) if one.values else "no value",
            *[figures(one.far) if math.isfinite(one.far) else ""] * (rule.nearest is not None),
            f"{len(one.values)} of {len(one.seeds)}" if one.seeds else "not run",
        ]
        for one in found
    ]
    best = choice(found)
    if best:
        said = f"`{best.label}` is chosen of {counted(len(found), 'row')}: {wanted(rule)}."
    else:
        way = f"`python -m bench run {options(seen, folder)}`"
        said = f"Of {selection.label} nothing is chosen, by {wanted(rule)}, before all {len(found)} rows have the same seeds: {way}."
    return [said, table(heads, lines)]


def wanted(rule: Select) -> str:
    """A rule in words."""
    if rule.nearest is None:
        return f"the best {rule.metric}"
    return f"the {rule.metric} nearest to {'the latent size' if isinstance(rule.nearest, str) else figures(rule.nearest)}"


def choice(found: Sequence[Candidate]) -> Candidate | None:
    """The candidate that the rule wants most, the first of equal ones; None before all have runs of the same seeds."""
    ready = len({one.seeds for one in found}) == 1 and found[0].seeds
    best = min(found, key=lambda one: one.far)
    return best if ready and math.isfinite(best.far) else None


def candidates(selection: Selection, seen: Suite, records: Sequence[Record]) -> list[Candidate]:
    """The rows of a grid with what the rule sees of each, in the grid's order."""
    sizes = {entry.label: entry.latent_dim or seen.latent_dim for entry in seen.methods}
    found = []
    for label in selection.rows:
        own = sorted((r for r in records if r["label"] == label), key=lambda r: (r["config"]["device"], r["seed"]))
        entries = [record["metrics"].get(selection.rule.metric, {}) for record in own if record["status"] == "done"]
        values = tuple(float(e["value"]) for e in entries if e.get("value") is not None and math.isfinite(e["value"]))
        lost = len(values) < len(own)
        far = math.inf if lost or not values else distance(selection.rule, mean(values), sizes[label], entries[0].get("better"))
        seeds = frozenset((record["config"]["device"], record["seed"]) for record in own)
        found.append(Candidate(label, values, seeds, lost, far))
    return found


def distance(rule: Select, value: float, latent_dim: int, better: str | None) -> float:
    """How far a value is from what the rule wants; of one that wants the best, the value itself, turned where higher is better."""
    if rule.nearest is None:
        return -value if better == "higher" else value
    return abs(value - (latent_dim if rule.nearest == "latent_dim" else float(rule.nearest)))
