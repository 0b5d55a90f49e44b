"""A training step as one CUDA graph: a batch of 100 cannot fill a GPU, and launching its kernels one by one takes most of the time.

The first steps are taken as they are, on the stream that is captured later, so that libraries have their workspaces; then one step
is recorded and replayed. Whatever cannot be recorded leaves the steps as they were, with the reason. The last step before the recording
is watched by torch itself: one that waits for the device (a value read on the host, say) is never recorded, for a recording that breaks
off may leave the process without a device that works.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import in_a_line

WARM_UP = 3
WAITS = "called a synchronizing CUDA operation"  # torch's warning
PlayersStep = Callable[[Sequence[Tensor], tuple[bool, ...]], Tensor]  # batches, which players move -> (terms,)


class Captured:
    """A step, replayed from a graph wherever it can be; recorded anew when other players move or batches have another shape."""

    def __init__(self, players_step: PlayersStep, noise: torch.Generator):
        self.players_step, self.noise, self.stream = players_step, noise, torch.cuda.Stream(noise.device)
        self.reason: str | None = None  # why it cannot be recorded
        self.key: object = None
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.output = torch.empty(0)

    def __call__(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """One step.   (B, C, H, W) of each stream -> (terms,)"""
        key = moving, [x.shape for x in batches]
        if key != self.key:
            self.key, self.taken, self.graph = key, 0, None
        if self.graph is None and self.reason is None and self.taken >= WARM_UP:
            self.record(batches, moving)
        if self.graph is None:
            self.taken += 1
            return (self.watched if self.taken == WARM_UP else self.on_side_stream)(batches, moving)
        for own, x in zip(self.inputs, batches, strict=True):
            own.copy_(x)
        self.graph.replay()
        return self.output.clone()

    def on_side_stream(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """The step on the side stream, kernel by kernel."""
        current = torch.cuda.current_stream(self.noise.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            terms = self.players_step(batches, moving)
        current.wait_stream(self.stream)
        terms.record_stream(current)
        return terms

    def watched(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """The same; where the host waits for the device in it, that is the reason not to record it."""
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                terms = self.on_side_stream(batches, moving)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        waits = [warning for warning in found if WAITS in str(warning.message)]
        if waits:
            self.reason = f"the host waits for the device ({Path(waits[0].filename).name}, line {waits[0].lineno})"
        return terms

    def record(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> None:
        """Record a step without taking it; where that fails, random streams are given back as they were."""
        self.inputs = [x.clone() for x in batches]
        streams = [self.noise, torch.cuda.default_generators[torch.cuda.current_device()]]
        before = [stream.clone_state() for stream in streams]
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.noise)
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.output = self.players_step(self.inputs, moving)
        except Exception as error:  # whatever a method does that a graph cannot hold
            self.reason = in_a_line(error)
            for stream, state in zip(streams, before, strict=True):
                stream.graphsafe_set_state(state)  # a recording that broke off leaves them unusable
            torch.cuda.synchronize(self.noise.device)
            return
        self.graph = graph
