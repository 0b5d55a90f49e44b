"""The device, threads and what compiles the regulariser kernels."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.commands.doctor.finding import Finding
from bench.environment import DRIVER, default_device, processor
from bench.errors import UserError
from bench.processes import cores
from bench.runs.context import kernels_on
from metrics.kernels import native
from metrics.kernels.backends import has_triton

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of all cores together, in so many microseconds
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
BUSY = 0.5  # share of the cores that others may take before it is said


def examine() -> Iterator[Finding]:
    """All of it."""
    yield from device()
    yield from threads(cores())
    yield from kernels()


def device() -> Iterator[Finding]:
    """What runs compute on; each CUDA device has to multiply two matrices."""
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield cuda(index)
    elif DRIVER.exists():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU alone"
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        says = f"there is an NVIDIA driver, and torch {torch.__version__}, built for {built}, finds no device"
        says += "" if hidden is None else f"; CUDA_VISIBLE_DEVICES is {hidden!r}"
        yield Finding("device", "warning", says, "install a torch that is built for the driver's CUDA, or unset CUDA_VISIBLE_DEVICES")
    else:
        yield Finding("device", "good", f"CPU, {processor()}; no CUDA device")


def cuda(index: int) -> Finding:
    """One device."""
    name = f"cuda:{index}"
    try:
        about = torch.cuda.get_device_properties(index)
        ones = torch.ones(64, 64, device=name)
        right = bool((ones @ ones == 64).all())
        free = torch.cuda.mem_get_info(index)[0]
    except RuntimeError as error:
        return Finding("device", "fault", f"{name}: {' '.join(str(error).split())[:200]}", "free or reset the device, or use --device cpu")
    if not right:
        return Finding("device", "fault", f"{name} multiplies matrices wrongly", "do not use it: --device cpu")
    says = f"{name}, {about.name}, {free / 2**30:.1f} of {about.total_memory / 2**30:.1f} GiB free, CUDA {torch.version.cuda}"
    return Finding("device", "good", says)


def threads(count: int) -> Iterator[Finding]:
    """Threads and runs beside the cores that there are for them.   count: cores that this process may use"""
    quota = allowed()
    fit = max(1, math.floor(min(count, quota)))
    found = []
    for name in THREADS:
        if (value := os.environ.get(name)) is None:
            continue
        if not value.isdecimal():
            found.append(Finding("threads", "warning", f"{name} is {value!r}, which is no number of threads", f"export {name}=1"))
        elif int(value) > count:
            says = f"{name} is {value}, and there are {count} cores: threads that wait for each other take many times as long"
            found.append(Finding("threads", "warning", says, f"export {name}={fit}, or unset it"))
    if quota < count:
        says = f"this process sees {count} cores and may use {quota:.3g} of them (a container's limit)"
        found.append(Finding("threads", "warning", says, f"say how many runs at a time: --jobs {fit}"))
    if os.getloadavg()[0] > BUSY * count:
        says = f"processes keep {os.getloadavg()[0]:.1f} of {count} cores busy: seconds of runs are not those of an idle machine"
        found.append(Finding("threads", "note", says, "measure times when nothing else runs"))
    yield from found or [Finding("threads", "good", f"{count} cores, {torch.get_num_threads()} threads of torch before a run sets them")]


def allowed() -> float:
    """How many cores' time a container may use; infinite where none is counted."""
    try:
        quota, period = QUOTA.read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or `max`
        return math.inf


def kernels() -> Iterator[Finding]:
    """Which form of the regulariser kernels runs here."""
    kind = default_device()
    try:
        chosen = kernels_on(torch.device(kind))
    except UserError as error:
        yield Finding("kernels", "fault", str(error), "unset LATENTBENCH_KERNELS")
        return
    yield Finding("kernels", "good", f"MMD and WiSE-ALE's bound on {kind}: {chosen}")
    command = native.compiler()
    if native.library() is None:
        what = f"{' '.join(command)} does not compile the kernels in C" if command else "there is no C compiler for the kernels in C"
        yield Finding("kernels", "warning", f"{what}: torch's own operations take their place, slower", "install gcc or clang, or set CC")
    if kind == "cuda" and not has_triton():
        yield Finding("kernels", "warning", "triton is not installed: tiles take the place of fused kernels, slower", "pip install triton")
