"""Memory that a run frees: kept for its next step, given back before the next run."""

import ctypes
from pathlib import Path

import pytest
import torch

from bench.environment import release_freed_memory, set_up

PAGE = 4096
LARGE = 2**24  # float32, 64 MiB


def of_process(name: str) -> int:
    """A number of kB that the system keeps of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def steps(count: int) -> None:
    """On tensors of 64 MiB, three at a time."""
    for _ in range(count):
        images = torch.ones(LARGE)
        (2 * images).square().sum()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library other than GNU's")
def test_a_steps_memory_is_the_next_ones_and_is_given_back_when_asked_for() -> None:
    import resource  # no part of Python on Windows

    set_up("cpu", 1)
    steps(5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    steps(10)
    fetched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert fetched * PAGE < 3 * 4 * LARGE, "in ten steps the pages of one; of every one else"
    kept = of_process("VmRSS")
    release_freed_memory()
    assert of_process("VmRSS") < kept - 100_000
