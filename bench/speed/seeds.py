"""Several seeds of a run at once on one device: in turn, on streams of their own, in one stacked step, in processes (`gpu-check`).

All train the same network on the same images, each seed from its own weights, batches and noise. A time is that of a step of all seeds,
from as many steps in each form.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from itertools import chain
from pathlib import Path
from queue import Empty
from threading import BrokenBarrierError, Thread
from typing import Any, NamedTuple

import torch

from bench.datasets.batches import Batches, generator, scaled
from bench.environment import free, set_up
from bench.errors import in_a_line
from bench.processes import end_with_parent
from bench.speed import training as speed
from bench.speed.gpu_parts import ENOUGH, Case, Row, Task, built, relative, worst
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
COMPARED = 5  # steps of each seed, after which it is compared with itself alone
# of what those have changed; on a CPU rounding is 1e-6 of it, hundredths in `wae_mnist`, whose ReLUs it turns; another seed's batches, 0.8
LEARNED = 0.2
PROCESSES = 4
# seconds that one waits for the others, that all may be silent, between looks at whether they live
PATIENCE, SILENCE, TICK = 30.0, 60.0, 0.5
BROKEN = f"another process failed, or took more than {PATIENCE:.0f} s"
SERVICE = Path("/tmp/nvidia-mps/control")  # of NVIDIA's Multi-Process Service, where it is not told another place
QUEUES = "CUDA_DEVICE_MAX_CONNECTIONS"  # between host and device, at most 32; 8 if not said, and streams that share one wait for each other

Steps = Callable[[int], object]


class Several(NamedTuple):
    """Which seeds are trained, and how long a time of them takes."""

    network: Network
    dim: int
    seeds: int
    steps: int  # of each in a round; processes begin one not quite together, so it takes a tenth of a second and more
    rounds: int


def images(device: torch.device) -> torch.Tensor:
    """An epoch of random bytes.   -> (100 B, 1, 28, 28) uint8"""
    return torch.randint(0, 256, (PER_EPOCH * BATCH, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).to(device)


def method_of(network: Network, dim: int, seed: int, device: torch.device) -> AutoEncoder:
    """WAE-MMD with weights of that seed: those that all begin with, each a tenth larger or smaller or so."""
    method = deepcopy(built(wae_mmd, network, dim, SHAPE)).to(device).train()
    noise = generator(device, seed, "weights")
    with torch.no_grad():
        for p in method.parameters():
            p.mul_(1 + 0.1 * torch.randn(p.shape, generator=noise, device=device))
    return method


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


@torch.no_grad()
def answers(method: AutoEncoder, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What it makes of a batch by the batch's own moments: codes and raw reconstructions.   (B, C, H, W) -> (B, D), (B, C, H, W)

    Compared in place of weights. A bias before batch norm moves nothing, so that its gradient is 0 but for rounding, of which Adam makes
    steps of the whole learning rate: of two trainings that are both right, biases and running moments are far apart after one step.
    """
    own = deepcopy(method).train()  # whose running moments stay as they are
    z = own.encoder(x)
    return z, own.decoder(z)


def furthest(seeds: AtOnce, several: Several, device: torch.device) -> float:
    """How far a seed's answers are from those that it gives when seeds are trained in turn, over what its steps have changed of them.

    The largest of all seeds; NaN if anything is.
    """
    lone = one_after_the_other(several.network, several.dim, several.seeds, device)
    x = scaled(images(device)[:BATCH], 255)
    before = [answers(method, x) for method in lone.methods]
    for each in (seeds, lone):
        each.steps(COMPARED)
    of_seeds, of_lone = ([answers(method, x) for method in each.methods] for each in (seeds, lone))
    triples = zip(*(chain.from_iterable(answer) for answer in (of_seeds, of_lone, before)), strict=True)
    return worst(relative(found - start, own - start) for found, own, start in triples)


def in_one_process(form: Form, several: Several, device: torch.device) -> Row:
    """Milliseconds of a step of all seeds, how many times that of one seed it is, and how far what was learned is from seeds in turn."""
    network, dim, count, steps, rounds = several
    seeds = form(network, dim, count, device)
    apart = furthest(seeds, several, device)
    free(device)
    lone = one_after_the_other(network, dim, 1, device)
    forms = {"one": partial(lone.steps, steps), "all": partial(seeds.steps, steps)}
    found = timed_alternately(forms, rounds, device, steps, warm_up=2, seconds=ENOUGH)
    how = seeds.training.execution
    row = {"ms": 1000 * found["all"].median, "over_one": ratio(found["all"], found["one"]), "apart": apart, "execution": how}
    return {**row, "ok": apart <= LEARNED and (device.type != "cuda" or how.startswith("one CUDA graph"))}


def child(several: Several, seeds: Sequence[int], place: str, barrier: Any, queue: Any) -> None:
    """Its share of the seeds, in turn; the first process times one seed alone while the others wait. Sends times, or what it died of."""
    Thread(target=end_with_parent, daemon=True).start()
    try:
        device = set_up(place, 1)
        each, clock = alone(several.network, several.dim, seeds, device), Clock(device)
        in_turn(each, COMPARED)
        for _ in range(several.rounds):
            barrier.wait()
            times = []
            if seeds[0] == 0:
                start = clock.wait()
                in_turn(each[:1], several.steps)
                times += [start, clock.wait()]
            barrier.wait()
            start = clock.wait()
            in_turn(each, several.steps)
            queue.put((start, clock.wait(), *times))
    except BrokenBarrierError:
        queue.put(BROKEN)
    except Exception as error:
        queue.put(in_a_line(error))
        barrier.abort()


def heard(queue: Any, children: Sequence[Any]) -> Any:
    """The next times that a process sends; RuntimeError for what one has died of, said or not, and once all have been silent for long."""
    end, broken = time.monotonic() + SILENCE, False
    while time.monotonic() < end:
        try:
            said = queue.get(timeout=TICK)
        except Empty:
            if died := [process.exitcode for process in children if process.exitcode]:
                raise RuntimeError(f"a process died (exit code {died[0]})") from None
            if broken:
                raise RuntimeError(BROKEN) from None
            continue
        if said == BROKEN:
            broken = True  # what broke it may be on its way
        elif isinstance(said, str):
            raise RuntimeError(said)
        elif not broken:
            return said
    raise RuntimeError(f"the processes said nothing for {SILENCE:.0f} s")


def in_processes(several: Several, device: torch.device) -> Row:
    """The same of processes, each of which trains its share of the seeds in turn; RuntimeError if one of them cannot."""
    count, steps, rounds = several.seeds, several.steps, several.rounds
    processes = min(count, PROCESSES)
    context: Any = multiprocessing.get_context("spawn" if device.type == "cuda" else "fork")
    barrier, queue = context.Barrier(processes, timeout=PATIENCE), context.Queue()
    shares = [range(first, count, processes) for first in range(processes)]
    children = [context.Process(target=child, args=(several, share, device.type, barrier, queue)) for share in shares]
    for process in children:
        process.start()
    all_seeds, one = list[float](), list[float]()
    try:
        for _ in range(rounds):
            times = [heard(queue, children) for _ in children]
            all_seeds.append((max(end for _, end, *_ in times) - min(start for start, *_ in times)) / steps)
            one += [(rest[1] - rest[0]) / steps for _, _, *rest in times if rest]
    finally:
        for process in children:
            process.kill()
            process.join()
    together, alone_ = Timed(all_seeds, [0.0] * rounds), Timed(one, [0.0] * rounds)
    served = "CUDA_MPS_PIPE_DIRECTORY" in os.environ or SERVICE.exists()
    return {"ms": 1000 * together.median, "over_one": ratio(together, alone_), "processes": processes, "nvidia_mps": served}


def seeds_at_once(case: Case) -> list[Task]:
    """Each form for each network."""
    mlp, convolutional = Several(speed.mlp_128_16, 2, 20, 50, 10), Several(wae_mnist, 8, 20, 5, 4)  # 11 TFLOP a step of the second's seeds
    works = {"MLP 784-128-16-2": mlp._replace(seeds=3, steps=5, rounds=2) if case.quick else mlp}
    if not case.quick:
        works["convolutional MNIST network"] = convolutional
    forms: dict[str, Callable[..., Row]] = {
        "in turn": partial(in_one_process, one_after_the_other),
        **({"streams": partial(in_one_process, side_by_side)} if case.device == "cuda" else {}),
        "stacked": partial(in_one_process, in_one_step),
        "processes": in_processes,
    }
    return [
        Task({"network": name, "seeds": several.seeds, "form": form}, partial(measure, several))
        for name, several in works.items()
        for form, measure in forms.items()
    ]
