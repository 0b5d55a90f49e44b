"""Training on a GPU: a step is told which images its batch has, and gathers them itself, so that a recorded step holds that too.

What comes from outside of a step is then one copy of B numbers. An epoch's permutation comes from pinned memory, for which the host does
not wait. A step sees the batch that `Batches.at` gives, to the bit.
"""

import gc
import weakref
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from bench.datasets.batches import Batches, generator, scaled
from bench.training.cuda_graph import Captured, PlayersStep
from bench.training.train import Training


class Places(Batches):
    """Where the images of a batch are, in place of them."""

    def __init__(self, batches: Batches):
        super().__init__(batches.images, batches.levels, batches.batch_size, batches.seed)

    def at(self, step: int, stream: int = 0) -> Tensor:
        """-> (B,) int64, of the images"""
        epoch, position = divmod(step, self.per_epoch)
        if stream not in self.orders or self.orders[stream][0] != epoch:
            self.orders[stream] = epoch, self.permutation("order", stream, epoch) if stream else self.permutation("order", epoch)
        return self.orders[stream][1][position * self.batch_size : (position + 1) * self.batch_size]

    def permutation(self, *words: object) -> Tensor:
        """A shuffle of the images, by the seed and those words.   -> (N,)"""
        order = torch.randperm(len(self.images), generator=generator(torch.device("cpu"), self.seed, *words))
        return (order.pin_memory() if self.images.is_cuda else order).to(self.images.device, non_blocking=True)


@cache
def side_stream(current: torch.cuda.Stream) -> torch.cuda.Stream:
    """The stream on which what runs on another is recorded: one for all trainings there, for libraries keep a workspace for each stream.

    Not one for all streams: graphs that are replayed at the same time would write into one workspace.
    """
    return torch.cuda.Stream(current.device)


class Recorded(Captured):
    """A step as a CUDA graph, recorded so that nothing else of the process gets in its way, nor is left in a state by its failure."""

    def __init__(self, players_step: PlayersStep, noise: torch.Generator):
        super().__init__(players_step, noise)
        self.stream = side_stream(torch.cuda.current_stream(noise.device))

    def record(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> None:
        """As of any step. No garbage is collected meanwhile: an older graph that it frees would end the recording."""
        gc.collect()
        collecting, current = gc.isenabled(), torch.cuda.current_stream(self.noise.device)
        gc.disable()
        try:
            super().record(batches, moving)
        finally:
            torch.cuda.set_stream(current)  # older torch leaves the side stream in its place where a recording breaks off
            if collecting:
                gc.enable()


def weakly(training: Training) -> PlayersStep:
    """Its step as a function that does not keep it, so that weights, moments and the graph are freed where training ends, not at some
    later collection of garbage: the next run's peak would have them, and its memory not."""
    found = weakref.WeakMethod(training.players_step)

    def step(streams: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        players_step = found()
        assert players_step is not None, "whoever takes a step has the training"
        return players_step(streams, moving)

    return step


class GatheringTraining(Training):
    """Training whose steps gather their batches."""

    places: Places | None = None
    given: Batches | None = None  # what they are places in

    @property
    def execution(self) -> str:
        """How steps were taken; what was to be a graph is none before the first steps are over."""
        short = isinstance(self.run, Captured) and self.run.reason is None and self.run.graph is None
        return "eager: no step was recorded" if short else super().execution

    def places_of(self, batches: Batches) -> Places:
        """Where its images are; TypeError for batches that are no rows of their images."""
        if type(batches) is not Batches:
            raise TypeError(f"{type(batches).__name__} may give other batches than their images in an order")
        return Places(batches)

    def take_step(self, batches: Batches) -> Tensor:
        """One step of every player in turn.   -> (terms,) without gradient, on the device"""
        if self.places is None or batches is not self.given:
            self.places, self.given = self.places_of(batches), batches
            if isinstance(self.run, Captured):
                self.run = Recorded(weakly(self), self.noise)  # anew: what was recorded reads other images
            elif self.run == self.players_step:
                self.run = weakly(self)
        return super().take_step(self.places)

    def players_step(self, streams: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """As of any training, of batches by their places.   (..., B) of each stream -> (terms,)"""
        assert self.places is not None
        images, levels = self.places.images, self.places.levels
        with self.phase("data"):
            batches = [scaled(images.index_select(0, places.flatten()), levels).unflatten(0, places.shape) for places in streams]
        return super().players_step(batches, moving)


def trainer_on(device: torch.device) -> type[Training]:
    """What trains there."""
    return GatheringTraining if device.type == "cuda" else Training
