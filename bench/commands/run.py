"""What the commands do, once their options are read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.commands import console
from bench.commands.absent import recorded_names, say_absent
from bench.engines import local
from bench.engines.cell import run_cell, train_along
from bench.engines.choose import Sweep
from bench.environment import default_device
from bench.errors import RunError, UserError
from bench.leaderboard import headline, selection
from bench.leaderboard import publish as boards
from bench.leaderboard.rows import losses
from bench.leaderboard.statistics import figures, mean_and_interval
from bench.records.check import finite
from bench.records.identity import listed
from bench.records.store import KINDS, PROFILE, Store
from bench.registry import Catalogue
from bench.runs.capacity import check_capacity
from bench.runs.context import Context, context_of, with_jobs
from bench.runs.events import Event, Tell
from bench.runs.prepare import Prepared, build, prepare
from bench.runs.profile import profiled
from bench.runs.resolve import Resolved, resolve
from bench.runs.run import check_writable
from bench.runs.settings import Settings
from bench.runs.up_to_date import stale, unmeasured
from bench.suites.names import argument
from bench.suites.schema import AUTO, Run, Suite
from bench.training.team import LostError, Team, joined

COLUMNS = ("rec_sse_test", "rec_sse_train", "overfit_gap", "frechet_pixels_pz", "frechet_pixels_qz")  # of the table on the console


def checked(
    suite: Suite, whole: Suite, settings: Settings, smoke: bool = False, elsewhere: bool = False
) -> tuple[Context, list[Resolved], list[Prepared]]:
    """The suite's runs, and a method of each row: whatever is wrong with the suite is said before anything starts.

    whole: the suite with all its rows, which must have equal capacity where it says so.
    elsewhere: other machines run them, so this one needs no device.
    """
    device = settings.device or default_device()
    runs = suite.runs(device, smoke=smoke)
    here = settings.on("cpu") if elsewhere else with_jobs(settings.on(device), len(runs))
    context = context_of(here, suite.name, suite.plugins)
    try:
        headline.check(suite, context.catalogue.every_metric)
        context.settings = with_metrics(context.settings, suite, context.catalogue)
        selection.check(suite, *directions(suite, context.catalogue))
        resolved = [resolve(run, context.catalogue) for run in runs]
        prepared = [build(one) for one in resolved if one.run.seed == 0]
        if whole.equal_capacity is not None:
            check_capacity([prepare(run, context.catalogue) for run in whole.runs(device) if run.seed == 0], whole.equal_capacity)
        return context, resolved, prepared
    except UserError as error:
        raise UserError(f"{suite.where}: {error}") from None


def with_metrics(settings: Settings, suite: Suite, known: Catalogue) -> Settings:
    """The settings with the metrics of runs while they train: those that are asked for, or those of the suite's first screen."""
    for name in settings.measured:
        known.get("metric", name, "--measure")
    if settings.measured or not settings.measure_at:
        return settings
    own = suite.metrics or tuple(known.metrics)
    shown = [name for name in headline.titles(suite) if name in own]
    if not shown:
        raise UserError("--measure-at: the first screen of this suite shows none of its metrics; say which by --measure")
    return replace(settings, measured=tuple(shown))


def directions(suite: Suite, known: Catalogue) -> tuple[dict[str, str | None], set[str]]:
    """The metrics of a suite as validation runs call them, with what is better; and as test runs call them."""
    asked = suite.metrics or tuple(known.metrics)
    metrics = [known.get("metric", name) for name in asked]
    return (
        dict(zip(recorded_names(asked, replace(suite, held_out="validation"), known), [metric.better for metric in metrics], strict=True)),
        set(recorded_names(asked, replace(suite, held_out="test"), known)),
    )


def dry_run(suite: Suite, whole: Suite, settings: Settings, smoke: bool) -> None:
    """Print every run with its steps and parameters."""
    context, resolved, prepared = checked(suite, whole, settings, smoke)
    parameters = {one.run.label: f"{one.parameter_count:,}" for one in prepared}
    boards.check(settings.out, suite)
    rows = []
    for index, (run, values, plan) in enumerate((one.run, one.values, one.plan) for one in resolved):
        steps = f"{plan.total:,}" if plan.total is not None else f"as many as {plan.budget} allow"
        shown = ", ".join(f"{name}={value}" for name, value in values.hyperparameters.items())
        rows.append([str(index), run.label, str(run.seed), run.method, shown, steps, parameters[run.label], run.key()])
    became = sorted({one.values.network for one in resolved if one.run.network == AUTO})
    network = f"{AUTO} ({' and '.join(became)})" if became else suite.network
    words = f"{suite.name}: {suite.dataset}, {network}, {suite.latent_dim} latents; {len(rows)} runs on {context.device}"
    console.table(["cell", "run", "seed", "method", "values", "steps", "parameters", "key"], rows, words)


@dataclass(frozen=True)
class Ended:
    """What has become of a suite's runs."""

    found: list[tuple[Resolved, dict[str, Any]]]  # those that have a record, with it
    board: Path | None  # None: smoke runs, which are on none


def run(suite: Suite, whole: Suite, settings: Settings, smoke: bool, profiles: bool, sweep: Sweep = local.sweep) -> int:
    """Run what is not finished of a suite by an engine, write the leaderboard; -> exit code.

    whole: the suite with all its rows and seeds, for the leaderboard.
    """
    context, runs = checked(suite, whole, settings, smoke, elsewhere=sweep is not local.sweep)[:2]
    check_results(context.store, whole)
    say_stale(with_records(runs, context.store))
    with console.progress(len(runs)) as tell:
        ended = carry_out(context, runs, whole, profiles=profiles, tell=tell, warn=console.warn, smoke=smoke, sweep=sweep)
    current = [record for one, record in ended.found if not stale(one, record)]
    asked = recorded_names(suite.metrics, suite, context.catalogue)
    for name, recorded in zip(suite.metrics, asked, strict=True):
        if suite.held_out == "validation" and name != recorded:
            console.warn(f"held_out is validation: {name} is measured as {recorded}")
    summary(current, asked or recorded_names(COLUMNS, suite, context.catalogue), suite.question)
    lacking = say_absent(current, asked)
    say_unmeasured(ended.found, whole)
    print("\nsmoke runs: not on any leaderboard" if ended.board is None else f"\nleaderboard: {ended.board}")
    done = all(record["status"] == "done" for record in current) and len(current) == len(runs)
    return 0 if done and not lacking else 1


def check_results(store: Store, whole: Suite) -> None:
    """UserError before anything starts for results of another suite of that name, or a damaged line of records."""
    boards.check(store.out, whole)
    for kind in KINDS:
        store.records(kind)


def carry_out(
    context: Context,
    runs: list[Resolved],
    whole: Suite,
    *,
    profiles: bool,
    tell: Tell,
    warn: boards.Warn,
    smoke: bool = False,
    sweep: Sweep = local.sweep,
) -> Ended:
    """Bring the runs to their end by an engine, put their records among the suite's, write its leaderboard.

    whole: the suite with all its rows and seeds. tell: called with news of runs. warn: with a line on what stops nothing.
    """
    store = context.store
    claims: list[Callable[[], None]] = [] if smoke else [partial(boards.claim, store.out, whole)]
    try:
        sweep(runs, context, profiles and not smoke, partial(hear, claims, tell))
    finally:
        found = with_records(runs, store)
        if found and not smoke:
            store.merge(record for _, record in found)
    return Ended(found, None if smoke else boards.publish(store.out, whole, warn))


def cell(suite: Suite, index: int, settings: Settings, smoke: bool, team: Team | None = None) -> int:
    """Run one cell of a suite, by its number among the suite's runs, unless it is finished; -> exit code. Writes no leaderboard."""
    settings = settings.on(settings.device or default_device())
    one, store = cell_of(suite, index, settings, smoke), Store(settings.out, suite.name)
    boards.check(settings.out, suite)
    with console.progress(1) as tell:
        run_cell(one, settings, store.written(one), tell, team)
    record = store.record(one) or {"status": "failed"}
    print(f"{store.folder(one)}: {record['status']}")
    return 0 if record["status"] == "done" else 1


def cell_of(suite: Suite, index: int, settings: Settings, smoke: bool) -> Run:
    """The run of that number on the settings' device; UserError where there is none."""
    runs = suite.runs(str(settings.device), smoke=smoke)
    if not 0 <= index < len(runs):
        raise UserError(f"{suite.where}: INDEX must be 0 to {len(runs) - 1}, not {index}; --dry-run of run shows them in their order")
    return runs[index]


def cell_together(read: Callable[[], Suite], index: int, settings: Settings, smoke: bool) -> int:
    """The same in each of the processes that `torchrun` has started; -> exit code.

    All but the first wait until that one has something to train: whatever is wrong is said once, and what is finished is left alone.
    """
    settings = settings.on(settings.device or default_device())
    with joined(str(settings.device)) as team:
        if team.first:
            try:
                return cell(read(), index, settings, smoke, team)
            finally:
                team.release()
        try:
            if team.called():
                train_along(cell_of(read(), index, settings, smoke), settings, team)
        except LostError:  # who was lost has said why, or torchrun does
            return 1
        return 0


def with_records(runs: list[Resolved], store: Store) -> list[tuple[Resolved, dict[str, Any]]]:
    """Those of the runs that have a record, with it."""
    return [(one, record) for one in runs if (record := store.record(one.run))]


def say_stale(runs: list[tuple[Resolved, dict[str, Any]]]) -> None:
    """A line for each row whose runs on record were trained by other code or with other values, and are trained again."""
    seeds: dict[tuple[str, str], list[str]] = {}
    for one, record in runs:
        if found := stale(one, record):
            seeds.setdefault((one.run.label, "; ".join(found)), []).append(str(one.run.seed))
    for (label, why), of in seeds.items():
        console.err.print(f"{label}: seed{'s' * (len(of) > 1)} {', '.join(of)} stale, trained again: {why}", markup=False)


def say_unmeasured(runs: list[tuple[Resolved, dict[str, Any]]], suite: Suite) -> None:
    """How to measure the finished runs whose metrics are not those of now."""
    lacking = [name for one, record in runs if record["status"] == "done" for name in unmeasured(one, record)]
    if lacking:
        names, again = listed(dict.fromkeys(lacking)), f"python -m bench evaluate {argument(suite)}"
        print(f"\nmetrics were added or changed since, or memory ran out ({names}); to measure finished runs again: {again}")


def hear(claims: list[Callable[[], None]], tell: Tell, event: Event) -> None:
    """Pass news on; with the first of a run, that is once data are there and results can be written, the suite's name is claimed."""
    while claims:
        claims.pop()()
    tell(event)


def summary(records: list[dict[str, Any]], columns: Iterable[str], question: str) -> None:
    """Those of the rows' numbers that they have on the console, means over the seeds that were asked for."""
    shown = [name for name in columns if any(name in record["metrics"] for record in records)]
    rows = []
    for label in dict.fromkeys(record["label"] for record in records):
        own = [record for record in records if record["label"] == label]
        done = [record for record in own if record["status"] == "done"]
        status = f"{len(done)}/{len(own)} done{losses(own)}"
        rows.append([label, status, *(mean([record["metrics"].get(name) for record in done]) for name in shown)])
    console.table(["method", "status", *shown], rows, " ".join(question.split()))


def mean(entries: list[dict[str, Any] | None]) -> str:
    """The mean of a metric's finite values and its interval, as on the leaderboard."""
    values = [float(entry["value"]) for entry in entries if entry and entry["value"] is not None and finite(entry["value"])]
    return figures(*mean_and_interval(values)) if values else "-"


def profile(suite: Suite, settings: Settings) -> None:
    """Profile the first row of a suite, print and keep it."""
    context, _, (prepared, *_) = checked(suite, suite, settings)
    check_writable(context.store)
    boards.check(settings.out, suite)
    try:
        result = profiled(prepared, context)
    except RunError as error:
        raise UserError(f"{prepared.run.label}: {error}") from error
    context.store.merge([result], PROFILE)
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in result["phases"].items())
    print(f"{result['label']}: {result['step_ms']:.3g} ms a step: {shares}\n")
    rows = [
        [k["name"], f"{k['calls']:g}", f"{k['self_us']:.1f}", f"{100 * k['share']:.1f} %", f"{k['flops']:,}" if k["flops"] else "-"]
        for k in result["kernels"]
    ]
    console.table(["kernel", "calls/step", "self µs/step", "share", "FLOPs/step"], rows)
