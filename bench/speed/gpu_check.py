"""`python -m bench gpu-check`: everything that only a CUDA machine can tell, in one command and under nine minutes.

A part is a list of rows, measured in a process that is not this one: a row that raises, hangs or kills its process costs itself alone, the
next one gets another process, and each is kept as it comes. On the CPU with --quick the same code runs at tiny sizes: that is how it is
tested.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from bench.environment import describe, free
from bench.errors import UserError, in_a_line, unknown
from bench.speed.gpu_kernels import correctness, kernel_times
from bench.speed.gpu_parts import Case, Row, Task, agreement, profiles, training_times, utilisation
from bench.speed.seeds import QUEUES, seeds_at_once

SECONDS = 540  # of the whole command


class Part(NamedTuple):
    """Rows that are measured one after the other in one process."""

    tasks: Callable[[Case], list[Task]]
    seconds: float  # that a row may take, its compilation included
    variables: Mapping[str, str] = MappingProxyType({})  # of the process' environment, where nobody has set them


PARTS: dict[str, Part] = {  # the most wanted first, for time may not last for all
    "correctness": Part(correctness, 40),
    "agreement": Part(agreement, 60),
    "training times": Part(training_times, 60),
    "seeds at once": Part(seeds_at_once, 90, {QUEUES: "32"}),
    "utilisation": Part(utilisation, 60),
    "kernel times": Part(kernel_times, 40),
    "profiles": Part(profiles, 60),
}


def chosen(parts: Sequence[str]) -> list[str]:
    """These parts, in the order in which they are measured; UserError for one that there is not."""
    for name in parts:
        if name not in PARTS:
            raise UserError(f"--part: {unknown('part', name, PARTS)}")
    return [name for name in PARTS if name in parts]


def measured(task: Task, case: Case) -> Row:
    """The whole row; what is raised is its error."""
    try:
        device = case.open()
        free(device)  # of what rows before it have left
        return {**task.labels, "ok": True, **task.measure(device)}
    except Exception as error:
        return failed(task, in_a_line(error))


def failed(task: Task, error: str) -> Row:
    """A row that has no values."""
    return {**task.labels, "ok": False, "error": error}


def child(name: str, case: Case, first: int, pipe: Connection) -> None:
    """A part's rows in their process, up to the first that raises: an error of CUDA stays in the process in which it was."""
    for variable, value in PARTS[name].variables.items():
        os.environ.setdefault(variable, value)  # before CUDA begins, which reads it once
    for task in PARTS[name].tasks(case)[first:]:
        row = measured(task, case)
        pipe.send(row)
        if "error" in row:
            return


def one_process(name: str, case: Case, tasks: Sequence[Task], first: int, end: float) -> Iterator[Row]:
    """Rows from the first on, as far as one process gets; the last of them says why it is the last, if it is."""
    context: Any = multiprocessing.get_context("spawn" if case.device == "cuda" else "fork")  # a CUDA context does not survive a fork
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(name, case, first, sender))
    process.start()
    sender.close()
    try:
        for task in tasks[first:]:
            seconds = min(PARTS[name].seconds, max(0.0, end - time.monotonic()))
            if not receiver.poll(seconds):
                yield failed(task, f"took longer than {seconds:.0f} s")
                return
            row = receiver.recv()
            yield row
            if "error" in row:
                return
    except EOFError:
        process.join()
        yield failed(task, f"its process died (exit code {process.exitcode})")
    finally:
        process.kill()
        process.join()


def rows_of(name: str, case: Case, end: float) -> Iterator[Row]:
    """Every row of a part, whatever becomes of each.   end: of `time.monotonic`, after which none is begun"""
    tasks, done = PARTS[name].tasks(case), 0
    while done < len(tasks):
        if time.monotonic() >= end:
            yield failed(tasks[done], "no time left")
            done += 1
            continue
        for row in one_process(name, case, tasks, done, end):
            yield row
            done += 1


def machine(case: Case) -> dict[str, Any]:
    """What a record says of its machine, and why it does not, if it does not."""
    try:
        return describe(case.open(), 1)
    except Exception as error:
        return {"device": case.device, "torch": torch.__version__, "driver": f"CUDA {torch.version.cuda}", "error": in_a_line(error)}


def check(
    case: Case,
    tell: Callable[[str], None],
    keep: Callable[[dict[str, Any]], object] = lambda result: None,
    parts: Sequence[str] = (),
) -> dict[str, Any]:
    """Those parts, or all if none is named, as JSON has it; UserError for one that there is not.

    keep: called with what there is so far as each row comes
    """
    only = chosen(parts)
    start = time.monotonic()
    result: dict[str, Any] = {"ok": False, "finished": False, "quick": case.quick, "only": only, "seconds": 0.0}
    result |= {"parts": {}, "environment": machine(case)}
    for name in only or PARTS:
        tell(name)
        began = time.monotonic()
        part: dict[str, Any] = {"ok": True, "rows": [], "seconds": 0.0}
        result["parts"][name] = part
        for row in rows_of(name, case, start + SECONDS):
            part["rows"].append(row)
            part |= {"ok": part["ok"] and row["ok"], "seconds": time.monotonic() - began}
            result["seconds"] = time.monotonic() - start
            keep(result)
    whole = all(part["ok"] for part in result["parts"].values())
    result |= {"finished": True, "ok": "error" not in result["environment"] and whole}
    result["seconds"] = time.monotonic() - start
    keep(result)
    return result


def folder_of(out: Path, result: Mapping[str, Any]) -> Path:
    """leaderboards/gpu/<the device's name>, without blanks; a folder in it for some parts alone, so that they replace no whole check."""
    names = [result["environment"]["device"], *(["_".join(result["only"])] if result["only"] else [])]
    return Path(out, "leaderboards", "gpu", *("".join(c if c.isalnum() or c == "_" else "-" for c in name).strip("-") for name in names))
