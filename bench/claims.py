"""Ratios that a paper prints, beside those of the records: what survives a change of scale (SPEC 6). No torch here."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.markdown import table
from bench.spec import Claim, Suite
from bench.statistics import mean_and_interval

HEADS = ("metric", "ratio", "measured", "printed", "where")


def ratios(claim: Claim, suite: Suite, records: Iterable[Mapping[str, Any]]) -> list[float]:
    """The claim's ratio for each seed and device on which both rows, as the suite has them now, are done."""
    keys = {run.row_key() for device in ("cpu", "cuda") for run in suite.runs(device)}
    values: dict[tuple[str, int], dict[str, float]] = {}
    for record in records:
        value = record["metrics"].get(claim.metric, {}).get("value")
        if record["row_key"] in keys and record["status"] == "done" and value is not None:
            values.setdefault((record["config"]["device"], record["seed"]), {})[record["label"]] = value
    return [of[claim.row] / of[claim.over] for _, of in sorted(values.items()) if {claim.row, claim.over} <= of.keys() and of[claim.over]]


def section(suite: Suite, records: Iterable[Mapping[str, Any]]) -> str:
    """The part of a leaderboard about its claims; empty for a suite without any."""
    kept, lines = list(records), []
    for claim in suite.claims:
        found = ratios(claim, suite, kept)
        mean, half = mean_and_interval(found) if found else (None, None)
        measured = "not run" if mean is None else f"{mean:.3g}" + (f" ± {half:.2g}" if half is not None else "")
        lines.append((claim.metric, f"{claim.row} / {claim.over}", measured, f"{claim.printed:g}", claim.source))
    if not lines:
        return ""
    words = "Ratios of two rows, seed by seed, beside the paper's single runs; other data, networks or budgets make other ratios."
    return f"\n## Beside the paper\n\n{words}\n\n{table(HEADS, lines)}\n"
