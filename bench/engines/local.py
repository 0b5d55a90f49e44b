"""Many runs, in this process or in several: each run belongs to whoever claims it, none is run twice, none is lost.

The same claims serve the workers of one command and two commands started by chance on the same suite.
"""

from functools import partial

from bench import processes
from bench.engines.cell import Before, attempt, unfinished
from bench.engines.preload import preloaded
from bench.engines.watch import stalled
from bench.errors import RunError, UserError
from bench.records.store import PROFILE, Store
from bench.runs.context import Context, context_of
from bench.runs.events import Event, Tell
from bench.runs.prepare import build
from bench.runs.profile import profiled
from bench.runs.resolve import Resolved, resolve
from bench.runs.run import check_writable
from bench.runs.settings import Settings
from bench.runs.together import trained_here
from bench.suites.schema import Run


def sweep(runs: list[Resolved], context: Context, profiles: bool, tell: Tell) -> None:
    """Bring every run to its end, wherever it happens, then profile rows; records and profiles are in the store then.

    profiles: of every row that has none.
    """
    store = context.store
    left = unfinished(runs, context, tell)
    before = {run.key(): store.written(run) for run in left}
    pieces = max(len(left), len(unprofiled(runs, store)) if profiles else 0)
    jobs = min(context.jobs, pieces)
    if jobs > 1 or (pieces and context.settings.limit):  # a run that hangs is ended with its process
        in_processes(runs, before, context, profiles, jobs, tell)
    elif pieces:
        work(runs, before, context, profiles, tell)


def unprofiled(runs: list[Resolved], store: Store) -> list[list[Resolved]]:
    """The runs of each row that has no profile of its present values on its kind of device."""
    known = {(profile["row_key"], profile["device"]): profile.get("trained_by") for profile in store.records(PROFILE)}
    rows: dict[str, list[Resolved]] = {}
    for one in runs:
        rows.setdefault(one.run.row_key(), []).append(one)
    return [row for key, row in rows.items() if known.get((key, row[0].run.device)) != trained_here(row[0]).trained_by]


def work(runs: list[Resolved], before: Before, context: Context, profiles: bool, tell: Tell) -> None:
    """Run all that nobody else runs and profile rows, then wait for the runs of others and take over what they leave."""
    context.data(runs[0].run)  # missing or damaged data is said before anything is written
    check_writable(context.store)
    left = [one for one in runs if one.run.key() in before]
    rows = unprofiled(runs, context.store) if profiles else []
    for wait in (False, True):
        left = [one for one in left if not attempt(one, before, context, tell, wait)]
        rows = [row for row in rows if not attempt_profile(row, context, tell)]


def attempt_profile(row: list[Resolved], context: Context, tell: Tell) -> bool:
    """Profile a row of which a run is done, if nobody else does, beside other workers' runs, as runs are; -> whether that has ended."""
    store, name = context.store, f"{row[0].run.label} profile"
    with store.claim(row[0].run) as mine:
        if not mine or not any((store.record(one.run) or {}).get("status") == "done" for one in row):
            return False
        if not unprofiled(row, store):
            return True
        tell(Event(name, counts=False))
        try:
            store.merge([profiled(build(trained_here(row[0])), context)], PROFILE)
            tell(Event(name, 1.0, "done", counts=False))
        except RunError as error:
            tell(Event(name, 1.0, "failed", str(error), counts=False))
        return True


def in_processes(runs: list[Resolved], before: Before, context: Context, profiles: bool, jobs: int, tell: Tell) -> None:
    """The same in `jobs` processes; UserError if one met an error that is no single run's, or died with something not ended."""
    store, settings = context.store, context.settings
    job = partial(work_in_process, [one.run for one in runs], before, settings, profiles)
    while died := processes.run_workers(job, jobs, settings.threads, tell, preloaded()):
        left = [one for one in runs if one.run.key() in before and store.written(one.run) == before[one.run.key()]]
        if not left and not (profiles and unprofiled(runs, store)):
            return
        if not any(stalled(store, one.run) for one in left):  # else these are recorded as failed by whoever comes next
            said = f"a worker died (exit code {died[0]}; -9 often means out of memory, try --jobs 1)"
            raise UserError(f"{said}; the same command goes on")


def work_in_process(runs: list[Run], before: Before, settings: Settings, profiles: bool, tell: Tell) -> None:
    """The work of a process that has nothing but the runs' values."""
    context = context_of(settings, runs[0].suite, runs[0].plugins)
    work([resolve(run, context.catalogue) for run in runs], before, context, profiles, tell)
