"""Clocks and memory of the kernel benchmarks: CUDA events or `perf_counter`, allocated bytes or a child's resident ones."""

import ctypes
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from bench.environment import peak_memory_mib, reset_peak_memory

Step = Callable[[], object]
SETTLED = 0.02  # seconds: shorter steps are repeated until a measurement takes as long
SLOW = 3.0  # seconds: beside such a step what a first call costs is nothing, and neighbours' noise is averaged within one call


def milliseconds(step: Step, device: torch.device, repeats: int = 1) -> float:
    """Of one step: the median of so many in a row, for now and then something outside stops a CPU for as long as 20 short steps take.

    On CUDA, where a queue is timed, the mean.
    """
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            step()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / repeats
    times = list[float]()
    for _ in range(repeats):
        before = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - before))
    return statistics.median(times)


def side_by_side(steps: dict[str, Step], device: torch.device, seconds: float, most: int = 15) -> dict[str, list[float]]:
    """Milliseconds of each, round after round, so that what disturbs one disturbs all; two rounds at least.

    A first call is a warm-up. Where it took longer than SLOW it is also all that is known before the rounds, and the form takes
    part in the first round alone, beside the others: two calls, not four.
    """
    first, slow = dict[str, float](), set[str]()
    for name, step in steps.items():
        first[name] = milliseconds(step, device)
        if first[name] > 1000 * SLOW:
            slow.add(name)
        else:
            first[name] = milliseconds(step, device)
    repeats = {name: max(1, min(50, int(1000 * SETTLED / ms))) for name, ms in first.items()}
    a_round = sum(first[name] * repeats[name] for name in steps if name not in slow) / 1000
    rounds = max(2, min(most, int(seconds / a_round))) if a_round else 2
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds):
        for name, step in steps.items():
            if turn == 0 or name not in slow:
                times[name].append(milliseconds(step, device, repeats[name]))
    return times


def ratios(times: dict[str, list[float]]) -> dict[str, float]:
    """Of each to ours: the median over the rounds that it took part in, each beside ours of the same round."""
    return {name: statistics.median(a / b for a, b in zip(ms, times["ours"], strict=False)) for name, ms in times.items()}


def peak_mb(step: Step, device: torch.device, warm_up: bool = True) -> float | None:
    """MB (1e6 bytes) that one step needs beyond what is there; a child of this process takes it. None where nobody says.

    Without warm-up a call is saved, and the few MB that libraries take in a process's first one are counted.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    if not Path("/proc/self/clear_refs").exists():
        return None
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=measured, args=(step, device, theirs, warm_up))
    child.start()
    theirs.close()
    try:
        return mine.recv()
    except EOFError:  # the child was killed: there was not so much memory
        return None
    finally:
        child.join()


def measured(step: Step, device: torch.device, answer: Connection, warm_up: bool) -> None:
    """In the child: its libraries' own memory is there after a first step; what that one freed goes back to the system."""
    torch.set_num_threads(1)  # the threads of the parent are not in the child, which would wait for them
    if warm_up:
        step()
    ctypes.CDLL(None).malloc_trim(0)
    reset_peak_memory(device)
    before = peak_memory_mib(device)
    step()
    after = peak_memory_mib(device)
    assert before is not None
    assert after is not None
    answer.send((after - before) * 2**20 / 1e6)
    answer.close()
    os._exit(0)  # the parent's libraries must not be taken down twice


def machine(device: torch.device, seconds: float = 1.0) -> dict[str, float]:
    """What the device can do at most: copied gigabytes/s, read and written; matrix products, GFLOP/s."""
    found = {}
    source = torch.zeros(2**25, device=device)
    target = torch.empty_like(source)
    copy = side_by_side({"ours": lambda: target.copy_(source)}, device, seconds)["ours"]
    found["copy_gb_s"] = 2 * 4 * 2**25 / 1e6 / statistics.median(copy)
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        n = 1024 if device.type == "cpu" else 8192
        a, out = torch.randn(n, n, device=device, dtype=dtype), torch.empty(n, n, device=device, dtype=dtype)
        product = side_by_side({"ours": lambda a=a, out=out: torch.mm(a, a, out=out)}, device, seconds)["ours"]
        found[f"{name}_gflop_s"] = 2 * n**3 / 1e6 / statistics.median(product)
    return found
