"""A training step as one CUDA graph: a batch of 100 cannot fill a GPU, and launching its kernels one by one takes most of the time.

The first steps are taken as they are, on the stream that is captured later, so that libraries have their workspaces; then one step
is recorded and replayed. Whatever cannot be recorded (a value read on the host, say) leaves the steps as they were, with the reason.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.errors import in_a_line

WARM_UP = 3
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
            return self.on_side_stream(batches, moving)
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
