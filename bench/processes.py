"""Work in several processes: each ends with its parent, however that ends, and what it says is heard."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from bench.errors import UserError

Tell = Callable[[Any], None]


def end_with_parent() -> None:
    """Wait until the process that started this one has ended, however it did, then end at once; what was saved remains."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[Tell], None], jobs: int, threads: int, tell: Tell) -> list[int]:
    """The same work in `jobs` processes, which share it out among themselves; -> exit codes of those that died.

    work: can be pickled, and is given what to call with news; `tell` hears it here. UserError where one of them met one.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before the workers import torch: idle threads would spin
    spawn = multiprocessing.get_context("spawn")
    pipes, workers = list[Connection](), []
    try:
        with no_interrupts():
            for _ in range(jobs):
                receiver, sender = spawn.Pipe(duplex=False)
                worker = spawn.Process(target=worker_main, args=(work, sender))
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


def worker_main(work: Callable[[Tell], None], pipe: Connection) -> None:
    """A worker's life; it ends with its parent."""
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
