"""The rows of `python -m bench gpu-check`: what each part measures, on a device that the caller gives."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import Batches, generator
from bench.environment import peak_memory_mib, set_up
from bench.runs.profile import kernels as hot_spots
from bench.speed import training as speed
from bench.speed.timing import timed_alternately
from bench.suites.schema import Budget, Optimizer, Precision
from bench.training.clock import Clock
from bench.training.gathered import trainer_on
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

TOLERANCE = 1e-5  # relative error of a kernel's value and gradient in float32
LOOSER = {"squared_sliced_wasserstein": 5e-5}  # torch's own sum of products over directions, in float32
AGREEMENT = 1e-3  # of weights after steps as graphs and kernel by kernel, in float32

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")  # what a profiler calls them

Row = dict[str, Any]
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
    def timed_sizes(self) -> tuple[tuple[int, int], ...]:
        """Those that take long enough to be timed."""
        return self.sizes[1:]

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What training may be asked for there, the most used first: time may not last for all."""
        return ("bf16", "tf32", "float32") if self.device == "cuda" else ("bf16", "float32")

    @property
    def rounds(self) -> int:
        """Of a timing."""
        return 2 if self.quick else 20

    def open(self) -> torch.device:
        """The device, in full float32."""
        return set_up(self.device, 1)


@dataclass(frozen=True)
class Task:
    """A row of a part: what it is of, and what measures the rest; `ok` among that, where it can fail."""

    labels: Row
    measure: Callable[[torch.device], Row]


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


def exactness(name: str, n: int, d: int, device: torch.device) -> Row:
    """A kernel in float32 on the device against float64 on the CPU, gradient included."""
    loss, noise = KERNELS[name], torch.Generator().manual_seed(n + d)
    p, q = (torch.randn(n, d, generator=noise) for _ in range(2))
    q = 0.5 * q + 1.5  # far from the prior: the value is no difference of nearly equal numbers
    value, gradient = value_and_gradient(loss, p.to(device), q.to(device))
    with using("broadcast" if n <= BROADCAST else "tiled"):
        exact, slope = value_and_gradient(loss, p.double(), q.double())
    errors = relative(value, exact), relative(gradient, slope)
    return {"value": errors[0], "gradient": errors[1], "ok": max(errors) <= LOOSER.get(name, TOLERANCE)}


def correctness(case: Case) -> list[Task]:
    """Each kernel at each size."""
    return [Task({"kernel": name, "n": n, "d": d}, partial(exactness, name, n, d)) for name in KERNELS for n, d in case.sizes]


def kernel_time(name: str, n: int, d: int, rounds: int, device: torch.device) -> Row:
    """Milliseconds of forward and backward, and most memory."""
    p, q = (torch.randn(n, d, device=device) for _ in range(2))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    found = timed_alternately({name: partial(value_and_gradient, KERNELS[name], p, q)}, rounds, device)
    return {"ms": 1000 * found[name].median, "peak_mib": peak_memory_mib(device)}


def kernel_times(case: Case) -> list[Task]:
    """Each kernel at each size but the smallest."""
    return [
        Task({"kernel": name, "n": n, "d": d}, partial(kernel_time, name, n, d, case.rounds))
        for name in KERNELS
        for n, d in case.timed_sizes
    ]


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
    return trainer_on(device)(method, plan, generator(device, 0, "noise"), capture=capture), Batches(images, 255, batch, 0)


def agree(recipe: Any, device: torch.device) -> Row:
    """The same steps as CUDA graphs and kernel by kernel: how far their weights and terms are apart."""
    terms, weights, how = [], [], ""
    for capture in (True, False):
        training, batches = training_of(speed.mlp_128_16, recipe, 4, device, shape=(1, 28, 28), capture=capture)
        terms.append(torch.stack(training.take_steps(batches, 12)))
        weights.append(torch.cat([p.detach().flatten() for p in training.method.state_dict().values()]))
        how = training.execution if capture else how
    error, apart = relative(weights[0], weights[1]), relative(terms[0], terms[1])
    graphs = device.type != "cuda" or how.startswith("one CUDA graph")
    return {"weights": error, "terms": apart, "execution": how, "ok": graphs and max(error, apart) <= AGREEMENT}


def agreement(case: Case) -> list[Task]:
    """Of a method with one player, with two, and one whose regulariser has a closed form."""
    methods = {"wae_mmd": wae_mmd, "wae_gan": wae_gan, "vae_gauss": vae_gauss}
    return [Task({"method": name}, partial(agree, recipe)) for name, recipe in methods.items()]


def training_time(network: Network, dim: int, precision: Precision, rounds: int, device: torch.device) -> Row:
    """Milliseconds of a step as a graph and kernel by kernel."""
    made = {
        words: training_of(network, wae_mmd, dim, device, shape=(1, 28, 28), precision=precision, capture=words == "graph")
        for words in ("graph", "eager")
    }
    implementations = {words: (lambda t=t, b=b: t.take_steps(b, 5)) for words, (t, b) in made.items()}
    found = timed_alternately(implementations, rounds, device, operations=5, warm_up=2)
    ms = {words: 1000 * timed.median for words, timed in found.items()}
    return {**ms, "eager_over_graph": ms["eager"] / ms["graph"], "execution": made["graph"][0].execution}


def training_times(case: Case) -> list[Task]:
    """Two networks in each precision."""
    networks: dict[str, tuple[Network, int]] = {"MLP 784-128-16-2": (speed.mlp_128_16, 2)}
    if not case.quick:
        networks["convolutional MNIST network"] = (wae_mnist, 8)
    return [
        Task({"network": name, "precision": precision}, partial(training_time, network, dim, precision, case.rounds))
        for name, (network, dim) in networks.items()
        for precision in case.precisions
    ]


def matmul_rate(device: torch.device, precision: Precision, size: int, rounds: int) -> float:
    """FLOP/s of a square matrix product in that arithmetic."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty(size, size, device=device, dtype=dtype)
    with products_in(precision):
        found = timed_alternately({"": lambda: [torch.mm(a, b, out=out) for _ in range(4)]}, rounds, device, operations=4)
    return 2 * size**3 / found[""].median


def share_of_rate(quick: bool, precision: Precision, batch: int, channels_last: bool, rounds: int, device: torch.device) -> Row:
    """FLOP/s of a step of the CelebA network over the device's own rate of matrix products (MFU)."""
    from torch.utils.flop_counter import FlopCounterMode

    network, shape = (speed.mlp_128_16, (1, 28, 28)) if quick else (wae_celeba, (3, 64, 64))
    rate = matmul_rate(device, precision, 256 if quick else 8192, rounds)
    options = {"shape": shape, "batch": batch, "precision": precision, "channels_last": channels_last}
    eager, batches = training_of(network, wae_mmd, 64, device, **options, capture=False)
    with FlopCounterMode(display=False) as counter:
        eager.take_step(batches)
    training, batches = training_of(network, wae_mmd, 64, device, **options)
    found = timed_alternately({"": partial(training.take_steps, batches, 5)}, rounds, device, 5, warm_up=2)
    flops = counter.get_total_flops() / found[""].median
    row = {"execution": training.execution, "ms": 1000 * found[""].median, "matmul_tflops": rate / 1e12, "mfu": flops / rate}
    return {**row, "peak_mib": peak_memory_mib(device)}


def utilisation(case: Case) -> list[Task]:
    """Each precision, contiguous and channels_last, at two batch sizes."""
    return [
        Task(
            {"precision": precision, "batch": batch, "channels_last": channels_last},
            partial(share_of_rate, case.quick, precision, batch, channels_last, case.rounds),
        )
        for precision in (case.precisions[:1] if case.quick else case.precisions)
        for batch in ((20,) if case.quick else (100, 512))
        for channels_last in (False, True)
    ]


def ten_steps(capture: bool, device: torch.device) -> Row:
    """The kernels that take most of ten steps, and how often the host waited for the device within them: never, it should be."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    training, batches = training_of(speed.mlp_128_16, wae_mmd, 2, device, shape=(1, 28, 28), capture=capture)
    training.take_steps(batches, 5)
    Clock(device).wait()
    with profile(activities=activities, with_flops=True) as profiler:
        training.take_steps(batches, 10)
    events = profiler.events() or []
    waits = sum(event.name in WAITS for event in events)
    kernels = hot_spots(events, device, 10)[:8]
    return {"execution": training.execution, "host_waits": waits, "kernels": kernels, "ok": waits <= 1}  # the profiler's own end waits once


def profiles(case: Case) -> list[Task]:
    """Of steps as graphs and kernel by kernel."""
    return [Task({"steps": "graph" if capture else "eager"}, partial(ten_steps, capture)) for capture in (True, False)]
