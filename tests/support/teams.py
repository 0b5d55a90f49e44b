"""Processes that do something together, as `torchrun` starts them: forks, on one machine, over gloo."""

import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from harness import FORKS, Started

from bench.training.team import joined

Work = Callable[..., Any]  # of a module in tests/support, so that a fork finds it; given a team and what else there is


def variables(rank: int, size: int, port: int) -> dict[str, str]:
    """What `torchrun` tells a process."""
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in values.items()}


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def torchrun(folder: Path, *arguments: object, size: int = 2) -> list[Started]:
    """A command in each process of a team, the first one first."""
    port, folders = free_port(), [folder / f"process {rank}" for rank in range(size)]  # what each says is in its own
    for own in folders:
        own.mkdir(exist_ok=True)
    return [Started(own, *arguments, environment=variables(rank, size, port)) for rank, own in enumerate(folders)]


def in_team(work: Work, *arguments: Any, size: int = 2, seconds: float = 240) -> list[Any]:
    """What each process of a team made of the same work, by rank; AssertionError with the traceback of one that failed."""
    port, pipes, processes = free_port(), [], []
    for rank in range(size):
        here, there = FORKS.Pipe(duplex=False)
        processes.append(FORKS.Process(target=member, args=(variables(rank, size, port), there, work, arguments)))
        processes[-1].start()
        there.close()
        pipes.append(here)
    try:
        answers = [pipe.recv() if pipe.poll(seconds) else (False, f"nothing after {seconds} s") for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    wrong = [text for fine, text in answers if not fine]
    assert wrong == [], "\n".join(wrong)
    return [answer for _, answer in answers]


def member(environment: dict[str, str], pipe: Connection, work: Work, arguments: tuple[Any, ...]) -> None:
    """One process of a team."""
    os.environ |= environment
    try:
        with joined("cpu") as team:
            pipe.send((True, work(team, *arguments)))
    except Exception:
        pipe.send((False, traceback.format_exc()))
