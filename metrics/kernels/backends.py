"""Which form of a regulariser kernel runs: chosen by device and size, from measurement; a user's word overrides it.

broadcast   the formula itself on (N, M, D) differences: what the others are tested against
tiled       value and gradient in one pass over tiles, by hand (`torch.autograd.Function`): float64, and a CPU without a C compiler
compiled    the same in C, built at first use by the machine's compiler (`metrics/kernels/native.py`): float32 on a CPU
triton      forward and backward fused, CUDA

All answer alike: NaN with NaN gradients where an input is not finite (`metrics/kernels/tiles.py`, guarded).

`LATENTBENCH_KERNELS=broadcast` (or another name) chooses for a whole process, `using("compiled")` for a block.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec

import torch

from metrics.kernels import native

BACKENDS = ("broadcast", "tiled", "compiled", "triton")
FEW = 2**15  # N M D; measured at one thread: the bound of 100 posteriors in 2 dimensions takes as long either way
VARIABLE = "LATENTBENCH_KERNELS"
chosen: ContextVar[str | None] = ContextVar("chosen", default=None)


def backend_of(device: torch.device, dtype: torch.dtype = torch.float32, wanted: str | None = None, numbers: float = math.inf) -> str:
    """The backend that a kernel runs with there; ValueError for one that does not exist or cannot run.

    numbers: how many broadcasting would hold; on a CPU without the kernel in C it is the faster one where they are few.
    Triton's kernels are in float32; float64 on CUDA is tiled. Devices without float64 broadcast.
    """
    if torch.compiler.is_compiling():
        return "broadcast"  # the compiler of whoever calls fuses it; tiles with routes chosen by value would break its graph
    wanted = wanted or chosen.get() or os.environ.get(VARIABLE)
    if wanted:
        return checked(wanted, device, dtype)
    if device.type == "cuda":
        return "triton" if has_triton() and dtype != torch.float64 else "tiled"
    if device.type != "cpu":
        return "broadcast"
    if dtype != torch.float64 and native.library() is not None:
        return "compiled"
    return "tiled" if numbers > FEW else "broadcast"


def checked(name: str, device: torch.device, dtype: torch.dtype) -> str:
    """The name, if it is a backend's that can run; float64 falls back to tiles where Triton or C was asked for."""
    if name not in BACKENDS:
        near = get_close_matches(name, BACKENDS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{VARIABLE} must be one of {', '.join(BACKENDS)}, not {name!r}{hint}")
    if name == "compiled":
        return checked_compiled(device, dtype)
    if name != "triton":
        return name
    if not has_triton():
        raise ValueError(f"{VARIABLE}=triton: triton is not installed; use one of {', '.join(BACKENDS[:-1])}")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        need = f"{VARIABLE}=triton needs a CUDA device (or TRITON_INTERPRET=1, a slow interpreter)"
        raise ValueError(f"{need}, not {device.type}; use {', '.join(BACKENDS[:-1])}")
    return "tiled" if dtype == torch.float64 else name


def checked_compiled(device: torch.device, dtype: torch.dtype) -> str:
    """The C kernels, or tiles for float64."""
    if device.type != "cpu":
        raise ValueError(f"{VARIABLE}=compiled is for a CPU, not {device.type}")
    if native.library() is None:
        raise ValueError(f"{VARIABLE}=compiled: no C compiler made the kernels here; use one of broadcast, tiled")
    return "tiled" if dtype == torch.float64 else "compiled"


@cache
def has_triton() -> bool:
    """Whether triton is installed; it is imported by the first kernel that needs it."""
    return find_spec("triton") is not None


@contextmanager
def using(name: str) -> Iterator[None]:
    """That backend for a while, whatever the environment says."""
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {name!r}")
    token = chosen.set(name)
    try:
        yield
    finally:
        chosen.reset(token)
