"""Whether what is recorded of a run is what a start of it now would record."""

from collections.abc import Mapping
from typing import Any

from bench.errors import is_of_memory
from bench.evaluation.evaluate import name_of
from bench.records.identity import differences
from bench.records.store import FINAL, Store
from bench.runs.resolve import Resolved
from bench.runs.together import code_of_environment


def up_to_date(resolved: Resolved, store: Store) -> bool:
    """Whether the run has ended, by the code and with the values of now; one that failed is tried again."""
    record = store.record(resolved.run)
    return record is not None and record["status"] in FINAL and not stale(resolved, record)


def stale(resolved: Resolved, record: Mapping[str, Any]) -> list[str]:
    """What trained the record and would not train the run now; [] for nothing. How many processes did is no reason to train again."""
    environment = record["environment"]
    trained_by = resolved.trained_by | code_of_environment(environment)
    return differences(record, {"config": resolved.values.config(), "trained_by": trained_by, "environment": environment})


def unmeasured(resolved: Resolved, record: Mapping[str, Any]) -> list[str]:
    """The run's metrics that its record lacks, has by other code than that of now, or lacks for want of memory."""
    held_out, values = resolved.run.held_out, resolved.source.values
    codes = {name_of(metric, held_out, values): metric.code for metric in resolved.metrics}
    entries = {name: record["metrics"].get(name, {}) for name in codes}
    return [name for name, entry in entries.items() if entry.get("code") != codes[name] or ran_out(entry)]


def ran_out(entry: Mapping[str, Any]) -> bool:
    """Whether a metric has no value because memory ran out: another machine, or this one with fewer runs at a time, may have it."""
    return entry.get("value") is None and is_of_memory(str(entry.get("reason")))
