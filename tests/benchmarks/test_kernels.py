"""Every regulariser kernel, forward and backward, beside the forms that a user would write and the peers that have it: `nox -s kernels`.

Forms of one cell are timed in turn, round after round; a ratio is the median of the rounds'. What they take beyond their inputs is
measured in a child process. A form that would hold more than LIMIT_GB is left out, and the record says so.
"""

import math
import os
import statistics
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest
import torch
from kernel_cases import SMALL, Case, cases, mixture
from measuring import SLOW, machine, milliseconds, peak_mb, ratios, side_by_side
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from bench.environment import processor
from metrics.kernels.backends import backend_of
from metrics.mixture_density import log_mixture_broadcast, log_mixture_density

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
OURS = backend_of(DEVICE)
LIMIT_GB = float(os.environ.get("LATENTBENCH_KERNELS_GB", "6"))  # as arrays of n n d float32
SECONDS = float(os.environ.get("LATENTBENCH_KERNELS_SECONDS", "0.6"))  # of rounds for one cell, two rounds at least
SIZES, DIMS = (100, 256, 1024, 4096), (2, 8, 16, 64)
COMPONENTS, SAMPLES, SOME, LATENTS = 60_000, 10_000, 125, 64
CASES = cases(OURS)


def environment() -> dict[str, Any]:
    """What the times belong to."""
    found = {"device": torch.cuda.get_device_name() if DEVICE.type == "cuda" else processor(), "threads": torch.get_num_threads()}
    for package in ("torch", "triton", "pythae", "geomloss", "POT"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found | {"backend": OURS, "limit_gb": LIMIT_GB}


def step_of(case: Case, form: str, d: int, inputs: list[Tensor]) -> Callable[[], tuple[Tensor, ...]] | None:
    """Forward and backward of that form; None where its peer is not installed."""
    loss = case.forms[form](d)
    leaves = [x.requires_grad_() for x in inputs[case.constants :]]
    return None if loss is None else lambda: torch.autograd.grad(summed(loss(*inputs)), leaves)


def summed(value: Tensor) -> Tensor:
    """() as it is, for a sum costs as much as a kernel of a few points."""
    return value if value.ndim == 0 else value.sum()


def plan(case: Case, n: int, d: int, inputs: list[Tensor]) -> tuple[dict[str, Callable[[], Any]], dict[str, str]]:
    """Steps by form, and why some are not taken."""
    steps, skipped = {}, {}
    gigabytes = 4e-9 * n * n * d * case.copies
    for form in case.forms:
        step = step_of(case, form, d, inputs)
        if step is None:
            skipped[form] = "not installed"
        elif form not in SMALL and gigabytes > LIMIT_GB:
            skipped[form] = f"{gigabytes:.0f} GB"
        else:
            steps[form] = step
    return steps, skipped


@pytest.mark.timeout(0)  # a busy machine is no reason to have no number
@pytest.mark.parametrize("d", DIMS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_kernel(benchmark: BenchmarkFixture, name: str, n: int, d: int) -> None:
    case = CASES[name]
    if "eager" not in case.forms and 4e-9 * n * n * d * case.copies > LIMIT_GB:
        pytest.skip(f"broadcasts, {4e-9 * n * n * d * case.copies:.0f} GB")
    if benchmark.disabled:
        n = 12  # that it runs, and that all forms are the same function
    inputs = case.inputs(n, d, torch.Generator(DEVICE).manual_seed(0))
    steps, skipped = plan(case, n, d, inputs)
    gradients = benchmark.pedantic(steps["ours"], rounds=3 if not benchmark.disabled else 1)
    assert all(gradient.isfinite().all() for gradient in gradients)
    if benchmark.disabled:
        for form in steps.keys() - {"geomloss"}:
            torch.testing.assert_close(steps[form](), gradients, rtol=1e-4, atol=1e-6)
        return
    times = side_by_side(steps, DEVICE, SECONDS)
    benchmark.extra_info |= {"kernel": name, "n": n, "d": d, "ratio": ratios(times), "skipped": skipped}
    benchmark.extra_info["ms"] = {form: statistics.median(ms) for form, ms in times.items()}
    benchmark.extra_info["rounds"] = len(times["ours"])
    benchmark.extra_info["mb"] = {form: peak_mb(step, DEVICE, times[form][0] <= 1000 * SLOW) for form, step in steps.items()}
    benchmark.extra_info["limit"] = {"gflop": case.gflop(n, d), "gb": case.gigabytes(n, d), "double": case.double}


@pytest.mark.timeout(0)
def test_density_at_the_size_of_a_data_set(benchmark: BenchmarkFixture) -> None:
    """log q(z) of 10,000 samples under 60,000 posteriors; eager in chunks on some samples, scaled; its error where σ is 0.01."""
    components, some = (60, 5) if benchmark.disabled else (COMPONENTS, SOME)
    count = 10 if benchmark.disabled else SAMPLES
    noise = torch.Generator(DEVICE).manual_seed(0)
    _, mean, log_variance = mixture(components, LATENTS, noise)
    z = mean[:count] + (0.5 * log_variance[:count]).exp() * torch.randn(count, LATENTS, generator=noise, device=DEVICE)

    def chunks(z: Tensor = z[:some], mean: Tensor = mean, log_variance: Tensor = log_variance) -> Tensor:
        parts = zip(mean.split(500), log_variance.split(500), strict=True)
        return torch.stack([log_mixture_broadcast(z, *part, None) + math.log(len(part[0])) for part in parts]).logsumexp(0) - math.log(
            components
        )

    def ours() -> Tensor:
        return log_mixture_density(z, mean, log_variance)

    found = benchmark.pedantic(ours, rounds=1)
    torch.testing.assert_close(found[:some], chunks())
    narrow = torch.full_like(log_variance, 2 * math.log(0.01))
    near = mean[:8] + 0.01 * torch.randn(8, LATENTS, generator=noise, device=DEVICE)
    error = (log_mixture_density(near, mean, narrow).double() - chunks(near.double(), mean.double(), narrow.double())).abs().max().item()
    assert error < 1e-4
    if benchmark.disabled:
        return
    rounds = [(milliseconds(ours, DEVICE), milliseconds(chunks, DEVICE) * count / some) for _ in range(3)]
    times = {"ours": [a for a, _ in rounds], "eager": [b for _, b in rounds]}
    benchmark.extra_info |= {"kernel": f"log q(z), {count} of {components}, forward", "n": count, "d": LATENTS, "rounds": 3}
    benchmark.extra_info |= {"ratio": ratios(times), "ms": {form: statistics.median(ms) for form, ms in times.items()}, "skipped": {}}
    benchmark.extra_info |= {"mb": {"ours": peak_mb(ours, DEVICE), "eager": peak_mb(chunks, DEVICE)}, "error_nats": error}
    benchmark.extra_info["limit"] = {"gflop": 4e-9 * components * count * LATENTS, "gb": 0, "double": OURS != "triton"}


def test_what_the_machine_can_do(benchmark: BenchmarkFixture) -> None:
    """Copying and products, in the same run."""
    source = torch.zeros(2**20, device=DEVICE)
    assert benchmark.pedantic(source.clone, rounds=3).shape == source.shape
    if not benchmark.disabled:
        benchmark.extra_info |= {"machine": machine(DEVICE), "environment": environment()}
