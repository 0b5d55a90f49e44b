"""Several seeds of a run at once on one device: in turn, on streams of their own, in one stacked step, in processes (`gpu-check`).

All train the same network on the same images, each seed from its own weights, batches and noise. A time is that of a step of all seeds.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench.datasets.batches import Batches, derive, generator
from bench.environment import set_up
from bench.speed import training as speed
from bench.speed.gpu_parts import AGREEMENT, Case, Row, Task, relative
from bench.speed.stacked import Stacked, StackedBatches
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
PLAN = Plan(Budget(steps=10**9), Optimizer(), 4, 10**9)
STEPS = 5  # of a round
PROCESSES = 4
MPS = Path("/tmp/nvidia-mps")  # where NVIDIA's Multi-Process Service listens, if it is not told otherwise

Steps = Callable[[int], object]


def images(device: torch.device) -> torch.Tensor:
    """Four batches of random bytes.   -> (4 B, 1, 28, 28) uint8"""
    return torch.randint(0, 256, (4 * BATCH, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(device)


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
    return stack, Training(stack, PLAN, generator(device, 0, "noise")), batches


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


def steps_of(form: str, network: Network, dim: int, count: int, device: torch.device) -> Steps:
    """So many steps of all seeds, in that form."""
    if form == "stacked":
        _, training, batches = stacked(network, dim, range(count), device)
        return partial(training.take_steps, batches)
    each = alone(network, dim, range(count), device)
    if form == "in turn":
        return partial(in_turn, each)
    return partial(on_streams, each, [torch.cuda.Stream(device) for _ in each])


def in_one_process(form: str, network: Network, dim: int, count: int, rounds: int, device: torch.device) -> Row:
    """Milliseconds of a step of all seeds, and how many times that of one seed it is."""
    forms = {"one": steps_of("in turn", network, dim, 1, device), form: steps_of(form, network, dim, count, device)}
    found = timed_alternately({name: partial(steps, STEPS) for name, steps in forms.items()}, rounds, device, STEPS, warm_up=2)
    return {"ms": 1000 * found[form].median, "over_one": ratio(found[form], found["one"])}


def stacked_in_one_process(network: Network, dim: int, count: int, rounds: int, device: torch.device) -> Row:
    """The same of the stacked step, and how far its weights are from those of seeds alone after a few steps."""
    stack, training, batches = stacked(network, dim, range(count), device)
    training.take_steps(batches, STEPS)
    each = alone(network, dim, range(count), device)
    in_turn(each, STEPS)
    pairs = zip(stack.methods, (own.method for own, _ in each), strict=True)
    apart = max(relative(weights(found), weights(lone)) for found, lone in pairs)
    graph = device.type != "cuda" or training.execution.startswith("one CUDA graph")
    row = in_one_process("stacked", network, dim, count, rounds, device)
    return {**row, "weights": apart, "execution": training.execution, "ok": graph and apart <= AGREEMENT}


def child(network: Network, dim: int, seeds: Sequence[int], place: str, rounds: int, barrier: Any, pipe: Any) -> None:
    """Its share of the seeds; the first process times one seed while the others wait."""
    device = set_up(place, 1)
    each, clock = alone(network, dim, seeds, device), Clock(device)
    in_turn(each, STEPS)
    for _ in range(rounds):
        barrier.wait()
        if seeds[0] == 0:
            start = clock.wait()
            in_turn(each[:1], STEPS)
            pipe.send(clock.wait() - start)
        barrier.wait()
        in_turn(each, STEPS)
        clock.wait()
        barrier.wait()


def in_processes(network: Network, dim: int, count: int, rounds: int, device: torch.device) -> Row:
    """The same of processes, each of which trains its share of the seeds in turn."""
    processes = min(count, PROCESSES)
    context: Any = multiprocessing.get_context("spawn" if device.type == "cuda" else "fork")
    barrier, (receiver, sender) = context.Barrier(processes + 1, timeout=60), context.Pipe(duplex=False)
    shares = [range(first, count, processes) for first in range(processes)]
    children = [context.Process(target=child, args=(network, dim, share, device.type, rounds, barrier, sender)) for share in shares]
    for process in children:
        process.start()
    seconds, one = list[float](), list[float]()
    try:
        for _ in range(rounds):
            barrier.wait()
            barrier.wait()
            start = time.perf_counter()
            barrier.wait()
            seconds.append((time.perf_counter() - start) / STEPS)
            one.append(receiver.recv() / STEPS)
    finally:
        for process in children:
            process.kill() if len(seconds) < rounds else process.join()
    all_seeds, first = Timed(seconds, [0.0] * rounds), Timed(one, [0.0] * rounds)
    served = "CUDA_MPS_PIPE_DIRECTORY" in os.environ or MPS.exists()
    return {"ms": 1000 * all_seeds.median, "over_one": ratio(all_seeds, first), "processes": processes, "mps": served}


def seeds_at_once(case: Case) -> list[Task]:
    """Each form for each network."""
    count, rounds = (3, 2) if case.quick else (20, 10)
    networks: dict[str, tuple[Network, int]] = {"MLP 784-128-16-2": (speed.mlp_128_16, 2)}
    if not case.quick:
        networks["convolutional MNIST network"] = (wae_mnist, 8)
    forms: dict[str, Callable[..., Row]] = {
        "in turn": partial(in_one_process, "in turn"),
        **({"streams": partial(in_one_process, "streams")} if case.device == "cuda" else {}),
        "stacked": stacked_in_one_process,
        "processes": in_processes,
    }
    return [
        Task({"network": name, "seeds": count, "form": form}, partial(measure, network, dim, count, rounds))
        for name, (network, dim) in networks.items()
        for form, measure in forms.items()
    ]
