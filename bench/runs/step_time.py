"""How long a run would train: a few real steps of each of its stages, on random images of the right shape. No data are read.

What is fitted between steps, at the ends of epochs say, is not in it, nor is evaluation. One thread of a CPU is timed by the time that
it computes, which other processes of the machine do not lengthen. On a GPU steps are replayed from a graph, as a run's are, and always
measured on whole batches: fewer images take hardly less time there.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from bench.datasets.batches import Batches, generator
from bench.runs.prepare import Prepared
from bench.runs.stages import Stage
from bench.training import cuda_graph
from bench.training.clock import Clock
from bench.training.gathered import trainer_on
from bench.training.precision import products_in

SECONDS = 2.0  # for a stage, after its first steps; a step that takes longer than that alone is measured on fewer images
FEW = 8  # images of such a batch
MOST = 20  # steps


class StepTime(NamedTuple):
    """What a step of a stage takes."""

    seconds: float
    steps: int  # of the stage's plan
    upper: bool  # measured on FEW images and scaled to a batch: at most so long


def step_times(prepared: Prepared, shape: tuple[int, int, int], real: bool, device: torch.device) -> list[StepTime]:
    """For each stage that trains by steps; those budgets that end by the clock have no steps to count and are left out.

    real: whether the dataset has signals rather than images.
    """
    stages = [stage for stage in prepared.stages if stage.plan is not None and stage.plan.total is not None]
    for stage in prepared.stages:
        stage.module.to(device)
    return [of_stage(stage, prepared, random_images(shape, prepared.run.batch_size, real, device)) for stage in stages]


def random_images(shape: tuple[int, int, int], count: int, real: bool, device: torch.device) -> Tensor:
    """Images or signals of no dataset.   -> (count, C, H, W)"""
    draws = torch.Generator(device).manual_seed(0)
    if real:
        return torch.randn(count, *shape, generator=draws, device=device)
    return torch.randint(0, 256, (count, *shape), generator=draws, device=device, dtype=torch.uint8)


def of_stage(stage: Stage, prepared: Prepared, images: Tensor) -> StepTime:
    """A step near the end of the stage's plan, where every player moves; the fastest of a few, which other processes delay least."""
    assert stage.plan is not None
    assert stage.plan.total is not None
    total, size = stage.plan.total, prepared.run.batch_size
    if images.device.type == "cuda":
        return StepTime(timed(stage, prepared, images, MOST), total, upper=False)
    few = timed(stage, prepared, images[: min(size, FEW)], most=1)
    upper = few * size / FEW > SECONDS and size > FEW
    seconds = few * size / FEW if upper else timed(stage, prepared, images, MOST)
    return StepTime(seconds, total, upper)


def timed(stage: Stage, prepared: Prepared, images: Tensor, most: int) -> float:
    """Seconds of the fastest of so many steps, of batches of all those images, after the first ones."""
    assert stage.plan is not None
    noise = generator(images.device, prepared.run.seed, "step_time")
    training = trainer_on(images.device)(stage.trainable, stage.plan, noise)
    first = first_steps(images.device)
    training.step = max(0, (stage.plan.total or 0) - 2 * (most + first))
    training.method.train()
    batches = Batches(images, 1 if images.is_floating_point() else 255, len(images), prepared.run.seed)
    now, times = seconds_of(images.device), list[float]()
    with products_in(stage.plan.precision):
        for _ in range(first):
            training.take_step(batches)
        while not times or (len(times) < most and sum(times) < SECONDS):
            start = now()
            training.take_step(batches)
            times.append(now() - start)
    return min(times)


def first_steps(device: torch.device) -> int:
    """Steps that are not timed: one, or on a GPU all that come before the graph, that in which it is recorded, and a replay of it."""
    return cuda_graph.WARM_UP + 2 if device.type == "cuda" else 1


def seconds_of(device: torch.device) -> Callable[[], float]:
    """What to call for the time: that which this process has computed for with one thread of a CPU, else that of a clock."""
    return time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else Clock(device).wait
