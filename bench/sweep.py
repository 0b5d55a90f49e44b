"""Many runs, in this process or in several: each run belongs to whoever claims it, none is run twice, none is lost.

The same claims serve the workers of one command and two commands started by chance on the same suite.
"""

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.environment import set_up
from bench.errors import UserError
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


def sweep(runs: list[Run], options: Options, tell: Tell) -> None:
    """Bring every run to its end, wherever it happens; the records are in the store then."""
    jobs = min(options.jobs, len(runs))
    if jobs <= 1:
        work(runs, options, tell)
    else:
        in_processes(runs, options, jobs, tell)


def name_of(run: Run) -> str:
    """A run as a progress bar calls it."""
    return f"{run.label} seed {run.seed}"


def work(runs: list[Run], options: Options, tell: Tell) -> None:
    """Run all that nobody else runs, then wait for those of others and take over what they leave."""
    device = set_up(options.device, options.threads)
    store = Store(options.out, runs[0].suite)
    context = Context(catalogue(runs[0].plugins), store, device, options.data_root, options.jobs, options.save_every)
    left = [run for run in runs if not attempt(run, context, tell, wait=False)]
    for run in left:
        attempt(run, context, tell, wait=True)


def attempt(run: Run, context: Context, tell: Tell, wait: bool) -> bool:
    """Run it if it is free and not finished; -> whether it has ended."""
    name = name_of(run)
    with context.store.claim(run, wait) as mine:
        if not mine:
            return False
        if context.store.finished(run):
            tell(Event(name, 1.0, "skipped"))
            return True
        record = execute(run, context, lambda share: tell(Event(name, share)))
        tell(Event(name, 1.0, record["status"], record["error"]))
        return True


def in_processes(runs: list[Run], options: Options, jobs: int, tell: Tell) -> None:
    """The same in `jobs` processes; UserError if one met an error that is no single run's, or died."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before the workers import torch: idle threads would spin
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = list[Connection](), []
    for _ in range(jobs):
        receiver, sender = spawn.Pipe(duplex=False)
        worker = spawn.Process(target=worker_main, args=(runs, options, sender))
        worker.start()
        sender.close()  # the worker holds the only other end: when it dies, we see it
        pipes.append(receiver)
        workers.append(worker)
    problems = list[str]()
    try:
        listen(pipes, tell, problems)
    finally:
        for worker in workers:
            worker.terminate() if problems else None
            worker.join()
    died = [worker.exitcode for worker in workers if worker.exitcode not in (0, None) and not problems]
    if problems:
        raise UserError(problems[0])
    if died:
        raise UserError(f"a worker died (exit code {died[0]}; -9 often means out of memory, try --jobs 1); the same command goes on")


def listen(pipes: list[Connection], tell: Tell, problems: list[str]) -> None:
    """Pass on what the workers say until all have ended or one says it cannot go on."""
    while pipes and not problems:
        for pipe in [pipe for pipe in pipes if pipe in wait(pipes)]:
            try:
                message = pipe.recv()
            except EOFError:
                pipes.remove(pipe)
                continue
            if isinstance(message, str):
                problems.append(message)
            else:
                tell(message)


def worker_main(runs: list[Run], options: Options, pipe: Connection) -> None:
    """A worker's life; it ends with its parent, whose end of the pipe it notices."""
    try:
        work(runs, options, pipe.send)
    except UserError as error:
        pipe.send(str(error))
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(1)
