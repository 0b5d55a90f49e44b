"""Several seeds of a run at once on one device: in turn, on streams of their own, in one stacked step, in processes (`gpu-check`).

All train the same network on the same images, each seed from its own weights, batches and noise. A time is that of a step of all seeds.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import BrokenBarrierError, Thread
from typing import Any, NamedTuple

import torch

from bench.datasets.batches import Batches, derive, generator
from bench.environment import set_up
from bench.errors import in_a_line
from bench.processes import end_with_parent
from bench.speed import training as speed
from bench.speed.gpu_parts import AGREEMENT, Case, Row, Task, relative
from bench.speed.stacked import Stacked, StackedBatches, StackedTraining
from bench.speed.timing import Timed, ratio, timed_alternately
from bench.suites.schema import Budget, Optimizer
from bench.training.clock import Clock
from bench.training.gathered import trainer_on
from bench.training.train import Plan, Training
from models.method import AutoEncoder
from models.networks.network import Network
from models.networks.wae import wae_mnist
from models.wae import wae_mmd

SHAPE, BATCH = (1, 28, 28), 100
PER_EPOCH = 100  # batches
PLAN = Plan(Budget(steps=10**9), Optimizer(), PER_EPOCH, 10**9)
STEPS, LONG = 5, 50  # of a round; of one of processes, which begin not quite together
PROCESSES, PATIENCE = 4, 30.0  # seconds that one waits for the others
SERVICE = Path("/tmp/nvidia-mps/control")  # of NVIDIA's Multi-Process Service, where it is not told another place
QUEUES = "CUDA_DEVICE_MAX_CONNECTIONS"  # between host and device, at most 32; 8 if not said, and streams that share one wait for each other

Steps = Callable[[int], object]


def images(device: torch.device) -> torch.Tensor:
    """An epoch of random bytes.   -> (100 B, 1, 28, 28) uint8"""
    return torch.randint(0, 256, (PER_EPOCH * BATCH, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(device)


def method_of(network: Network, dim: int, seed: int, device: torch.device) -> AutoEncoder:
    """WAE-MMD with the weights of that seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "weights"))
        return wae_mmd(dim).assemble(SHAPE, dim, network).to(device).train()


def alone(network: Network, dim: int, seeds: Sequence[int], device: torch.device) -> list[tuple[Training, Batches]]:
    """A training of each seed."""
    data = images(device)
    return [
        (trainer_on(device)(method_of(network, dim, seed, device), PLAN, generator(device, seed, "noise")), Batches(data, 255, BATCH, seed))
        for seed in seeds
    ]


def stacked(network: Network, dim: int, seeds: Sequence[int], device: torch.device) -> tuple[Stacked, Training, StackedBatches]:
    """One training of all."""
    data = images(device)
    batches = StackedBatches([Batches(data, 255, BATCH, seed) for seed in seeds])
    methods = [method_of(network, dim, seed, device) for seed in seeds]
    stack = Stacked(methods, [generator(device, seed, "noise") for seed in seeds], batches.each[0].at(0)).train()
    return stack, StackedTraining(stack, PLAN, generator(device, 0, "noise")), batches


def in_turn(each: Sequence[tuple[Training, Batches]], steps: int) -> None:
    """One seed after the other."""
    for training, batches in each:
        training.take_steps(batches, steps)


def on_streams(each: Sequence[tuple[Training, Batches]], streams: Sequence[torch.cuda.Stream], steps: int) -> None:
    """A step of each in turn, which the device may do at the same time."""
    current = torch.cuda.current_stream()
    for stream in streams:
        stream.wait_stream(current)
    for _ in range(steps):
        for (training, batches), stream in zip(each, streams, strict=True):
            with torch.cuda.stream(stream):
                training.take_steps(batches, 1)
    for stream in streams:
        current.wait_stream(stream)


def weights(method: Any) -> torch.Tensor:
    """All of them.   -> (values,)"""
    return torch.cat([p.detach().flatten() for p in method.parameters()])


class AtOnce(NamedTuple):
    """Several seeds, in one form."""

    steps: Steps  # so many of each
    methods: list[Any]  # each seed's
    training: Training  # of the first, or of all


def one_after_the_other(network: Network, dim: int, count: int, device: torch.device) -> AtOnce:
    """A graph of each seed, replayed in turn; and the seeds' methods."""
    each = alone(network, dim, range(count), device)
    return AtOnce(partial(in_turn, each), [training.method for training, _ in each], each[0][0])


def side_by_side(network: Network, dim: int, count: int, device: torch.device) -> AtOnce:
    """The same, each on a stream of its own."""
    each = alone(network, dim, range(count), device)
    streams = [torch.cuda.Stream(device) for _ in each]
    return AtOnce(partial(on_streams, each, streams), [training.method for training, _ in each], each[0][0])


def in_one_step(network: Network, dim: int, count: int, device: torch.device) -> AtOnce:
    """The stacked step."""
    stack, training, batches = stacked(network, dim, range(count), device)
    return AtOnce(partial(training.take_steps, batches), stack.methods, training)


Form = Callable[[Network, int, int, torch.device], AtOnce]


def in_one_process(form: Form, network: Network, dim: int, count: int, rounds: int, device: torch.device) -> Row:
    """Milliseconds of a step of all seeds, how many times that of one seed it is, and how far weights are from those of seeds in turn."""
    os.environ.setdefault(QUEUES, "32")  # before the device is used for the first time
    seeds, lone = form(network, dim, count, device), one_after_the_other(network, dim, count, device)
    for each in (seeds, lone):
        each.steps(STEPS)
    apart = max(relative(weights(a), weights(b)) for a, b in zip(seeds.methods, lone.methods, strict=True))
    lone = one_after_the_other(network, dim, 1, device)
    found = timed_alternately({"one": partial(lone.steps, STEPS), "all": partial(seeds.steps, STEPS)}, rounds, device, STEPS, warm_up=2)
    how = seeds.training.execution
    row = {"ms": 1000 * found["all"].median, "over_one": ratio(found["all"], found["one"]), "weights": apart, "execution": how}
    return {**row, "ok": apart <= AGREEMENT and (device.type != "cuda" or how.startswith("one CUDA graph"))}


def child(network: Network, dim: int, seeds: Sequence[int], place: str, rounds: int, barrier: Any, pipe: Any) -> None:
    """Its share of the seeds, in turn; the first process times one seed alone while the others wait. Sends times, or what it died of."""
    Thread(target=end_with_parent, daemon=True).start()
    try:
        device = set_up(place, 1)
        each, clock = alone(network, dim, seeds, device), Clock(device)
        in_turn(each, STEPS)
        for _ in range(rounds):
            barrier.wait()
            times = []
            if seeds[0] == 0:
                start = clock.wait()
                in_turn(each[:1], LONG)
                times += [start, clock.wait()]
            barrier.wait()
            start = clock.wait()
            in_turn(each, LONG)
            pipe.put((start, clock.wait(), *times))
    except BrokenBarrierError:
        return  # another one has said why
    except Exception as error:
        pipe.put(in_a_line(error))
        barrier.abort()


def in_processes(network: Network, dim: int, count: int, rounds: int, device: torch.device) -> Row:
    """The same of processes, each of which trains its share of the seeds in turn; RuntimeError if one of them cannot."""
    processes = min(count, PROCESSES)
    context: Any = multiprocessing.get_context("spawn" if device.type == "cuda" else "fork")
    barrier, queue = context.Barrier(processes, timeout=PATIENCE), context.Queue()
    shares = [range(first, count, processes) for first in range(processes)]
    children = [context.Process(target=child, args=(network, dim, share, device.type, rounds, barrier, queue)) for share in shares]
    for process in children:
        process.start()
    all_seeds, one = list[float](), list[float]()
    try:
        for _ in range(rounds):
            times = [queue.get(timeout=2 * PATIENCE) for _ in children]
            if said := [text for text in times if isinstance(text, str)]:
                raise RuntimeError(said[0])
            all_seeds.append((max(end for _, end, *_ in times) - min(start for start, *_ in times)) / LONG)
            one += [(rest[1] - rest[0]) / LONG for _, _, *rest in times if rest]
    finally:
        for process in children:
            process.kill()
            process.join()
    together, alone_ = Timed(all_seeds, [0.0] * rounds), Timed(one, [0.0] * rounds)
    served = "CUDA_MPS_PIPE_DIRECTORY" in os.environ or SERVICE.exists()
    return {"ms": 1000 * together.median, "over_one": ratio(together, alone_), "processes": processes, "nvidia_mps": served}


def seeds_at_once(case: Case) -> list[Task]:
    """Each form for each network."""
    count, rounds = (3, 2) if case.quick else (20, 10)
    networks: dict[str, tuple[Network, int]] = {"MLP 784-128-16-2": (speed.mlp_128_16, 2)}
    if not case.quick:
        networks["convolutional MNIST network"] = (wae_mnist, 8)
    forms: dict[str, Callable[..., Row]] = {
        "in turn": partial(in_one_process, one_after_the_other),
        **({"streams": partial(in_one_process, side_by_side)} if case.device == "cuda" else {}),
        "stacked": partial(in_one_process, in_one_step),
        "processes": in_processes,
    }
    return [
        Task({"network": name, "seeds": count, "form": form}, partial(measure, network, dim, count, rounds))
        for name, (network, dim) in networks.items()
        for form, measure in forms.items()
    ]
