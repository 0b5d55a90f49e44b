"""`python -m bench speed` and `gpu-check`."""

from collections.abc import Sequence
from pathlib import Path

from bench.commands import console
from bench.environment import default_device, set_up
from bench.errors import UserError
from bench.files import write
from bench.records.store import Store
from bench.registry import catalogue
from bench.runs.context import kernels_on
from bench.runs.run import check_writable
from bench.speed import gpu_check as check
from bench.speed import gpu_page
from bench.speed import page as speed_page
from bench.speed import training as speed_of
from bench.suites import reader
from bench.suites.names import built_in
from metrics.kernels.backends import has_triton


def speed(device: str | None, data_root: Path, out: Path, threads: int, quick: bool) -> None:
    """Measure training, evaluation and reading beside others'; print and keep the page."""
    chosen = speed_of.Settings(device or default_device(), threads, data_root, *((2, 1, True) if quick else ()))
    check_writable(Store(out, "speed"))
    kernels_on(set_up(chosen.device, threads))
    page = speed_page.publish(out, speed_of.measure(chosen, lambda text: console.err.print(text, markup=False)))
    print(page.read_text(encoding="utf-8"))
    print(page)


def gpu_check(device: str, out: Path, quick: bool, parts: Sequence[str]) -> int:
    """Check what needs a GPU, of those parts if any are named; -> exit code."""
    if device == "cpu" and not quick:
        raise UserError("gpu-check measures CUDA devices; --device cpu is for --quick, which tests the command itself")
    kernels_on(set_up(device, 1))
    case = check.Case(device, quick)
    result = check.check(
        case,
        lambda text: console.err.print(text, markup=False),
        lambda so_far: gpu_page.publish(check.folder_of(out, so_far), so_far),
        parts,
    )
    print(gpu_page.publish(check.folder_of(out, result), result))
    for name, part in result["parts"].items():
        lost = [row["error"] for row in part["rows"] if "error" in row]
        print(f"{name}: {'ok' if part['ok'] else '; '.join(lost) or 'a check failed'}")
    return 0 if result["ok"] else 1


def estimate(suite: str | None, out: Path) -> None:
    """Print what would bound training on a GPU, of one suite, or of all that come with latentbench, which keeps the page."""
    if not has_triton():
        raise UserError("gpu-check --estimate: triton is not installed; python -m pip install triton")
    from bench.speed import gpu_estimate as by_counts  # a second more, for nothing else

    suites = [reader.read(name) for name in ([suite] if suite else built_in())]
    page = by_counts.estimate(suites, lambda suite: catalogue(suite.plugins), lambda text: console.err.print(text, markup=False))
    print(page)
    if suite is None:
        write(out / "leaderboards" / "gpu" / "estimate.md", page.encode())


def compile_kernels(quick: bool) -> int:
    """Print what Triton's compiler makes of every kernel, quick: of codes of 3 dimensions on sm_90 alone; -> exit code."""
    if not has_triton():
        raise UserError("gpu-check --compile-only: triton is not installed; python -m pip install triton")
    from bench.speed import compiled_kernels as compiler  # needs it

    dimensions, architectures = ((3,), ["sm_90"]) if quick else (compiler.DIMENSIONS, list(compiler.ARCHITECTURES))
    rows = compiler.compile_all(dimensions, architectures, lambda text: console.err.print(text, markup=False))
    print(compiler.page(rows))
    return 1 if any("error" in row or row["spilled"] > compiler.FEW for row in rows) else 0
