"""Finished runs measured again from their weights: metrics added to their records, or compared with them; nothing is trained.

Values are those that a training run of the same weights would record: every view's random stream follows from the run's seed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from bench.environment import code_hash, describe
from bench.errors import FOREIGN, RunError, UserError, in_a_line
from bench.evaluation.evaluate import evaluate, name_of
from bench.processes import Tell
from bench.records.comparison import Change, Now, changes, updated
from bench.records.identity import differences
from bench.records.locks import claimed
from bench.records.store import Store, cell, save_record
from bench.runs.context import Context, context_of
from bench.runs.costs import parameters
from bench.runs.events import Event
from bench.runs.finished import Trained
from bench.runs.prepare import Prepared
from bench.runs.settings import Settings
from bench.runs.up_to_date import ran_out
from bench.training.checkpoint import weights_hash
from metrics.metric import Metric

PARAMETERS = "parameter_count"  # of a record's metrics, the one that no metric of the catalogue computes


@dataclass(frozen=True)
class Task:
    """What is measured of the runs of a suite; settings without a device leave each run on the kind that it was trained on."""

    settings: Settings
    suite: str
    plugins: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()  # () is every metric
    tolerance: float = 0.0  # of a verification


@dataclass(frozen=True)
class Measured(Event):
    """News of a run that was measured: what moved, or which values stayed because their networks are not here."""

    found: tuple[Any, ...] = ()


Action = Callable[[Trained, Context, Task], tuple[Any, ...]]


def work(action: Action, runs: list[Trained], begun: "Synchronized[int]", task: Task, tell: Tell) -> None:
    """Do it to every run that no other worker has begun; what goes wrong with one is said, the others are done."""
    contexts: dict[str, Context] = {}
    while (number := take(begun)) < len(runs):
        trained = runs[number]
        tell(Measured(trained.name))
        try:
            kind = task.settings.device or trained.record()["config"].get("device", "cpu")
            if kind not in contexts:
                contexts[kind] = context_of(replace(task.settings, device=kind), task.suite, task.plugins)
            found = action(trained, contexts[kind], task)
        except RunError as error:
            tell(Measured(trained.name, 1.0, "refused", str(error)))
        else:
            tell(Measured(trained.name, 1.0, "done", found=found))


def take(begun: "Synchronized[int]") -> int:
    """The number of the next run that nobody has begun."""
    with begun.get_lock():
        begun.value += 1
        return begun.value - 1


def evaluate_run(trained: Trained, context: Context, task: Task) -> tuple[str, ...]:
    """Put metrics into a run's record, in its folder and among its suite's; -> those whose old values stay.

    A value stays where the weights of the network that it is on are not here, or memory ran out. RunError where weights or data are
    not the record's.
    """
    with claimed(trained.folder, wait=True):
        record = trained.record()
        prepared = trusted(trained, record, context)
        metrics = [context.catalogue.measured_by(name) for name in task.metrics or context.catalogue.metrics]
        entries = measured(prepared, context, metrics)
        lost = tuple(
            name
            for metric, name in zip(metrics, entries, strict=True)
            if (metric.details or ran_out(entries[name])) and gone(name, record, entries)
        )
        note = {
            "code": code_hash(trained.plugins),
            "environment": describe(context.device, context.jobs),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        record = updated(record, {name: entry for name, entry in entries.items() if name not in lost}, note)
        save_record(trained.folder, record)
        line = published(record, context.store)
        if line is None or line["key"] == record["key"]:  # else a later meaning of the row has the place
            context.store.merge([record])
    return lost


def trusted(trained: Trained, record: dict[str, Any], context: Context) -> Prepared:
    """The method with the weights that its record is of; RunError where weights, data or the model's code are not the record's."""
    tensors = trained.weights()
    prepared = trained.prepared(record, tensors, context)
    if other := changed_model(record, prepared):
        raise RunError(f"{trained.folder}: {'; '.join(other)}: its weights may mean something else now; train this run again")
    if (found := weights_hash(tensors)) != record["hashes"].get("weights"):
        raise RunError(f"{trained.folder}: its weights (sha256 {found[:16]}) are not those of its record; train this run again")
    if (data := context.data(prepared.run).sha256) != record["hashes"].get("data"):
        raise RunError(f"{trained.folder}: dataset {prepared.run.dataset} (sha256 {data[:16]}) is not the one that it was trained on")
    return prepared


def verify_run(trained: Trained, context: Context, task: Task) -> tuple[Change, ...]:
    """What moved of a run's record, and of its line among its suite's where that says something else; nothing is written."""
    record = trained.record()
    tensors = trained.weights()
    prepared = trained.prepared(record, tensors, context)
    data = context.data(prepared.run)
    line = published(record, context.store)
    kept = line if line and line["key"] == record["key"] else record
    known = context.catalogue.every_metric
    if task.metrics:
        chosen = {name_of(known[name], data.held_out, data.values) for name in task.metrics}
        record, kept = (only(chosen, one) for one in (record, kept))
    names = {*record["metrics"], *kept["metrics"]}
    metrics = [context.catalogue.measured_by(name) for name in known if name_of(known[name], data.held_out, data.values) in names]
    entries = measured(prepared, context, metrics) | {PARAMETERS: parameters(prepared)}
    now = Now(weights_hash(tensors), data.sha256, code_hash(trained.plugins), describe(context.device, context.jobs))
    found = changes(trained.name, record, entries, now, task.tolerance)
    if (kept["metrics"], kept["hashes"]) != (record["metrics"], record["hashes"]):
        found += changes(f"{trained.name}, leaderboard", kept, entries, now, task.tolerance)
    return tuple(found)


def changed_model(record: dict[str, Any], prepared: Prepared) -> list[str]:
    """What of the model and its values is not as it was when the weights were trained; a record before 0.3 does not say.

    What trained them besides, this project's trainer and datasets, counts no more: weights and data have hashes.
    """
    if "trained_by" not in record:
        return []
    now = prepared.trained
    codes = [{name: code for name, code in of["trained_by"].items() if not name.startswith("bench/")} for of in (record, now)]
    return differences({**record, "trained_by": codes[0]}, {**now, "trained_by": codes[1], "environment": record["environment"]})


def measured(prepared: Prepared, context: Context, metrics: list[Metric], seed: int | None = None) -> dict[str, dict[str, Any]]:
    """The entries of metrics, in their order; RunError for what a plugin's method or metric raises, or no memory left.

    seed: of the random streams of views; the run's, as in its record, if not said.
    """
    try:
        evaluation = prepared.evaluation(context.data(prepared.run))
        if seed is not None:
            evaluation.seed = seed
        return evaluate(evaluation, metrics)
    except UserError:
        raise
    except FOREIGN as error:
        raise RunError(f"it cannot be measured: {in_a_line(error)}") from error


def only(chosen: set[str], record: dict[str, Any]) -> dict[str, Any]:
    """The record with those of its metrics."""
    return {**record, "metrics": {name: entry for name, entry in record["metrics"].items() if name in chosen}}


def gone(name: str, record: dict[str, Any], entries: dict[str, Any]) -> bool:
    """Whether the record has a value that could not be had again."""
    return entries[name]["value"] is None and record["metrics"].get(name, entries[name])["value"] is not None


def published(record: dict[str, Any], store: Store) -> dict[str, Any] | None:
    """The line of the suite's records in this one's place."""
    return next((line for line in store.records() if cell(line) == cell(record)), None)
