"""Many runs, in this process or in several: each run belongs to whoever claims it, none is run twice, none is lost.

The same claims serve the workers of one command and two commands started by chance on the same suite.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import processes
from bench.engines.preload import preloaded
from bench.environment import set_up
from bench.errors import RunError, UserError
from bench.records.store import PROFILE, Store
from bench.registry import catalogue
from bench.runs.context import Context
from bench.runs.events import Event, Tell
from bench.runs.profile import profiled
from bench.runs.run import check_writable, execute, prepare
from bench.suites.schema import Run


@dataclass(frozen=True)
class Options:
    """What every worker needs to know."""

    out: Path
    data_root: Path
    device: str
    threads: int
    jobs: int
    save_every: float = 30.0
    profiles: bool = False  # of every row that has none


Before = dict[str, int | None]  # by key of run: when its record was written that was there before this command, if one was


def sweep(runs: list[Run], options: Options, tell: Tell) -> None:
    """Bring every run to its end, wherever it happens, then profile rows; records and profiles are in the store then."""
    store = Store(options.out, runs[0].suite)
    left = [run for run in runs if not store.finished(run)]
    for run in runs:
        if run not in left:
            tell(Event(name_of(run), 1.0, "skipped"))
    before = {run.key(): store.written(run) for run in left}
    pieces = max(len(left), len(unprofiled(runs, store, options)))
    jobs = min(options.jobs, pieces)
    if jobs > 1:
        in_processes(runs, before, options, jobs, tell)
    elif pieces:
        work(runs, before, options, tell)


def name_of(run: Run) -> str:
    """A run as a progress bar calls it."""
    return f"{run.label} seed {run.seed}"


def unprofiled(runs: list[Run], store: Store, options: Options) -> list[list[Run]]:
    """The runs of each row that is to have a profile of its present values on its kind of device, and has none."""
    if not options.profiles:
        return []
    known = {(profile["row_key"], profile["device"]) for profile in store.kept(PROFILE)}
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(run.row_key(), []).append(run)
    return [row for key, row in rows.items() if (key, row[0].device) not in known]


def work(runs: list[Run], before: Before, options: Options, tell: Tell) -> None:
    """Run all that nobody else runs and profile rows, then wait for the runs of others and take over what they leave."""
    device = set_up(options.device, options.threads)
    store = Store(options.out, runs[0].suite)
    context = Context(catalogue(runs[0].plugins), store, device, options.data_root, options.jobs, options.save_every)
    context.data(runs[0])  # missing or damaged data is said before anything is written
    check_writable(store)
    left, rows = [run for run in runs if run.key() in before], unprofiled(runs, store, options)
    for wait in (False, True):
        left = [run for run in left if not attempt(run, before, context, tell, wait)]
        rows = [row for row in rows if not attempt_profile(row, context, options, tell)]


def attempt(run: Run, before: Before, context: Context, tell: Tell, wait: bool) -> bool:
    """Run it if it is free and has not ended since this command began, be it in a failure; -> whether it has ended."""
    name = name_of(run)
    with context.store.claim(run, wait) as mine:
        if not mine:
            return False
        if context.store.finished(run) or context.store.written(run) != before[run.key()]:
            tell(Event(name, 1.0, "skipped"))
            return True
        record = execute(run, context, lambda share: tell(Event(name, share)))
        tell(Event(name, 1.0, record["status"], record["error"]))
        return True


def attempt_profile(row: list[Run], context: Context, options: Options, tell: Tell) -> bool:
    """Profile a row of which a run is done, if nobody else does, beside other workers' runs, as runs are; -> whether that has ended."""
    store, name = context.store, f"{row[0].label} profile"
    with store.claim(row[0]) as mine:
        if not mine or not any((store.record(run) or {}).get("status") == "done" for run in row):
            return False
        if not unprofiled(row, store, options):
            return True
        tell(Event(name, counts=False))
        try:
            store.merge([profiled(prepare(row[0], context.catalogue), context)], PROFILE)
            tell(Event(name, 1.0, "done", counts=False))
        except RunError as error:
            tell(Event(name, 1.0, "failed", str(error), counts=False))
        return True


def in_processes(runs: list[Run], before: Before, options: Options, jobs: int, tell: Tell) -> None:
    """The same in `jobs` processes; UserError if one met an error that is no single run's, or died with something not ended."""
    died = processes.run_workers(partial(work, runs, before, options), jobs, options.threads, tell, preloaded())
    store = Store(options.out, runs[0].suite)
    left = [run for run in runs if run.key() in before and store.written(run) == before[run.key()]]
    if died and (left or unprofiled(runs, store, options)):
        raise UserError(f"a worker died (exit code {died[0]}; -9 often means out of memory, try --jobs 1); the same command goes on")
