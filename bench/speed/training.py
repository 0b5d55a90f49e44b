"""`python -m bench speed`: the harness's training beside pythae's trainer and a bare hand-written loop, how times grow, and evaluation.

Same networks, images, batch and Adam. A step without the harness is the bare loop's; forward and backward alone, on one batch that
lies ready, are what no trainer can do without. Memory is measured in a process for each implementation.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import Batches, generator
from bench.environment import describe, peak_memory_mib, reset_peak_memory, set_up
from bench.errors import UserError
from bench.registry import catalogue
from bench.speed import peers
from bench.speed.evaluation import QUICK, Sizes, evaluation
from bench.speed.timing import Timed, quiet, ratio, timed_alternately
from bench.suites.schema import Budget, Optimizer
from bench.training.gathered import trainer_on
from bench.training.train import Plan
from metrics.divergences import imq, mmd
from models.method import Recipe
from models.networks.mlp import mirrored
from models.networks.network import Network, Pair
from models.networks.wae import wae_mnist
from models.vae import vae_gauss
from models.wae import wae_mmd

BATCH, WEIGHT = 100, 10.0
OURS, BARE, WITHOUT, INNER, PEER, PEER_INNER = (
    "latentbench",
    "bare loop",
    "bare loop, no divergence",
    "forward + backward",
    "pythae",
    "pythae's forward + backward",
)


def mlp_128_16(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """784-128-16-d and its mirror."""
    return mirrored(shape, dim, outputs, (128, 16))


@dataclass(frozen=True)
class Work:
    """One thing to train."""

    name: str
    network: Network
    recipe: Callable[[int], Recipe]
    dim: int
    steps: int  # a round
    kind: str  # of pythae's model

    def pair(self) -> Pair:
        """Its networks, the same at each call."""
        torch.manual_seed(0)
        encoder, decoder = self.network((1, 28, 28), self.dim, self.recipe(self.dim).posterior.outputs)
        return encoder, decoder

    def loss(self, divergence: bool = True) -> peers.Loss:
        """The objective of the bare loop, written out for this work; without its divergence if asked for."""
        return peers.vae_loss if self.kind == "vae" else peers.wae_mmd_loss(WEIGHT if divergence else 0.0)


WORKS = (
    Work("MLP 784-128-16-2, WAE-MMD", mlp_128_16, wae_mmd, 2, 40, "wae_mmd"),
    Work("MLP 784-128-16-2, VAE", mlp_128_16, vae_gauss, 2, 40, "vae"),
    Work("convolutional MNIST network, WAE-MMD", wae_mnist, wae_mmd, 8, 1, "wae_mmd"),
)


@dataclass(frozen=True)
class Settings:
    """How long to measure, and on what."""

    device: str
    threads: int
    data_root: Path
    rounds: int = 9
    slow_rounds: int = 3  # of the convolutional network
    quick: bool = False


def mnist_like(root: Path) -> tuple[Tensor, str]:
    """MNIST's training images if they are there, else scikit-learn's digits enlarged to 28×28.   -> (N, 1, 28, 28) uint8, which"""
    try:
        return torch.from_numpy(catalogue().get("dataset", "mnist").load(root).train.copy()), "MNIST"
    except UserError:
        digits = catalogue().get("dataset", "digits").load(root)
        small = torch.from_numpy(digits.train).float().div(digits.levels)
        large = torch.nn.functional.interpolate(small, (28, 28), mode="bilinear").mul(255).round().to(torch.uint8)
        return large.repeat(5, 1, 1, 1), "digits of scikit-learn enlarged to 28×28 (MNIST is not in the data root)"


def ours(work: Work, images: Tensor, batch: int = BATCH) -> Callable[[int], None]:
    """-> so many steps of the harness's trainer, as it reads them at the end of a block."""
    torch.manual_seed(0)
    method = work.recipe(work.dim).assemble((1, 28, 28), work.dim, work.network).to(images.device).train()
    batches = Batches(images, 255, batch, seed=0)
    plan = Plan(Budget(steps=10**9), Optimizer(), batches.per_epoch, 10**9)
    training = trainer_on(images.device)(method, plan, generator(images.device, 0, "noise"))

    def take(steps: int) -> None:
        training.read(training.take_steps(batches, steps))

    return take


def implementations(work: Work, images: Tensor, names: tuple[str, ...]) -> dict[str, Callable[[], object]]:
    """Rounds of `work.steps` steps by each of those implementations."""
    device, batch = images.device, images[:BATCH].float().div(255)

    def networks() -> Pair:
        encoder, decoder = work.pair()
        return encoder.to(device).train(), decoder.to(device).train()

    takers: dict[str, Callable[[], Callable[[int], None]]] = {
        OURS: lambda: ours(work, images),
        BARE: lambda: peers.bare_steps(*networks(), work.loss(), images, BATCH),
        WITHOUT: lambda: peers.bare_steps(*networks(), work.loss(divergence=False), images, BATCH),
        INNER: lambda: peers.inner_steps(*networks(), work.loss(), batch),
    }
    made: dict[str, Callable[[], object]] = {name: partial(takers[name](), work.steps) for name in names if name in takers}
    if PEER in names:
        peer = peers.pythae(work.kind, *networks(), work.dim, images, BATCH, work.steps)
        made[PEER] = peer.epoch
        if PEER_INNER in names:
            made[PEER_INNER] = peers.pythae_inner(peer, batch, work.steps)
    return made


def comparison(work: Work, images: Tensor, settings: Settings) -> dict[str, Any]:
    """Every implementation's times on one piece of work, with ratios to the bare loop and to pythae."""
    names = [OURS, BARE, INNER] + [WITHOUT] * (work.kind != "vae") + [PEER, PEER_INNER] * (peers.absent() is None)
    rounds = settings.slow_rounds if work.steps == 1 else settings.rounds
    found = quiet(
        timed_alternately(implementations(work, images, tuple(names)), rounds, images.device, work.steps, warm_up=1 + (work.steps > 1))
    )
    rows = {name: row(name, found) for name in names if name not in (INNER, PEER_INNER)}
    return {
        "work": work.name,
        "rounds": len(found[OURS].seconds),
        "implementations": rows,
        "forward_backward_ms": 1000 * found[INNER].median,
    }


def row(name: str, found: dict[str, Timed]) -> dict[str, Any]:
    """An implementation's numbers."""
    timed, inner = found[name], found.get(PEER_INNER if name == PEER else INNER)
    outside = None if inner is None or name == WITHOUT else 1 - ratio(inner, timed)
    return {
        "ms": 1000 * timed.median,
        "images_per_second": BATCH / timed.median,
        "over_bare": ratio(timed, found[BARE]),
        "over_without": ratio(timed, found[WITHOUT]) if WITHOUT in found else None,
        "over_pythae": ratio(timed, found[PEER]) if PEER in found else None,
        "outside_forward_backward": outside,
        "waited": statistics.median(timed.waits),
    }


def memory_child(number: int, name: str, settings: Settings, pipe: Any) -> None:
    """In a process of its own: the most memory that two rounds take, MiB above what was there when images and libraries were."""
    device = set_up(settings.device, settings.threads)
    images = mnist_like(settings.data_root)[0][:6000].to(device)
    before = 0.0 if device.type == "cuda" else peak_now(device)
    implementation = implementations(WORKS[number], images, (name,))[name]
    implementation()
    implementation()
    peak = peak_memory_mib(device)
    pipe.send(None if peak is None else peak - before)


def peak_now(device: torch.device) -> float:
    """MiB resident now: the peak is begun anew and read at once."""
    reset_peak_memory(device)
    return peak_memory_mib(device) or 0.0


def memory(number: int, name: str, settings: Settings) -> float | None:
    """`memory_child` in its process; None where that died."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    child = spawn.Process(target=memory_child, args=(number, name, settings, sender))
    child.start()
    sender.close()
    try:
        value: float | None = receiver.recv()
    except EOFError:
        value = None
    child.join()
    return value


def growth(images: Tensor, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Times against batch size, latents, images in the set and training runs one after the other."""
    device, rounds, quick = images.device, settings.rounds, settings.quick
    mlp, found = WORKS[0], dict[str, list[dict[str, Any]]]()

    def timed(title: str, unit: str, cases: Mapping[str, Callable[[], object]], operations: int = 1) -> None:
        times = quiet(timed_alternately(cases, rounds, device, operations))
        first = next(iter(times.values()))
        found[title] = [{"case": name, unit: 1000 * t.median, "over_first": ratio(t, first)} for name, t in times.items()]

    def step(take: Callable[[int], None], steps: int = 10) -> Callable[[], object]:
        return lambda: take(steps)

    def divergence(n: int, d: int) -> Callable[[], object]:
        p, q = (torch.randn(n, d, device=device) for _ in range(2))
        q.requires_grad_()
        return lambda: mmd(p, q, 2.0 * d, imq).backward()

    def several(runs: int) -> None:
        for _ in range(runs):
            ours(mlp, images)(20)

    sizes = (100, 256) if quick else (100, 256, 1024, 2048)
    timed("MMD, forward and backward, against batch n at d = 16", "ms", {f"n = {n}": divergence(n, 16) for n in sizes})
    timed("MMD, forward and backward, against latents d at n = 256", "ms", {f"d = {d}": divergence(256, d) for d in (2, 8, 16, 64)})
    timed("a training step against batch n", "ms", {f"n = {n}": step(ours(mlp, images, n)) for n in sizes}, 10)
    counts = [n for n in (500, 5000, 50_000) if n <= len(images)]
    timed("a training step against images in the set", "ms", {f"{n:,}": step(ours(mlp, images[:n])) for n in counts}, 10)
    trainings = {f"{k}": partial(several, k) for k in (1, 2, 4)}
    timed("runs of 20 steps, each from its start, one after the other", "ms", trainings)
    return found


def measure(settings: Settings, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything, as JSON has it."""
    started, device = time.monotonic(), set_up(settings.device, settings.threads)
    images, what = mnist_like(settings.data_root)
    images = images.to(device)
    works = WORKS[:1] if settings.quick else WORKS
    compared = []
    for number, work in enumerate(works):
        tell(f"training: {work.name}")
        compared.append(comparison(work, images, settings))
        for name in (OURS, BARE, PEER):
            if name in compared[-1]["implementations"] and not settings.quick:
                compared[-1]["implementations"][name]["memory_mib"] = memory(number, name, settings)
    tell("growth")
    grown = growth(images, settings)
    return {
        "environment": describe(device, 1),
        "data": what,
        "images": len(images),
        "batch": BATCH,
        "skipped": [absent] if (absent := peers.absent()) else [],
        "training": compared,
        "growth": grown,
        "evaluation": evaluation(QUICK if settings.quick else Sizes(), device, settings.threads, tell),
        "seconds": time.monotonic() - started,
    }
