"""`python -m bench gpu-check`: everything that only a CUDA machine can tell, in one command and under nine minutes.

Each part has a limit of its own and runs in a process of its own, so that one that hangs or crashes is a line of the report and not
its end. On the CPU with --quick the same code runs at tiny sizes: that is how it is tested.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import Batches, generator
from bench.environment import describe, peak_memory_mib, set_up
from bench.errors import in_a_line
from bench.runs.profile import kernels as hot_spots
from bench.speed import training as speed
from bench.speed.timing import timed_alternately
from bench.suites.schema import Budget, Optimizer, Precision
from bench.training.clock import Clock
from bench.training.precision import products_in
from bench.training.train import Plan, Training
from metrics.divergences import imq, imq7, mmd, rbf
from metrics.kernels.backends import using
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.latent import total_variance
from metrics.mixture_bound import mixture_kl_bound
from metrics.mixture_density import log_mixture_density
from models.networks.network import Network
from models.networks.wae import wae_celeba, wae_mnist
from models.vae import vae_gauss
from models.wae import wae_gan, wae_mmd

SECONDS = 540  # of the whole command
TOLERANCE = 1e-5  # relative error of a kernel's value and gradient in float32
AGREEMENT = 1e-3  # of weights after steps as graphs and kernel by kernel, in float32

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")  # what a profiler calls them

Loss = Callable[[Tensor, Tensor], Tensor]  # two (n, d) -> ()
KERNELS: dict[str, Loss] = {  # to be checked and timed; the second argument gets a gradient
    "mmd imq": lambda p, q: mmd(p, q, 2.0 * q.shape[1], imq),
    "mmd imq7": lambda p, q: mmd(p, q, 2.0 * q.shape[1], imq7),
    "mmd rbf": lambda p, q: mmd(p, q, 2.0 * q.shape[1], rbf),
    "mixture_kl_bound": lambda p, q: mixture_kl_bound(q, p),
    "log_mixture_density": lambda p, q: log_mixture_density(q, p, p).mean(),
    "squared_sliced_wasserstein": lambda p, q: squared_sliced_wasserstein(p, q, unit_vectors(64, q.shape[1]).to(q)),
    "total_variance": lambda p, q: total_variance(q),
}
BROADCAST = 1024  # n up to which the reference is the formula by broadcasting; beyond, tiles in float64


@dataclass(frozen=True)
class Case:
    """How large, and on what."""

    device: str
    quick: bool

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(n, d) of the kernels."""
        return ((2, 3), (33, 5)) if self.quick else ((2, 3), (100, 8), (257, 16), (1024, 64), (4096, 16))

    @property
    def rounds(self) -> int:
        """Of a timing."""
        return 2 if self.quick else 20

    def open(self) -> torch.device:
        """The device, in full float32."""
        return set_up(self.device, 1)


def relative(found: Tensor, exact: Tensor) -> float:
    """|found - exact| / |exact|, in float64 on the CPU."""
    found, exact = found.double().cpu(), exact.double().cpu()
    return float((found - exact).norm() / exact.norm().clamp(min=1e-30))


def value_and_gradient(loss: Loss, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """-> (), (n, d)"""
    q = q.detach().requires_grad_()
    value = loss(p, q)
    (gradient,) = torch.autograd.grad(value, q)
    return value.detach(), gradient


def correctness(case: Case) -> dict[str, Any]:
    """Each kernel in float32 on the device against float64 on the CPU, gradient included."""
    device, rows = case.open(), []
    for name, loss in KERNELS.items():
        for n, d in case.sizes:
            noise = torch.Generator().manual_seed(n + d)
            p, q = (torch.randn(n, d, generator=noise) for _ in range(2))
            q = 0.5 * q + 1.5  # far from the prior: the value is no difference of nearly equal numbers
            value, gradient = value_and_gradient(loss, p.to(device), q.to(device))
            with using("broadcast" if n <= BROADCAST else "tiled"):
                exact, slope = value_and_gradient(loss, p.double(), q.double())
            errors = relative(value, exact), relative(gradient, slope)
            rows.append({"kernel": name, "n": n, "d": d, "value": errors[0], "gradient": errors[1], "ok": max(errors) <= TOLERANCE})
    return {"ok": all(row["ok"] for row in rows), "rows": rows}


def kernel_times(case: Case) -> dict[str, Any]:
    """Milliseconds of forward and backward, and most memory."""
    device, rows = case.open(), []
    for name, loss in KERNELS.items():
        for n, d in case.sizes[1:]:
            p, q = (torch.randn(n, d, device=device) for _ in range(2))
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            found = timed_alternately({name: partial(value_and_gradient, loss, p, q)}, case.rounds, device)
            rows.append({"kernel": name, "n": n, "d": d, "ms": 1000 * found[name].median, "peak_mib": peak_memory_mib(device)})
    return {"ok": True, "rows": rows}


def training_of(network: Network, recipe: Any, dim: int, device: torch.device, **options: Any) -> tuple[Training, Batches]:
    """A method on random images of the network's shape, from the same weights each time."""
    shape, batch = options["shape"], options.get("batch", 100)
    precision: Precision = options.get("precision", "float32")
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4 * batch, *shape), dtype=torch.uint8, generator=noise).to(device)
    torch.manual_seed(0)
    method = recipe(dim).assemble(shape, dim, network).to(device).train()
    if options.get("channels_last"):
        method = method.to(memory_format=torch.channels_last)
    plan = Plan(Budget(steps=10**9), Optimizer(), 4, 10**9, precision)
    capture = options.get("capture", True)
    return Training(method, plan, generator(device, 0, "noise"), capture=capture), Batches(images, 255, batch, 0)


def agreement(case: Case) -> dict[str, Any]:
    """The same steps as CUDA graphs and kernel by kernel: how far their weights and terms are apart."""
    device, rows = case.open(), []
    for name, recipe in {"wae_mmd": wae_mmd, "wae_gan": wae_gan, "vae_gauss": vae_gauss}.items():
        terms, weights, how = [], [], ""
        for capture in (True, False):
            training, batches = training_of(speed.mlp_128_16, recipe, 4, device, shape=(1, 28, 28), capture=capture)
            terms.append(torch.stack(training.take_steps(batches, 12)))
            weights.append(torch.cat([p.detach().flatten() for p in training.method.state_dict().values()]))
            how = training.execution if capture else how
        error, apart = relative(weights[0], weights[1]), relative(terms[0], terms[1])
        graphs = device.type != "cuda" or how.startswith("one CUDA graph")
        rows.append({"method": name, "weights": error, "terms": apart, "execution": how, "ok": graphs and max(error, apart) <= AGREEMENT})
    return {"ok": all(row["ok"] for row in rows), "rows": rows}


def training_times(case: Case) -> dict[str, Any]:
    """Milliseconds of a step as a graph and kernel by kernel, in each precision."""
    device, rows = case.open(), []
    networks: dict[str, tuple[Network, int]] = {"MLP 784-128-16-2": (speed.mlp_128_16, 2)}
    if not case.quick:
        networks["convolutional MNIST network"] = (wae_mnist, 8)
    precisions: tuple[Precision, ...] = ("float32", "tf32", "bf16") if device.type == "cuda" else ("float32", "bf16")
    for name, (network, dim) in networks.items():
        for precision in precisions:
            made = {
                words: training_of(network, wae_mmd, dim, device, shape=(1, 28, 28), precision=precision, capture=words == "graph")
                for words in ("graph", "eager")
            }
            implementations = {words: (lambda t=t, b=b: t.take_steps(b, 5)) for words, (t, b) in made.items()}
            found = timed_alternately(implementations, case.rounds, device, operations=5, warm_up=2)
            ms = {words: 1000 * timed.median for words, timed in found.items()}
            rows.append({"network": name, "precision": precision, **ms, "eager_over_graph": ms["eager"] / ms["graph"]})
            rows[-1]["execution"] = made["graph"][0].execution
    return {"ok": True, "rows": rows}


def matmul_rate(device: torch.device, precision: Precision, size: int, rounds: int) -> float:
    """FLOP/s of a square matrix product in that arithmetic."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty(size, size, device=device, dtype=dtype)
    with products_in(precision):
        found = timed_alternately({"": lambda: [torch.mm(a, b, out=out) for _ in range(4)]}, rounds, device, operations=4)
    return 2 * size**3 / found[""].median


def utilisation(case: Case) -> dict[str, Any]:
    """FLOP/s of a step of the CelebA network over the device's own rate of matrix products (MFU), contiguous and channels_last."""
    from torch.utils.flop_counter import FlopCounterMode

    device, rows = case.open(), []
    network, shape = (speed.mlp_128_16, (1, 28, 28)) if case.quick else (wae_celeba, (3, 64, 64))
    precisions: tuple[Precision, ...] = ("bf16",) if case.quick else ("float32", "tf32", "bf16")
    for precision in precisions:
        rate = matmul_rate(device, precision, 256 if case.quick else 8192, case.rounds)
        for batch in (20,) if case.quick else (100, 512):
            for channels_last in (False, True):
                options = {"shape": shape, "batch": batch, "precision": precision, "channels_last": channels_last}
                eager, batches = training_of(network, wae_mmd, 64, device, **options, capture=False)
                with FlopCounterMode(display=False) as counter:
                    eager.take_step(batches)
                training, batches = training_of(network, wae_mmd, 64, device, **options)
                found = timed_alternately({"": partial(training.take_steps, batches, 5)}, case.rounds, device, 5, warm_up=2)
                flops = counter.get_total_flops() / found[""].median
                words = {"precision": precision, "batch": batch, "channels_last": channels_last, "execution": training.execution}
                rows.append({**words, "ms": 1000 * found[""].median, "matmul_tflops": rate / 1e12, "mfu": flops / rate})
                rows[-1]["peak_mib"] = peak_memory_mib(device)
    return {"ok": True, "rows": rows}


def profiles(case: Case) -> dict[str, Any]:
    """The kernels that take most of ten steps, and how often the host waited for the device within them: never, it should be."""
    from torch.profiler import ProfilerActivity, profile

    device, rows = case.open(), list[dict[str, Any]]()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    for capture in (True, False):
        training, batches = training_of(speed.mlp_128_16, wae_mmd, 2, device, shape=(1, 28, 28), capture=capture)
        training.take_steps(batches, 5)
        Clock(device).wait()
        with profile(activities=activities, with_flops=True) as profiler:
            training.take_steps(batches, 10)
        events = profiler.events() or []
        waits = sum(event.name in WAITS for event in events)
        rows.append({"execution": training.execution, "host_waits": waits, "kernels": hot_spots(events, device, 10)[:8]})
    return {"ok": all(row["host_waits"] <= 1 for row in rows), "rows": rows}  # the profiler's own end waits once


PARTS: dict[str, tuple[Callable[[Case], dict[str, Any]], int]] = {  # with the seconds that each may take
    "correctness": (correctness, 80),
    "agreement": (agreement, 60),
    "kernel times": (kernel_times, 80),
    "training times": (training_times, 110),
    "utilisation": (utilisation, 150),
    "profiles": (profiles, 50),
}


def child(name: str, case: Case, pipe: Connection) -> None:
    """A part in its process; what it raises is its result."""
    try:
        pipe.send(PARTS[name][0](case))
    except Exception as error:
        pipe.send({"ok": False, "error": in_a_line(error), "rows": []})


def within(name: str, case: Case, seconds: float) -> dict[str, Any]:
    """A part's result, or why there is none: it took too long, or its process died."""
    context: Any = multiprocessing.get_context("spawn" if case.device == "cuda" else "fork")  # a CUDA context does not survive a fork
    receiver, sender = context.Pipe(duplex=False)
    process, start = context.Process(target=child, args=(name, case, sender)), time.monotonic()
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            process.kill()
            return {"ok": False, "error": f"took longer than {seconds:.0f} s", "rows": [], "seconds": seconds}
        return {**receiver.recv(), "seconds": time.monotonic() - start}
    except EOFError:
        process.join()
        return {"ok": False, "error": f"its process died (exit code {process.exitcode})", "rows": [], "seconds": time.monotonic() - start}
    finally:
        process.join()


def check(case: Case, tell: Callable[[str], None], limits: Mapping[str, float] | None = None) -> dict[str, Any]:
    """All parts, whatever becomes of each, as JSON has it."""
    start, found = time.monotonic(), dict[str, Any]()
    for name, (_, limit) in PARTS.items():
        left = SECONDS - 10 - (time.monotonic() - start)
        tell(name)
        if left > 5:
            found[name] = within(name, case, min((limits or {}).get(name, limit), left))
        else:
            found[name] = {"ok": False, "error": "no time left", "rows": []}
    ok = all(part["ok"] for part in found.values())
    return {"ok": ok, "quick": case.quick, "environment": describe(case.open(), 1), "parts": found, "seconds": time.monotonic() - start}


def folder_of(out: Path, result: Mapping[str, Any]) -> Path:
    """leaderboards/gpu/<the device's name>, without blanks."""
    name = "".join(c if c.isalnum() else "-" for c in result["environment"]["device"]).strip("-")
    return out / "leaderboards" / "gpu" / name
