"""Finished runs measured several times, each time with other random draws; records stay as they are.

A paper's ± may be over evaluations of one trained model, as LaDDer's is ("evaluation is repeated 5 times", SPEC S16); a leaderboard's
is over training seeds.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.datasets.batches import derive
from bench.records.locks import claimed
from bench.runs.context import Context
from bench.runs.finished import Trained
from bench.runs.remeasure import Task, measured, trusted


@dataclass(frozen=True)
class Repeats:
    """A run's values, one a time; the first are those of its record."""

    label: str
    seed: int
    values: Mapping[str, tuple[float, ...]]  # by the metric's name in records; none that has no value


@dataclass(frozen=True)
class Spread:
    """How far a metric of a row varies: standard deviations with divisors n - 1, NaN of one value."""

    label: str
    metric: str
    mean: float
    evaluations: float  # of one run's values: the root of the mean of the runs' variances
    trainings: float  # of the training seeds' values in their records
    seeds: int


def repeat_run(times: int, trained: Trained, context: Context, task: Task) -> tuple[Repeats]:
    """Measure a run so many times; RunError where weights or data are not the record's."""
    with claimed(trained.folder, wait=True):
        record = trained.record()
        prepared = trusted(trained, record, context)
        metrics = [context.catalogue.measured_by(name) for name in task.metrics or context.catalogue.metrics]
        seeds = [trained.seed, *(derive(trained.seed, "repeat", n) for n in range(1, times))]
        found = [measured(prepared, context, metrics, seed) for seed in seeds]
    named = {name: tuple(entries[name]["value"] for entries in found) for name in found[0]}
    return (Repeats(record["label"], record["seed"], {name: values for name, values in named.items() if None not in values}),)


def spreads(runs: Iterable[Repeats]) -> list[Spread]:
    """Each metric of each row, in the order of the runs."""
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for run in runs:
        for metric, values in run.values.items():
            rows.setdefault((run.label, metric), []).append(values)
    return [spread(label, metric, values) for (label, metric), values in rows.items()]


def spread(label: str, metric: str, runs: Sequence[tuple[float, ...]]) -> Spread:
    """Of one metric: the values of a row's runs, one tuple a training seed."""
    within = math.sqrt(statistics.fmean(deviation(values) ** 2 for values in runs))
    first = [values[0] for values in runs]
    return Spread(label, metric, statistics.fmean(first), within, deviation(first), len(runs))


def deviation(values: Sequence[float]) -> float:
    """Their standard deviation, divisor n - 1; NaN of one value."""
    return statistics.stdev(values) if len(values) > 1 else math.nan
