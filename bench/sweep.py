"""Many runs, in this process or in several: each run belongs to whoever claims it, none is run twice, none is lost.

The same claims serve the workers of one command and two commands started by chance on the same suite.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import processes
from bench.context import Context
from bench.environment import set_up
from bench.errors import UserError
from bench.registry import catalogue
from bench.run import execute
from bench.spec import Run
from bench.store import Store


@dataclass(frozen=True)
class Options:
    """What every worker needs to know."""

    out: Path
    data_root: Path
    device: str
    threads: int
    jobs: int
    save_every: float = 30.0


@dataclass(frozen=True)
class Event:
    """News of a run: a share of its budget spent, or its status once it has ended (`skipped`: another process had it)."""

    run: str
    share: float = 0.0
    status: str | None = None
    error: str | None = None


Tell = Callable[[Event], None]


Before = dict[str, int | None]  # by key of run: when its record was written that was there before this command, if one was


def sweep(runs: list[Run], options: Options, tell: Tell) -> None:
    """Bring every run to its end, wherever it happens; the records are in the store then."""
    store = Store(options.out, runs[0].suite)
    left = [run for run in runs if not store.finished(run)]
    for run in runs:
        if run not in left:
            tell(Event(name_of(run), 1.0, "skipped"))
    before = {run.key(): store.written(run) for run in left}
    jobs = min(options.jobs, len(left))
    if jobs > 1:
        in_processes(left, before, options, jobs, tell)
    elif left:
        work(left, before, options, tell)


def name_of(run: Run) -> str:
    """A run as a progress bar calls it."""
    return f"{run.label} seed {run.seed}"


def work(runs: list[Run], before: Before, options: Options, tell: Tell) -> None:
    """Run all that nobody else runs, then wait for those of others and take over what they leave."""
    device = set_up(options.device, options.threads)
    store = Store(options.out, runs[0].suite)
    context = Context(catalogue(runs[0].plugins), store, device, options.data_root, options.jobs, options.save_every)
    left = [run for run in runs if not attempt(run, before, context, tell, wait=False)]
    for run in left:
        attempt(run, before, context, tell, wait=True)


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


def in_processes(runs: list[Run], before: Before, options: Options, jobs: int, tell: Tell) -> None:
    """The same in `jobs` processes; UserError if one met an error that is no single run's, or died with a run not ended."""
    died = processes.spread(partial(work, runs, before, options), jobs, options.threads, tell)
    store = Store(options.out, runs[0].suite)
    if died and any(store.written(run) == before[run.key()] for run in runs):
        raise UserError(f"a worker died (exit code {died[0]}; -9 often means out of memory, try --jobs 1); the same command goes on")
