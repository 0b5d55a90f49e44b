"""Many runs, in this process or in several: each run belongs to whoever claims it, none is run twice, none is lost.

The same claims serve the workers of one command and two commands started by chance on the same suite.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.environment import set_up
from bench.errors import UserError
from bench.processes import end_with_parent
from bench.registry import catalogue
from bench.run import Context, execute
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
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before the workers import torch: idle threads would spin
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = list[Connection](), []
    try:
        with no_interrupts():
            for _ in range(jobs):
                receiver, sender = spawn.Pipe(duplex=False)
                worker = spawn.Process(target=worker_main, args=(runs, before, options, sender))
                worker.start()
                sender.close()  # the worker holds the only other end: when it dies, we see it
                pipes.append(receiver)
                workers.append(worker)
        listen(pipes, tell)
    except BaseException:  # Ctrl-C too
        for worker in workers:
            worker.kill()  # SIGTERM would wait until it has imported torch
        raise
    finally:
        for worker in workers:
            worker.join()
    died = [worker.exitcode for worker in workers if worker.exitcode]
    store = Store(options.out, runs[0].suite)
    if died and any(store.written(run) == before[run.key()] for run in runs):
        raise UserError(f"a worker died (exit code {died[0]}; -9 often means out of memory, try --jobs 1); the same command goes on")


@contextmanager
def no_interrupts() -> Iterator[None]:
    """Processes started here never see Ctrl-C: who started them meets it, after this block, and ends them.

    SIGTERM waits for the end of the block too, so that none of them is left half started.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # now, for its start would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def listen(pipes: list[Connection], tell: Tell) -> None:
    """Pass on what the workers say until all have ended; UserError if one says it cannot go on."""
    while pipes:
        for pipe in [pipe for pipe in pipes if pipe in wait(pipes)]:
            try:
                message = pipe.recv()
            except EOFError:
                pipes.remove(pipe)
                continue
            if isinstance(message, str):
                raise UserError(message)
            tell(message)


def worker_main(runs: list[Run], before: Before, options: Options, pipe: Connection) -> None:
    """A worker's life; it ends with its parent."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # it can be ended like any process
    threading.Thread(target=end_with_parent, daemon=True).start()

    def tell(message: Event | str) -> None:
        try:
            pipe.send(message)
        except BrokenPipeError:  # not to be taken for a failure of the run
            os._exit(1)

    try:
        work(runs, before, options, tell)
    except UserError as error:
        tell(str(error))
