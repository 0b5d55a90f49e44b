"""Memory that a run frees: kept for its next step, given back before the next run; and full float32 whatever was set before."""

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.environment import FLOAT32, KEPT, M_MMAP_THRESHOLD, release_freed_memory, set_up, torch_as_it_was

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


def keeps() -> bool:
    """Whether the C library can be told to."""
    return os.name == "posix" and hasattr(ctypes.CDLL(None), "mallopt") and ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, KEPT) == 1


@pytest.mark.skipif(not keeps(), reason="a C library that takes no such threshold")
def test_a_steps_memory_is_the_next_ones_and_is_given_back_when_asked_for() -> None:
    import resource  # no part of Python on Windows

    set_up("cpu", 1)
    steps(5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    steps(10)
    fetched = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert fetched * resource.getpagesize() < 3 * 4 * LARGE, "in ten steps the pages of one; of every one else"
    kept = of_process("VmRSS")
    release_freed_memory()
    assert of_process("VmRSS") < kept - 100_000


def test_nothing_is_in_tf32_after_set_up_though_a_program_has_asked_for_it_everywhere() -> None:
    backends: Any = torch.backends
    before = backends.fp32_precision
    with torch_as_it_was():
        try:
            for of in FLOAT32:
                of.fp32_precision = "none"  # as in a new process: what is said of all holds
            backends.fp32_precision = "tf32"
            assert {of.fp32_precision for of in FLOAT32} == {"tf32"}
            set_up("cpu", torch.get_num_threads())
            assert {of.fp32_precision for of in FLOAT32} == {"ieee"}
        finally:
            backends.fp32_precision = before
