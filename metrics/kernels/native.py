"""The kernels of `c/`, built at first use by the machine's C compiler and kept in the user's cache.

A library's name is a hash of the source, the flags, the compiler and the processor: another of these is another file. It is written
under a temporary name first, so processes that build at once do not meet. Flags in $CC win over ours: `CC="cc -mno-avx512f"` is a
library for narrower vectors, which tests build so. Calls release the GIL. float32 only; the equations are those of
`mmd.py` (arXiv:1711.01558, Algorithm 2) and `overlaps.py` (arXiv:1902.06160, Eq. 20-24).
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from ctypes import CDLL, c_double, c_int, c_long, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SOURCES = Path(__file__).with_name("c")
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-shared", "-fPIC")
EXTRAS = (("-march=native", "-fopenmp"), ("-march=native",), ("-fopenmp",), ())  # the first that this compiler takes
SECONDS = 120  # for one compilation
FAMILIES = {"imq": 0, "imq7": 1, "rbf": 2}
ALONE = 2**18  # numbers of pairs below which a second thread costs more than it takes over
SIGNATURES = {
    "mmd": [c_void_p] * 2 + [c_long] * 3 + [c_double, c_int, c_int] + [c_void_p] * 3,
    "bound": [c_void_p] * 2 + [c_long] * 2 + [c_int] + [c_void_p] * 3,
}


def cache_folder() -> Path:
    """Where libraries are kept, by the user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latentbench"


def compiler() -> list[str] | None:
    """$CC, or the first of the usual names that there is."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    says = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return "\n".join([platform.machine(), platform.processor(), *sorted(says)])


def file_name(command: list[str]) -> str:
    """Of the library that this compiler makes of this source here."""
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    source = "".join(file.read_text(encoding="utf-8") for file in sorted(SOURCES.glob("*.[ch]")))
    parts = [source, repr((command, FLAGS, EXTRAS)), version, processor()]
    return f"native-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.so"


def build(command: list[str], target: Path) -> None:
    """Compile to that file; CalledProcessError where the compiler takes no set of flags."""
    with tempfile.TemporaryDirectory(prefix="building-", dir=target.parent) as folder:
        made = Path(folder) / target.name
        for extras in EXTRAS:
            call = [*command, *FLAGS, *extras, *map(str, sorted(SOURCES.glob("*.c"))), "-o", str(made), "-lm"]
            done = subprocess.run(call, capture_output=True, check=False, timeout=SECONDS)
            if done.returncode == 0:
                os.replace(made, target)
                return
    raise subprocess.CalledProcessError(done.returncode, call, stderr=done.stderr)


def load() -> CDLL:
    """The library, built unless the cache has it; from a folder for this process only, where there can be no cache."""
    command = compiler()
    if command is None:
        raise FileNotFoundError("no C compiler")
    name = file_name(command)
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        if not (cache_folder() / name).exists():
            build(command, cache_folder() / name)
        return CDLL(str(cache_folder() / name))
    except OSError:
        with tempfile.TemporaryDirectory(prefix="latentbench-", ignore_cleanup_errors=True) as folder:
            build(command, Path(folder) / name)
            return CDLL(str(Path(folder) / name))


@cache
def library() -> CDLL | None:
    """Loaded once; None where nothing compiles."""
    try:
        found = load()
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None
    for name, arguments in SIGNATURES.items():
        getattr(found, name).argtypes = arguments
    return found


def call(name: str, *arguments: Any) -> None:
    """A function of the library, with the addresses of tensors, null for None. MemoryError where it had none."""
    if getattr(library(), name)(*(x.data_ptr() if isinstance(x, Tensor) else x for x in arguments)):
        raise MemoryError(f"{name}: no memory")


def plain(x: Tensor, d: int) -> Tensor:
    """What C reads: contiguous float32 of a CPU, (N, D)."""
    if x.ndim != 2 or x.shape[1] != d or not x.is_cpu:
        raise ValueError(f"points must be (N, {d}) on a CPU, not {tuple(x.shape)} on {x.device}")
    return x if x.dtype is torch.float32 and x.is_contiguous() else x.detach().to(torch.float32).contiguous()


def threads(numbers: int) -> int:
    """For so many numbers of pairs."""
    return torch.get_num_threads() if numbers > ALONE else 1


class NativeMMD(torch.autograd.Function):
    """The gradients are formed with the value; there is no second derivative. Few calls of torch: at 100 points they are what costs."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor, C: float, kernel: str) -> Tensor:
        """(N, D), (M, D) -> ()"""
        n, d = p.shape
        a, b, m = plain(p, d), plain(q, d), len(q)
        of_p, of_q, _, _ = ctx.needs_input_grad
        to_p = torch.empty((n, d), dtype=torch.float32) if of_p else None
        to_q = torch.empty((m, d), dtype=torch.float32) if of_q else None
        value = torch.empty((), dtype=torch.float32)
        workers = threads((n + m) * (n + m) * d)
        call("mmd", a, b, n, m, d, C, FAMILIES[kernel], workers, value, to_p, to_q)
        ctx.save_for_backward(to_p if to_p is None else to_p.to(p.dtype), to_q if to_q is None else to_q.to(q.dtype))
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (N, D), (M, D)"""
        to_p, to_q = ctx.saved_tensors
        return to_p if to_p is None else to_p * upstream, to_q if to_q is None else to_q * upstream, None, None


class NativeBound(torch.autograd.Function):
    """The gradients are formed with the value; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_variance: Tensor) -> Tensor:
        """(M, D), (M, D) -> ()"""
        m, d = mean.shape
        if log_variance.shape != mean.shape:
            raise ValueError(f"{m} means of {d} dimensions need as many variances")
        inputs, wanted = (plain(mean, d), plain(log_variance, d)), any(ctx.needs_input_grad)
        gradients = [torch.empty((m, d), dtype=torch.float32) if wanted else None for _ in inputs]
        value = torch.empty((), dtype=torch.float32)
        call("bound", *inputs, m, d, threads(m * m * d), value, *gradients)
        ctx.save_for_backward(*(g if g is None else g.to(x.dtype) for g, x in zip(gradients, (mean, log_variance), strict=True)))
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (M, D), (M, D)"""
        return tuple(gradient * upstream for gradient in ctx.saved_tensors)
