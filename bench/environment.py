"""Where a run ran: code, versions, device; and the memory it took."""

import atexit
import contextlib
import ctypes
import gc
import hashlib
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch

from bench.errors import UserError
from bench.processes import check_device

ROOT = Path(__file__).resolve().parent.parent
KEPT = 2**30  # bytes of a tensor, and of what is free at the end of the heap, up to which they stay with the process
NOT_GNU = (OSError, AttributeError, TypeError)  # what a system with another C library says
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
PACKAGES = ("bench", "models", "metrics")
DRIVER = Path("/proc/driver/nvidia/version")
CUDNN: Any = torch.backends.cudnn
FLOAT32: tuple[Any, ...] = (torch.backends.cuda.matmul, CUDNN.conv, CUDNN.rnn)  # what may take TF32 for float32
T = TypeVar("T")


def available(device: str) -> torch.device:
    """The device of that name; UserError where there is none."""
    check_device(device)
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device that torch can use; try --device cpu")
    return torch.device(device)


def set_up(device: str, threads: int) -> torch.device:
    """The device of that name, in full float32 precision; UserError where there is none."""
    found = available(device)
    torch.set_num_threads(threads)
    in_full_float32()
    keep_imported()
    keep_freed_memory()
    return found


def in_full_float32() -> None:
    """Products and convolutions in float32 and never in TF32, whatever was set before.

    Torch has two kinds of settings for this. Where nothing newer is said of one, the newer one of all of them holds, so both are set.
    """
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    for of in FLOAT32:
        of.fp32_precision = "ieee"


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """In a program of someone else's: full float32 inside, and what the caller has set afterwards."""
    with torch_as_it_was():
        in_full_float32()
        yield


@contextlib.contextmanager
def torch_as_it_was() -> Iterator[None]:
    """What is set of torch inside (threads, precision) is the caller's again afterwards."""
    threads, kept = torch.get_num_threads(), [of.fp32_precision for of in FLOAT32]
    products, convolutions = readable(torch.get_float32_matmul_precision), readable(lambda: torch.backends.cudnn.allow_tf32)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if products is not None:
            torch.set_float32_matmul_precision(products)
        if convolutions is not None:
            torch.backends.cudnn.allow_tf32 = convolutions
        for of, precision in zip(FLOAT32, kept, strict=True):  # last, for the older settings change these
            of.fp32_precision = precision


def readable(setting: Callable[[], T]) -> T | None:
    """An older setting; None where newer ones say otherwise, beside which torch refuses to read it."""
    try:
        return setting()
    except RuntimeError:
        return None


@cache
def keep_imported() -> None:
    """What is imported by now is no garbage: the collector would look through it for a tenth of a second each time."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries count what they are left with


@cache
def keep_freed_memory() -> None:
    """Have the C library keep what is freed, for the next tensor of a step.

    Left alone it gives each tensor of 32 MiB and more back to the system at once, and all its pages are fetched and cleared anew in the
    next step: of steps on such tensors that takes most of the time.
    """
    with contextlib.suppress(*NOT_GNU):
        library = ctypes.CDLL(None)
        # either is the end of the threshold that glibc moves by itself, so neither is set alone; old ones take no more than 32 MiB
        if library.mallopt(M_MMAP_THRESHOLD, KEPT) or library.mallopt(M_MMAP_THRESHOLD, 2**25):
            library.mallopt(M_TRIM_THRESHOLD, KEPT)


def default_device() -> str:
    """cuda where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe(device: torch.device, jobs: int, precision: str = "float32") -> dict[str, Any]:
    """What a record says of its machine and code."""
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--", *PACKAGES, "pyproject.toml")
    return {
        "latentbench": project_version(),
        "commit": commit,
        "dirty": None if commit is None else bool(changed),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "processor": processor() if device.type == "cuda" else None,  # on the CPU it is the device
        "driver": driver() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "jobs": jobs,
        "precision": precision,
        **{name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
    }


@cache
def project_version() -> str:
    """The version of pyproject.toml: of the checkout that runs, or what an installation has kept of it."""
    project = ROOT / "pyproject.toml"
    return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] if project.exists() else version("latentbench")


@cache
def git(*arguments: str) -> str | None:
    """What git says of the source tree when first asked: what is imported does not change later; None outside a checkout."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def driver() -> str:
    """What runs torch's kernels on the GPU: the driver, where the system says which, torch's CUDA, and cuDNN."""
    found = re.search(r"Module\s+([\d.]+)", DRIVER.read_text()) if DRIVER.exists() else None
    said = [f"driver {found[1]}"] if found else []
    return ", ".join([*said, f"CUDA {torch.version.cuda}", f"cuDNN {torch.backends.cudnn.version()}"])


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    )
    return f"{names[0] if names else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def code_hash(plugins: tuple[str, ...]) -> str:
    """Hash of every source file that can change a number."""
    digest = hash_of_packages(ROOT).copy()
    for path in (path for plugin in plugins if (path := Path(plugin)).is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def hash_of_packages(root: Path) -> "hashlib._Hash":
    """The part of that for our own files, as they are when first asked for: what is imported does not change later. To be copied."""
    digest = hashlib.sha256()
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*")) if path.suffix in (".c", ".h", ".py")]
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest


def release_freed_memory() -> None:
    """Give the system back what has been freed: the C library keeps it in the gaps between small things that live on, and takes more."""
    with contextlib.suppress(*NOT_GNU):
        ctypes.CDLL(None).malloc_trim(0)


def free(device: torch.device) -> None:
    """Give back the device's memory of what nobody needs any more; what refers to itself waits for the collector, and counts until then."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def reset_peak_memory(device: torch.device) -> None:
    """Start a new peak, without what earlier runs of this process have freed but the C library has kept: gigabytes, after some."""
    if device.type == "cuda":
        free(device)
        torch.cuda.reset_peak_memory_stats(device)
        return
    release_freed_memory()
    with contextlib.suppress(OSError):  # elsewhere the peak is that of the whole process, or unknown
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mib(device: torch.device) -> float | None:
    """MiB allocated at most on the device, or resident at most in this process; None where the system does not say.

    Without mapped files (libraries, packed data sets): how many of their pages count depends on how the process began.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    lines = [line.split() for line in status.read_text().splitlines()] if status.exists() else []
    kib = {line[0]: int(line[1]) for line in lines if line[0] in ("VmHWM:", "RssFile:")}
    return (kib["VmHWM:"] - kib["RssFile:"]) / 1024 if len(kib) == 2 else None
