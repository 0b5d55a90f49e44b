"""One cell, a row of a suite with a seed: the unit that every engine hands out.

A cell may be started any number of times, anywhere where the results lie: it belongs to whoever holds the lock of its folder, goes on from
its checkpoint, and is left alone once its record is there.
"""

from contextlib import suppress
from functools import cache

from bench.engines.watch import STALLED, Watch, name_of, stalled
from bench.errors import UserError, in_a_line
from bench.records.store import Store
from bench.runs.context import Context, context_of
from bench.runs.events import Event, Tell
from bench.runs.live import Live
from bench.runs.prepare import build
from bench.runs.resolve import Resolved, resolve
from bench.runs.run import check_writable, execute, failed, train_stages
from bench.runs.settings import Settings
from bench.runs.shareable import check_shareable
from bench.runs.together import trained_here, with_team
from bench.runs.trackers import Followed, Trackers
from bench.runs.up_to_date import up_to_date
from bench.suites.schema import Run
from bench.training.team import Team

Before = dict[str, int | None]  # by key of run: when its record was written that was there before this command, if one was


def unfinished(runs: list[Resolved], context: Context, tell: Tell) -> list[Run]:
    """The runs that are to be started; the others are said to be skipped."""
    left = []
    for one in runs:
        if not context.settings.fresh and up_to_date(one, context.store):
            tell(Event(name_of(one.run), 1.0, "skipped"))
            continue
        with suppress(NotADirectoryError):  # said when results are to be written
            (context.store.folder(one.run) / STALLED).unlink(missing_ok=True)  # of an earlier command: it is tried again
        left.append(one.run)
    return left


def attempt(resolved: Resolved, before: Before, context: Context, tell: Tell, wait: bool) -> bool:
    """Run it if it is free and has not ended since this command began, be it in a failure; -> whether it has ended."""
    run, store = resolved.run, context.store
    name, limit = name_of(run), context.settings.limit
    with store.claim(run, wait, lambda holder: tell(Event(name, holder=holder))) as mine:
        if not mine:
            return False
        fresh = context.settings.fresh
        if store.written(run) != before[run.key()] or (not fresh and up_to_date(resolved, store)):
            tell(Event(name, 1.0, "skipped"))
            return True
        if limit and (where := stalled(store, run)):
            record = failed(resolved, context, f"no sign of life for {limit:g} s; error.txt says where", where)
            (store.folder(run) / STALLED).unlink()
        else:
            if fresh:
                store.drop_checkpoint(run)
            with Watch(store, run, limit, tell) as watch:
                record = execute(resolved, context, watch, lambda note: tell(Event(name, note=note)))
        tell(Event(name, 1.0, record["status"], record["error"]))
        return True


def run_cell(run: Run, settings: Settings, since: int | None, tell: Tell, team: Team | None = None) -> None:
    """Bring a cell to its end in this process; its record is in the store then, whatever became of it.

    since: when the record was written that was there before, if one was; a later one is taken for the end. team: of several processes
    that train it, of which this is the first. UserError where data are missing or nothing can be written, which every cell would meet.
    """
    context = context_here(settings, run.device, run.suite, run.plugins)
    resolved = resolve(run, context.catalogue)
    data = context.data(run)
    check_writable(context.store)
    if team:
        check_shareable(build(resolved), resolved.where, data, team)
        context = with_team(context, team)
    attempt(resolved, {run.key(): since}, context, tell, wait=True)


def train_along(run: Run, settings: Settings, team: Team) -> None:
    """Train a cell with the first process of a team, in any other; UserError where this one cannot go on."""
    context = with_team(context_here(settings, run.device, run.suite, run.plugins), team)
    prepared = build(trained_here(resolve(run, context.catalogue), team))
    live = Live(
        context.store,
        run,
        len(prepared.stages),
        Trackers((), Followed(run.suite, name_of(run), run.key(), context.store.folder(run), {}), None),
    )
    try:
        train_stages(prepared, context, live, None)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"process {team.rank} of {team.size}: {in_a_line(error)}") from error


@cache
def context_here(settings: Settings, device: str, suite: str, plugins: tuple[str, ...]) -> Context:
    """What the cells that a process is given share, one after the other."""
    return context_of(settings.on(device), suite, plugins)


def ending(store: Store, run: Run) -> Event:
    """What the record of a run says of its end."""
    record = store.record(run) or {"status": "skipped", "error": None}
    return Event(name_of(run), 1.0, record["status"], record["error"])
