"""One run: suite values in, trained weights and a record out. What goes wrong in it is a status of its row."""

import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import derive
from bench.environment import code_hash, describe, reset_peak_memory
from bench.errors import FOREIGN, RunError, UserError, in_a_line, is_of_memory
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.figures.pictures import pictures
from bench.files import write, writing
from bench.records.identity import identity
from bench.records.store import Store
from bench.runs.anytime import Anytime
from bench.runs.card import KEY, card
from bench.runs.context import Context, kernels_on
from bench.runs.costs import costs, parameters
from bench.runs.live import Live, Report
from bench.runs.prepare import Prepared, build
from bench.runs.resolve import Resolved
from bench.runs.stages import train_stage
from bench.runs.together import processes, stages_of, trained_here
from bench.runs.trackers import Followed, Trackers
from bench.suites.schema import SCHEMA
from bench.training.checkpoint import weights_file, weights_hash
from bench.training.train import Outcome

WEIGHTS, ERROR = "weights.safetensors", "error.txt"
Note = Callable[[str], None]  # called with what is to be said of a run while it goes on


def execute(resolved: Resolved, context: Context, report: Report | None = None, note: Note | None = None) -> dict[str, Any]:
    """Train, evaluate and record a run that is this process's alone; -> its record, whatever became of it.

    UserError (a full disk, missing data) leaves no record: it would meet every run. That of a lost device comes after the record.
    """
    started = now()
    run, prepared = resolved.run, build(trained_here(resolved, context.team))
    record = head(prepared, context)
    trackers = Trackers(context.settings.log, followed(record, context.store.folder(run)), note)
    live = Live(context.store, run, len(prepared.stages), trackers, report)
    lost = ""
    try:
        record |= carry_out(prepared, context, record, live, note)
    except UserError:
        raise
    except FOREIGN as error:  # one run's failure, a plugin's bug included, is its row's status; the suite goes on
        text = out_of_memory(error, prepared) or (str(error) if isinstance(error, RunError) else in_a_line(error))
        record |= failure(text)
        write(context.store.folder(run) / ERROR, traceback.format_exc().encode())
        lost = device_lost(context.device)
    record["times"] = {"started": started, "finished": now()}
    context.store.save_record(run, record)
    if record["status"] != "failed":
        context.store.drop_checkpoint(run)
    values = {**record["metrics"], **record["cost"]}
    trackers.end({name: entry["value"] for name, entry in values.items() if entry["value"] is not None}, record["status"])
    if lost:
        raise UserError(
            f"{run.label} seed {run.seed} failed, and {context.device} with it: {lost}; the same command goes on with the others"
        )
    return record


def device_lost(device: torch.device) -> str:
    """What a GPU says that answers nothing more in this process: after an access out of bounds every later run would fail. Else ''."""
    if device.type != "cuda":
        return ""
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        return in_a_line(error)
    return ""


def followed(record: Mapping[str, Any], folder: Path) -> Followed:
    """The run as trackers know it."""
    name, config = f"{record['label']} seed {record['seed']}", record["config"]
    return Followed(record["suite"], name, record["key"], folder, config)


def failed(resolved: Resolved, context: Context, error: str, details: str) -> dict[str, Any]:
    """Record a run that the process which ran it did not survive; -> its record. Its checkpoint stays: another start goes on from it."""
    record = head(build(trained_here(resolved, context.team)), context) | failure(error) | {"times": {"started": now(), "finished": now()}}
    write(context.store.folder(resolved.run) / ERROR, details.encode())
    context.store.save_record(resolved.run, record)
    return record


def failure(error: str) -> dict[str, Any]:
    """The part of a record that says why there are no numbers."""
    return {"status": "failed", "error": error, "spent": None, "metrics": {}, "cost": {}}


def now() -> str:
    """As records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def out_of_memory(error: BaseException, prepared: Prepared) -> str | None:
    """What to say where memory was not enough: the sizes that need it, and what makes them smaller; None for another error.

    Python, torch on the CPU and torch on a GPU each have an error of their own for it.
    """
    if not is_of_memory(in_a_line(error)):
        return None
    run, asked = prepared.run, re.search(r"allocate ([\d.]+ \w+)", str(error))
    sizes = f"batch_size {run.batch_size}, latent_dim {run.latent_dim}, {prepared.parameter_count:,} parameters"
    return f"out of memory{f' for {asked[1]} more' if asked else ''} ({sizes}); lower batch_size, or have fewer runs at a time: --jobs 1"


def head(prepared: Prepared, context: Context) -> dict[str, Any]:
    """What a record says before anything has run."""
    run = prepared.run
    recipe = {name: words for stage in prepared.stages for name, words in stage.recipe.items()}
    convention = context.catalogue.get("dataset", run.dataset).convention
    return {
        "schema": SCHEMA,
        **{name: getattr(run, name) for name in ("suite", "label", "seed", "smoke")},
        "key": run.key(),
        "row_key": run.row_key(),
        "config": {**prepared.values.config(), "recipe": recipe, "convention": convention},
        "trained_by": prepared.trained_by,
        "environment": describe(context.device, context.jobs, run.precision or "float32")
        | {"kernels": kernels_on(context.device), **processes(context.team)},
        "hashes": {"code": code_hash(run.plugins)},
    }


def carry_out(prepared: Prepared, context: Context, record: Mapping[str, Any], live: Live, note: Note | None) -> dict[str, Any]:
    """The part of a run that takes time; -> the rest of its record.   record: what is said before it"""
    run, store, device = prepared.run, context.store, context.device
    data = context.data(run)
    if context.team is None or context.team.first:
        live.first_stage = anytime(prepared, context, live.trackers)
    reset_peak_memory(device)
    outcomes = train_stages(prepared, context, live, note)
    last = outcomes[-1]
    before = time.perf_counter()
    entries, absent = dict[str, Any](), dict[str, str]()
    tensors = prepared.tensors()
    hashes = {**record["hashes"], "data": data.sha256, "weights": weights_hash(tensors)}
    describe_weights = partial(card, prepared, context.catalogue.get("dataset", run.dataset), record, hashes)
    if last.status == "done":
        save = partial(write, store.folder(run) / WEIGHTS)
        save(weights_file(tensors, {KEY: describe_weights({})}))  # before anything that may go wrong with them
        evaluation = prepared.evaluation(data)
        entries = evaluate(evaluation, prepared.metrics)
        if evaluation.ruined:
            last, entries = replace(last, status="diverged", error=f"{evaluation.ruined[0]}; lower lr"), {}
    if last.status == "done":
        save(weights_file(tensors, {KEY: describe_weights(entries)}))
        drawn, absent = pictures(evaluation)
        for name, picture in drawn.items():
            write(store.folder(run) / f"{name}.png", picture)
    store.save_curve(run, live.before)
    entries["parameter_count"] = parameters(prepared)
    spent = dict[str, Any]()
    for stage, outcome in zip(prepared.stages, outcomes, strict=False):  # fewer, where one diverged
        spent |= stage.named(outcome.spent(prepared.plan.per_epoch, run.batch_size))
    return {
        "status": last.status,
        "error": last.error,
        "execution": outcomes[0].execution,
        "spent": spent,
        "hashes": hashes,
        "metrics": entries,
        "cost": costs(prepared, outcomes, time.perf_counter() - before, device),
        "absent_pictures": absent,  # by name, with the reason
    }


def anytime(prepared: Prepared, context: Context, trackers: Trackers) -> Anytime:
    """What measures the run while it trains, at the shares that the settings ask for; its density is fitted later."""
    run, settings = prepared.run, context.settings
    metrics = [context.catalogue.measured_by(name) for name in settings.measured]
    evaluation = partial(Evaluation, prepared.method, context.data(run), run.seed)
    return Anytime(context.store, run, settings.measure_at, metrics, evaluation, prepared.method, trackers)


def train_stages(prepared: Prepared, context: Context, live: Live, note: Note | None) -> list[Outcome]:
    """Train stage after stage until one diverges, each from its checkpoint if that belongs here; -> how each ended.

    It does if the same code trained it with the same values, on the same weights of the stages before.
    """
    trained = identity({**prepared.trained, "environment": processes(context.team)})
    torch.manual_seed(derive(prepared.run.seed, "layers"))  # dropout and its like draw from torch's own stream
    outcomes, tensors = list[Outcome](), dict[str, Tensor]()
    with stages_of(prepared, context) as stages:
        for stage in stages:
            outcomes.append(
                train_stage(
                    stage,
                    prepared.run,
                    context,
                    of=f"{trained} {weights_hash(tensors) if tensors else ''}",
                    note=note,
                    save_end=stage is not stages[-1],
                    report=live,
                )
            )
            live.stage_ended(outcomes[-1].curve, outcomes[-1].step)
            if outcomes[-1].status != "done":
                break
            tensors |= stage.tensors()
    return outcomes


def check_writable(store: Store) -> None:
    """UserError before hours of work where the results cannot be kept."""
    probe = store.runs / ".writable"
    write(probe, b"")
    with writing(probe):
        probe.unlink(missing_ok=True)  # another worker's probe is the same file
