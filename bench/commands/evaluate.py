"""`python -m bench evaluate` and `verify`: finished runs measured again from their weights."""

import multiprocessing
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bench import processes
from bench.commands import console
from bench.commands.absent import recorded_names, say_absent
from bench.engines.preload import preloaded
from bench.errors import UserError, unknown
from bench.leaderboard import publish as boards
from bench.markdown import counted
from bench.records.comparison import Change
from bench.records.store import RECORD, Store, read_record
from bench.registry import Catalogue, catalogue
from bench.runs.context import with_jobs
from bench.runs.events import Event
from bench.runs.finished import Trained
from bench.runs.remeasure import Action, Measured, Task, evaluate_run, verify_run, work
from bench.runs.run import WEIGHTS
from bench.runs.settings import Settings
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Suite

SHAPE = "<out>/runs/<suite>/<label>/<seed>-<key>"  # of a run's folder
HEADS = ["run", "what", "recorded", "now", "relative", "why"]


@dataclass(frozen=True)
class Target:
    """What was asked for, as it lies on disk."""

    store: Store
    suite: Suite
    runs: list[Trained]
    lacking: str = ""  # what is said of finished runs whose weights are not here


def evaluate(target: Target, metrics: tuple[str, ...], settings: Settings) -> int:
    """Add metrics to the records, write the leaderboard anew; -> exit code, 1 where all metrics that were asked for are absent.

    metrics: () for the suite's own. UserError for a run that was refused, once the others are done.
    """
    asked = metrics or target.suite.metrics
    known = catalogue(target.suite.plugins)
    task = task_of(target, settings, metrics, known)
    try:
        found, refused = carry_out(evaluate_run, target, replace(task, metrics=asked))
    finally:
        if target.store.records():  # those that were done before what ended it, too
            boards.publish(target.store.out, target.suite, console.warn)
    lost = sorted({name for names in found for name in names})
    if found:
        print(f"{counted(len(found), 'run')} evaluated; leaderboard: {target.store.boards / target.suite.name}.md")
    if lost:
        print(f"kept as they were, for the weights of their networks are not here or memory ran out: {', '.join(lost)}")
    say(refused)
    records = [record for run in target.runs if (record := read_record(run.folder))]
    return int(say_absent(records, recorded_names(asked, target.suite, known)))


def verify(target: Target, metrics: tuple[str, ...], settings: Settings, tolerance: float) -> int:
    """Compute every metric of the records again and print what moved; -> exit code, 1 if something did."""
    with tempfile.TemporaryDirectory() as cache:  # features that were kept are not taken on trust
        task = task_of(target, replace(settings, cache=Path(cache)), metrics, catalogue(target.suite.plugins))
        found, refused = carry_out(verify_run, target, replace(task, tolerance=tolerance))
    moved = [change for changes in found for change in changes]
    if moved:
        console.table(HEADS, [row(change) for change in moved])
        print()
    every = counted(len(found), "run")
    words = f"{sum(map(bool, found))} of {every} moved" if moved else f"{every} verified: nothing moved"
    if found:
        print(f"{words} (tolerance {tolerance:g}, relative)")
    say(refused)
    return 1 if moved else 0


def row(change: Change) -> list[str]:
    """A change under HEADS."""
    relative = "-" if change.relative is None else f"{change.relative:.3g}"
    return [change.run, change.what, change.old, change.new, relative, "; ".join(change.why)]


def say(refused: list[str]) -> None:
    """UserError with the last of what was refused; the others are printed before it."""
    for line in refused[:-1]:
        console.err.print(f"latentbench: {line}", markup=False)
    if refused:
        raise UserError(refused[-1])


def carry_out(action: Action, target: Target, task: Task) -> tuple[list[tuple[Any, ...]], list[str]]:
    """Do it to all runs; -> what there is to say of each that was measured, and a line for each that was refused."""
    found, refused = list[tuple[Any, ...]](), list[str]()
    with console.progress(len(target.runs)) as tell:
        in_order(action, target.runs, task, partial(hear, tell, found, refused))
    if len(found) + len(refused) < len(target.runs):
        raise UserError("a worker died (often for lack of memory, try --jobs 1); the records of the runs that it had are as they were")
    return found, [*refused, *[target.lacking] * bool(target.lacking)]


def hear(tell: Callable[[Event], None], found: list[tuple[Any, ...]], refused: list[str], news: Measured) -> None:
    """Sort the news of runs that have ended; a refusal waits until the end, where it is a line of its own."""
    if news.status == "done":
        found.append(news.found)
    elif news.status:
        refused.append(str(news.error))
    tell(Event(news.run, news.share, news.status))


def in_order(action: Action, runs: list[Trained], task: Task, tell: Callable[[Any], None]) -> None:
    """The runs in order, in this process or in several."""
    begun = multiprocessing.get_context("spawn").Value("i", 0)
    job, jobs = partial(work, action, runs, begun, task), task.settings.jobs or 1
    if jobs > 1:
        processes.run_workers(job, jobs, task.settings.threads, tell, preloaded())
    else:
        job(tell)


def task_of(target: Target, settings: Settings, metrics: tuple[str, ...], known: Catalogue) -> Task:
    """How the runs are measured; UserError for a metric that does not exist."""
    for name in metrics:
        if name not in known.every_metric:
            raise UserError(f"--metrics: {unknown('metric', name, known.every_metric)}")
    settings = with_jobs(replace(settings, out=target.store.out), len(target.runs))
    return Task(settings, target.suite.name, target.suite.plugins, metrics)


def target_of(what: str, overrides: tuple[str, ...], out: Path, name: str | None) -> Target:
    """The runs that were asked for, of a suite or by a run's folder; UserError where there are none, or none with weights."""
    folder = Path(what)
    if what not in reader.names() and (folder.is_dir() or ("/" in what and not what.endswith(".toml"))):
        if overrides or name:
            raise UserError("--set and --name are of a suite; a run's folder has its values")
        return target_of_run(folder)
    suite = reader.read(what, overrides, name=name)
    boards.check(out, suite)
    store = Store(out, suite.name)
    runs = [run for device in ("cpu", "cuda") for run in suite.runs(device)]
    records = {(line["label"], line["key"]): line for line in store.records()}
    records |= {(run.label, run.key()): record for run in runs if (record := store.record(run))}
    done = [run for run in runs if records.get((run.label, run.key()), {}).get("status") == "done"]
    if not done:
        raise UserError(f"{store.runs}: no finished run of suite {suite.name}; train them with: {command(suite)}")
    here = [run for run in done if (store.folder(run) / WEIGHTS).is_file()]
    lacking = ""
    if len(here) < len(done):
        first = next(store.folder(run) for run in done if run not in here)
        lacking = (
            f"{len(done) - len(here)} of {len(done)} finished runs of {suite.name} have no weights in {store.runs}; {again(first, suite)}"
        )
    if not here:
        raise UserError(lacking)
    return Target(store, suite, [Trained(store.folder(run), suite.plugins) for run in here], lacking)


def target_of_run(folder: Path) -> Target:
    """The run of a folder."""
    parts = folder.resolve().parts
    if len(parts) < 5 or parts[-4] != "runs" or "-" not in parts[-1]:
        raise UserError(f"{folder}: not the folder of a run, which is {SHAPE}; or give a suite's name, or its .toml file")
    out, (name, label, place) = Path(*parts[:-4]), parts[-3:]
    suite, store = boards.suite_of(out, name), Store(out, name)
    lines = [line for line in store.records() if (line["label"], f"{line['seed']}-{line['key']}") == (label, place)]
    record = read_record(folder) or (lines[0] if lines else {})
    if record.get("status") == "done" and not record["smoke"] and not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder}: its weights are not here; {again(folder, suite, folder.parent.name)}")
    if not folder.is_dir():
        near = sorted(str(path.relative_to(store.runs)) for path in store.runs.glob("*/*-*"))
        raise UserError(f"{folder}: {unknown('run', f'{label}/{place}', near)}")
    return Target(store, suite, [Trained(folder, suite.plugins)])


def again(folder: Path, suite: Suite, label: str = "") -> str:
    """How to train a run whose weights are missing once more, or the whole suite."""
    first = "delete its record.json, then " if (folder / RECORD).exists() else ""
    return f"they are not in git, train again: {first}{command(suite)}" + f" --methods {shlex.quote(label)}" * bool(label)


def command(suite: Suite) -> str:
    """What trains a suite."""
    return f"python -m bench run {options(suite)}"
