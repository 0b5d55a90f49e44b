"""Which of the metrics that were asked for have no value, and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.commands import console
from bench.evaluation.evaluate import said, words_of
from bench.registry import catalogue
from bench.suites.schema import Suite

Record = Mapping[str, Any]


def say_absent(records: Iterable[Record], names: Iterable[str]) -> bool:
    """A line on standard error for each metric that finished runs lack, with the reason; -> whether they lack all of them."""
    done, asked = [record["metrics"] for record in records if record["status"] == "done"], list(names)
    missing = 0
    for name in asked:
        reasons = [entry.get("reason", "not measured") for metrics in done if (entry := metrics.get(name, {})).get("value") is None]
        for reason, count in Counter(reasons).items():
            runs = f"all {count} runs" if count == len(done) > 1 else f"{count} of {len(done)} runs" if len(done) > 1 else "the run"
            console.err.print(f"latentbench: {name} is absent from {runs}: {reason}", markup=False)
        missing += len(reasons)
    return bool(done and asked) and missing == len(done) * len(asked)


def recorded_names(metrics: Iterable[str], suite: Suite) -> list[str]:
    """The metrics as records of the suite call them."""
    words = words_of(catalogue(suite.plugins).get("dataset", suite.dataset).values, suite.held_out)
    return [said(name, words) for name in metrics]
