"""The rows of `python -m bench gpu-check`: what each part measures of training, on a device that the caller gives."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent

from bench.datasets.batches import Batches, generator
from bench.environment import free, peak_memory_mib, reset_peak_memory, set_up
from bench.runs.profile import kernels as hot_spots
from bench.speed import training as speed
from bench.speed.timing import timed_alternately
from bench.suites.schema import Budget, Optimizer, Precision
from bench.training.clock import Clock
from bench.training.gathered import trainer_on
from bench.training.precision import products_in
from bench.training.train import Plan, Training
from models.method import AutoEncoder
from models.networks.network import Network
from models.networks.wae import wae_celeba, wae_mnist
from models.vae import vae_gauss
from models.wae import wae_gan, wae_mmd

AGREEMENT = 1e-3  # of weights after steps as graphs and kernel by kernel, in float32
ENOUGH = 6.0  # seconds of a timing that has three rounds
PER_EPOCH = 100  # batches, so that few rounds hold the beginning of an epoch

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")  # what a profiler calls them

Row = dict[str, Any]


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


def worst(errors: Iterable[float]) -> float:
    """The largest; NaN if one is, which Python's `max` would leave out."""
    return float(torch.tensor(list(errors), dtype=torch.float64).max())


def new_peak(device: torch.device) -> None:
    """From now on the most memory is that of what comes."""
    free(device)
    reset_peak_memory(device)


@cache
def built(recipe: Any, network: Network, dim: int, shape: tuple[int, int, int]) -> AutoEncoder:
    """A method on the CPU, to be copied: to fill a large network with its weights takes a second."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method: AutoEncoder = recipe(dim).assemble(shape, dim, network)
    return method


def training_of(network: Network, recipe: Any, dim: int, device: torch.device, **options: Any) -> tuple[Training, Batches]:
    """A method on random images of the network's shape, from the same weights each time."""
    shape, batch = options["shape"], options.get("batch", 100)
    precision: Precision = options.get("precision", "float32")
    size = (options.get("per_epoch", PER_EPOCH) * batch, *shape)
    images = torch.randint(0, 256, size, dtype=torch.uint8, generator=generator(device, 0, "images"), device=device)
    method = deepcopy(built(recipe, network, dim, shape)).to(device).train()
    if options.get("channels_last"):
        method = method.to(memory_format=torch.channels_last)
    batches = Batches(images, 255, batch, 0)
    plan = Plan(Budget(steps=10**9), Optimizer(), batches.per_epoch, 10**9, precision)
    return trainer_on(device)(method, plan, generator(device, 0, "noise"), capture=options.get("capture", True)), batches


def agree(recipe: Any, device: torch.device) -> Row:
    """The same steps of three epochs as CUDA graphs and kernel by kernel: how far their weights and terms are apart."""
    terms, weights, how = [], [], ""
    for capture in (True, False):
        training, batches = training_of(speed.mlp_128_16, recipe, 4, device, shape=(1, 28, 28), per_epoch=4, capture=capture)
        terms.append(torch.stack(training.take_steps(batches, 12)))
        weights.append(torch.cat([p.detach().flatten() for p in training.method.state_dict().values()]))
        how = training.execution if capture else how
    error, apart = relative(weights[0], weights[1]), relative(terms[0], terms[1])
    graphs = device.type != "cuda" or how.startswith("one CUDA graph")
    return {"weights": error, "terms": apart, "execution": how, "ok": graphs and worst((error, apart)) <= AGREEMENT}


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
    found = timed_alternately(implementations, rounds, device, operations=5, warm_up=2, seconds=ENOUGH)
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
        found = timed_alternately({"": lambda: [torch.mm(a, b, out=out) for _ in range(4)]}, rounds, device, operations=4, seconds=1.0)
    return 2 * size**3 / found[""].median


def operations(network: Network, device: torch.device, options: dict[str, Any]) -> int:
    """FLOPs of a step, counted in one that is taken kernel by kernel."""
    from torch.utils.flop_counter import FlopCounterMode

    training, batches = training_of(network, wae_mmd, 64, device, **options, capture=False)
    with FlopCounterMode(display=False) as counter:
        training.take_step(batches)
    return counter.get_total_flops()


def share_of_rate(quick: bool, precision: Precision, batch: int, channels_last: bool, rounds: int, device: torch.device) -> Row:
    """FLOP/s of a step of the CelebA network over the device's own rate of matrix products (MFU)."""
    network, shape = (speed.mlp_128_16, (1, 28, 28)) if quick else (wae_celeba, (3, 64, 64))
    rate = matmul_rate(device, precision, 256 if quick else 8192, rounds)
    per_epoch = PER_EPOCH if batch <= 100 else 40  # 250 MB of the largest images
    options = {"shape": shape, "batch": batch, "precision": precision, "channels_last": channels_last, "per_epoch": per_epoch}
    flops = operations(network, device, options)
    new_peak(device)
    training, batches = training_of(network, wae_mmd, 64, device, **options)
    found = timed_alternately({"": partial(training.take_steps, batches, 5)}, rounds, device, 5, warm_up=2, seconds=ENOUGH)
    seconds = found[""].median
    row = {"execution": training.execution, "ms": 1000 * seconds, "matmul_tflops": rate / 1e12, "mfu": flops / seconds / rate}
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


def profiled(act: Callable[[], object], device: torch.device) -> list[FunctionEvent]:
    """What torch's profiler sees of a call."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities, with_flops=True) as profiler:
        act()
    return list(profiler.events() or [])


def waits_in(events: Iterable[FunctionEvent]) -> int:
    """How often the host waited for the device."""
    return sum(event.name in WAITS for event in events)


def ten_steps(capture: bool, device: torch.device) -> Row:
    """The kernels that take most of ten steps, and how often the host waited for the device within them: never, it should be.

    RuntimeError where the profiler saw no kernel, for then it saw no wait either.
    """
    training, batches = training_of(speed.mlp_128_16, wae_mmd, 2, device, shape=(1, 28, 28), capture=capture)
    training.take_steps(batches, 5)
    Clock(device).wait()
    _, nothing = (profiled(lambda: None, device) for _ in range(2))  # the profiler's own waits, once it has been started before
    events = profiled(partial(training.take_steps, batches, 10), device)
    kernels = hot_spots(events, device, 10)[:8]
    if not kernels:
        raise RuntimeError("the profiler saw no kernel")
    waits = max(0, waits_in(events) - waits_in(nothing))
    return {"execution": training.execution, "host_waits": waits, "kernels": kernels, "ok": waits == 0}


def profiles(case: Case) -> list[Task]:
    """Of steps as graphs and kernel by kernel."""
    return [Task({"steps": "graph" if capture else "eager"}, partial(ten_steps, capture)) for capture in (True, False)]
