"""A made-up paper of two rows, and records of them with planted values."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.reproduction.paper import Cell, Ordering, Paper, Setting
from bench.reproduction.results import Results, SuiteResults

ROWS = ("vcae", "cwae")
Values = Mapping[str, Mapping[int, float | None]]  # {row: {seed: value}}; None: diverged


def record(row: str, seed: int, metrics: Mapping[str, float | None], **changed: Any) -> dict[str, Any]:
    """A finished run as results see it."""
    entries = {name: {"value": value, "protocol": "p", "code": "c", "reason": "none"} for name, value in metrics.items()}
    return {"label": row, "seed": seed, "status": "done", "config": {"device": "cpu", "latent_dim": 2}, "metrics": entries} | changed


def records(values: Values, off: Mapping[tuple[str, int], float] | None = None) -> list[dict[str, Any]]:
    """A run for each value, its summed variance off its target of 2 by that share."""
    found = []
    for row, of in values.items():
        for seed, value in of.items():
            variance = 2 * (1 + (off or {}).get((row, seed), 0.0))
            metrics = {"rec_sse_test": value, "sum_latent_variance": variance, "latent_variance_target": 2.0}
            found.append(record(row, seed, {} if value is None else metrics, status="diverged" if value is None else "done"))
    return found


class Planted(Results):
    """Records by suite, of no folder."""

    def __init__(self, **suites: Sequence[Mapping[str, Any]]):
        self.known = {name.replace("_", "-"): SuiteResults(name.replace("_", "-"), list(of)) for name, of in suites.items()}

    def __getitem__(self, suite: str) -> SuiteResults:
        return self.known.get(suite) or SuiteResults(suite, [])


def ordering(**changed: Any) -> Ordering:
    """`vcae` below `cwae` at full budget and at a reduced one."""
    given: dict[str, Any] = {"claim": "it is smaller", "where": "Table 1", "metrics": ("rec_sse_test",), "rows": ROWS}
    return Ordering(**{**given, "suites": ("mog", "digits"), **changed})


def paper(orderings: Sequence[Ordering] = (), **changed: Any) -> Paper:
    """A paper whose own suite is mog, and whose reduced one is digits."""
    settings = {"mog": Setting("mog", "paper"), "digits": Setting("digits", "cpu")}
    given: dict[str, Any] = {"name": "made-up", "title": "A title", "source": "nowhere", "settings": settings, "weights": {}}
    return Paper(**{**given, "parts": (), "tables": (), "orderings": tuple(orderings), "deviations": (), **changed})


def cell(printed: float = 1.0, **changed: Any) -> Cell:
    """A number printed of `vcae`."""
    return Cell(**{"method": "VCAE", "metric": "rec_sse_test", "printed": printed, "row": "vcae", "suite": "mog", **changed})
