"""Work in several processes: each ends with its parent, however that ends, and what it says is heard."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.errors import UserError

Tell = Callable[[Any], None]
WAY = "forkserver" if sys.platform == "linux" else "spawn"  # libraries of macOS do not survive a fork, Windows has none


def end_with_parent() -> None:
    """Wait until the process that started this one has ended, however it did, then end at once; what was saved remains."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def check_device(device: str) -> None:
    """UserError for a kind of device that there is not."""
    if device not in ("cpu", "cuda"):
        which = "; CUDA_VISIBLE_DEVICES chooses which" if device.startswith("cuda:") else ""
        raise UserError(f"--device must be cpu or cuda, not {device!r}{which}")


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(device: str | None, threads: int) -> int:
    """How many runs there is room for where nothing is said: one on a GPU, else as many of so many threads as there are cores."""
    return 1 if device == "cuda" else max(1, cores() // threads)


def make_ready(threads: int, preload: Sequence[str]) -> None:
    """Let a process import, beside this one, what workers need, for they are its forks: torch takes seconds.

    threads: of each worker. preload: names of modules.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before anything imports torch: idle threads would spin
    if WAY == "forkserver":
        multiprocessing.set_forkserver_preload(list(preload))
        with no_interrupts(), same_imports():
            forkserver.ensure_running()


@contextmanager
def same_imports() -> Iterator[None]:
    """A process started here finds the modules that this one finds: by itself it would look in the current folder first."""
    ours = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ[name] for name in ours if name in os.environ}
    os.environ |= ours
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
        os.environ |= before


def run_workers(work: Callable[[Tell], None], jobs: int, threads: int, tell: Tell, preload: Sequence[str] = ()) -> list[int]:
    """The same work in `jobs` processes, which share it out among themselves; -> exit codes of those that died.

    work: can be pickled, and is given what to call with news; `tell` hears it here. UserError where one of them met one.
    """
    make_ready(threads, preload)
    start: Any = multiprocessing.get_context(WAY)
    pipes, workers = list[Connection](), []
    try:
        with no_interrupts():
            for _ in range(jobs):
                receiver, sender = start.Pipe(duplex=False)
                worker = start.Process(target=worker_main, args=(work, sender, dict(os.environ)))
                with begun():
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
    return [worker.exitcode for worker in workers if worker.exitcode]


@contextmanager
def begun() -> Iterator[None]:
    """UserError where the process that workers are forks of has died, which says so by silence."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise UserError("no worker can be started: the process that starts them died (for lack of memory? try --jobs 1)") from None


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


def worker_main(work: Callable[[Tell], None], pipe: Connection, environment: dict[str, str]) -> None:
    """A worker's life; it ends with its parent."""
    os.environ.clear()
    os.environ.update(environment)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # it can be ended like any process
    threading.Thread(target=end_with_parent, daemon=True).start()

    def tell(message: Any) -> None:
        try:
            pipe.send(message)
        except BrokenPipeError:  # not to be taken for a failure of the run
            os._exit(1)

    try:
        work(tell)
    except UserError as error:
        tell(str(error))
