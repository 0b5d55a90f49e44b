"""Rows whose codes are of another length than the suite's: they are shown, and not ranked. No torch here.

A longer code reconstructs more by itself. How long a code is, a method's network decides too, so that the latent size of its
settings does not tell: the error of linear PCA on as many components as the code has numbers does, which every record has.
"""

import math
import statistics
from collections.abc import Sequence

from bench.leaderboard.rows import Record, Row
from bench.leaderboard.statistics import figures
from bench.records.check import finite
from bench.suites.schema import Suite

PCA = "pca_sse_test"
SAME = 1e-3  # relative: one dataset's error, computed on two machines


def other_codes(suite: Suite, rows: Sequence[Row]) -> dict[str, str]:
    """{row: how its code differs} of the finished rows that do not have the suite's code, by name."""
    done = {row.name: row.done()[0] for row in rows if row.done() and not row.stale}
    sizes = {name: record["config"]["latent_dim"] for name, record in done.items()}
    found = {name: f"a code of {size} numbers, not {suite.latent_dim}" for name, size in sizes.items() if size != suite.latent_dim}
    errors = {name: value for name in done if name not in found and (value := pca(done[name])) is not None}
    usual = statistics.median_low(errors.values()) if errors else math.nan
    for name, error in errors.items():
        if not math.isclose(error, usual, rel_tol=SAME):
            length = "longer" if error < usual else "shorter"
            found[name] = f"a {length} code: linear PCA on as many numbers has an SSE of {figures(error)}, on the suite's {figures(usual)}"
    return found


def same_length(one: Record, other: Record) -> bool:
    """Whether two records have codes of one length, as far as they tell."""
    errors = pca(one), pca(other)
    told = errors[0] is None or errors[1] is None or math.isclose(errors[0], errors[1], rel_tol=SAME)
    return told and one["config"]["latent_dim"] == other["config"]["latent_dim"]


def pca(record: Record) -> float | None:
    """The SSE of linear PCA on as many components as the row's code has numbers, if the record has a finite one."""
    value = record["metrics"].get(PCA, {}).get("value")
    return float(value) if value is not None and finite(value) else None
