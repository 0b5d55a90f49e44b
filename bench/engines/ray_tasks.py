"""Cells as tasks of a Ray cluster, which starts them where there is room, and again where a worker or a node dies.

A worker that sees the command's folder of results works there, and a cell that is started again goes on from its checkpoint wherever that
is. One that does not works in a folder of its own machine and sends the finished run's files home through Ray's object store.
"""

import contextlib
import hashlib
import logging
import os
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.engines.cell import ending, run_cell, unfinished
from bench.engines.watch import name_of
from bench.errors import UserError
from bench.files import write
from bench.processes import default_jobs
from bench.records.locks import HOLDER, LOCK
from bench.records.store import RECORD, Store
from bench.runs.context import Context
from bench.runs.events import Event, Tell
from bench.runs.resolve import Resolved
from bench.runs.run import failed
from bench.runs.settings import Settings
from bench.suites.schema import Run

RETRIES = 3  # of a cell whose worker or node dies
POLL = 0.5  # seconds between two looks at news
Files = dict[str, bytes]  # of a run's folder, by name


def sweep(parameters: Mapping[str, Any], runs: list[Resolved], context: Context, profiles: bool, tell: Tell) -> None:
    """Every run as a task; rows are not profiled: `profile` does that, on a machine that does nothing else.

    parameters: those of `ray.init`, such as the address of a cluster; without one Ray is started on this machine.
    """
    left, store, settings = unfinished(runs, context, tell), context.store, context.settings.absolute()
    if not left:
        return
    mark = Store(settings.out, store.suite).runs / f".shared-{uuid.uuid4().hex}"
    write(mark, b"")
    try:
        with connected(parameters):
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            news = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
            tasks = {submitted(run, settings, store.written(run), mark, news): run for run in left}
            gather(tasks, {one.run.key(): one for one in runs}, context, news, tell)
    finally:
        mark.unlink(missing_ok=True)


@contextlib.contextmanager
def connected(parameters: Mapping[str, Any]) -> Iterator[None]:
    """A connection to the cluster; UserError where it has no such parameter or no such cluster answers."""
    handler = signal.getsignal(signal.SIGTERM)
    reach(parameters.get("address"))
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **parameters)
    except (RuntimeError, ValueError, TypeError, ConnectionError) as error:
        raise UserError(f"--engine ray: {' '.join(str(error).split())[:300]}; --cluster gives parameters of ray.init") from None
    signal.signal(signal.SIGTERM, handler)  # ray has put one of its own there
    try:
        yield
    finally:
        ray.shutdown()


def reach(address: object) -> None:
    """UserError where nobody answers at HOST:PORT, which Ray says after minutes only; other addresses, as `auto`, are Ray's to look up."""
    host, _, port = str(address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise UserError(f"--engine ray: nobody answers at address={address}: {error}; `ray start --head` on that machine") from None


def submitted(run: Run, settings: Settings, since: int | None, mark: Path, news: Queue) -> Any:
    """The task of a run."""
    resources = {"num_cpus": settings.threads, "num_gpus": int(run.device == "cuda")}
    return TASKS[run.device].options(name=name_of(run), **resources).remote(run.absolute(), settings, since, mark, news)


def cell(run: Run, settings: Settings, since: int | None, mark: Path, news: Queue) -> Files:
    """Run one on a worker; -> its files, where the command does not see them."""
    shared = mark.exists()
    here = replace(settings, jobs=default_jobs(run.device, settings.threads))
    if not shared:
        here = replace(here, out=own_folder(settings.out))
    store = Store(here.out, run.suite)
    run_cell(run, here, since if shared else store.written(run), News(news))
    kept = [] if shared else [path for path in store.folder(run).iterdir() if path.is_file() and path.name not in (LOCK, HOLDER)]
    return {path.name: path.read_bytes() for path in kept}


# by device. A worker that has used CUDA stays on the GPU that it saw first, whatever its next task is given, so it takes one task only: Ray
# sees to that by itself where a decorator asks for GPUs, not where `options` do
TASKS = {"cpu": ray.remote(max_retries=RETRIES)(cell), "cuda": ray.remote(max_retries=RETRIES, max_calls=1)(cell)}


def own_folder(out: Path) -> Path:
    """A worker's place for results that belong in `out` on another machine: the same at each try, so that a checkpoint is found."""
    return Path(tempfile.gettempdir()) / f"latentbench-{os.getuid()}" / hashlib.sha256(str(out).encode()).hexdigest()[:16]


class News:
    """Sends news to the command, shares at most once a second; the command itself says how a run has ended."""

    def __init__(self, queue: Queue):
        self.queue, self.sent = queue, 0.0

    def __call__(self, event: Event) -> None:
        if event.status or (not event.note and not event.holder and time.monotonic() - self.sent < 1):
            return
        self.sent = time.monotonic()
        with contextlib.suppress(RayError):  # the command is gone, and ends this task
            self.queue.put(event)


def gather(tasks: dict[Any, Run], resolved: dict[str, Resolved], context: Context, news: Queue, tell: Tell) -> None:
    """Hear of the tasks until all have ended; if this is interrupted, or one meets what all would meet, the others are cancelled."""
    try:
        while tasks:
            done, _ = ray.wait(list(tasks), timeout=POLL)
            for event in news.get_nowait_batch(news.qsize()):
                tell(event)
            for task in done:
                run = tasks.pop(task)
                finish(task, resolved[run.key()], context)
                tell(ending(context.store, run))
    except BaseException:  # Ctrl-C too
        for task in tasks:
            ray.cancel(task, force=True)
        raise


def finish(task: Any, one: Resolved, context: Context) -> None:
    """Put in its place what a task brought; a run that no worker survived has failed."""
    run, store = one.run, context.store
    try:
        files: Files = ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
    except RayError as error:
        text = f"its worker died {RETRIES + 1} times ({type(error).__name__}); for lack of memory?"
        failed(one, context, text, str(error))
        return
    for name in sorted(files, key=lambda name: name == RECORD):  # the record last
        write(store.folder(run) / name, files[name])
