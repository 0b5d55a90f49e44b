"""The processes that train one run together, started by `torchrun`: who they are, and the few things that they say to each other."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bench.errors import UserError, in_a_line

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # who carries the tensors of a kind of device
MEETING = timedelta(minutes=10)  # until all have come
# then a process waits as long as the others live, while the first one waits for a run that another command has, say; torchrun ends them all
# when one has died, and --limit ends a run that hangs
PATIENCE = timedelta(days=30)


class LostError(UserError):
    """Another process of the team cannot be reached any more."""


class Team:
    """This process among those of a run. The first one has the run's folder to itself, writes all that is written and measures."""

    def __init__(self, rank: int, size: int, group: Any = None):
        self.rank, self.size, self.group = rank, size, group
        self.has_called = False

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around what all processes do at the same time: LostError where one of them is gone."""
        try:
            yield
        except RuntimeError as error:
            said = f"process {self.rank} of {self.size} has lost the others ({in_a_line(error)})"
            raise LostError(f"{said}; the same command goes on from the last checkpoint") from error

    def gathered(self, share: Tensor) -> Tensor:
        """The rows of all processes, in their order.   (B / size, ...) -> (B, ...)"""
        whole = share.new_empty((self.size * len(share), *share.shape[1:]))
        with self.together():
            dist.all_gather_into_tensor(whole, share.contiguous(), self.group)
        return whole

    def share(self, whole: Tensor) -> Tensor:
        """The rows that are this process's.   (B, ...) -> (B / size, ...)"""
        return whole.chunk(self.size)[self.rank]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Put the mean over the processes in the place of each tensor; all have one type and device."""
        own = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in own])
        with self.together():
            dist.all_reduce(flat, group=self.group)
        for tensor, mean in zip(own, flat.div_(self.size).split([tensor.numel() for tensor in own]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    @torch.no_grad()
    def take_over(self, tensors: Iterable[Tensor]) -> None:
        """Put the first process's values in the place of each tensor."""
        own = [tensor for tensor in tensors if tensor.numel()]
        if not own:
            return
        flat = torch.cat([tensor.detach().reshape(-1).view(torch.uint8) for tensor in own])  # of any types, bit by bit
        with self.together():
            dist.broadcast(flat, 0, self.group)
        for tensor, same in zip(own, flat.split([tensor.numel() * tensor.element_size() for tensor in own]), strict=True):
            tensor.copy_(same.clone().view(tensor.dtype).view_as(tensor))

    def of_first(self, value: float) -> float:
        """The first process's number."""
        number = torch.tensor(value, dtype=torch.float64)
        self.take_over([number])
        return number.item()

    def bytes_of_first(self, payload: bytes | None) -> bytes | None:
        """The first process's bytes, or None where it has none; what the others give is not looked at."""
        length = int(self.of_first(-1 if payload is None else len(payload)))
        if length < 0:
            return None
        content = (
            torch.frombuffer(bytearray(payload), dtype=torch.uint8) if self.first and payload else torch.empty(length, dtype=torch.uint8)
        )
        self.take_over([content])
        return content.numpy().tobytes()

    def call(self) -> None:
        """Of the first: the others, which wait for that, begin to train too."""
        self.has_called = True
        self.of_first(1)

    def release(self) -> None:
        """Of the first, at its end: the others may go, if they were never called."""
        if not self.has_called:
            self.of_first(0)

    def called(self) -> bool:
        """Of the others: whether there is anything to train, once the first one knows."""
        return bool(self.of_first(0))


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """The team that `torchrun` has started this process for; UserError where it cannot be."""
    if device == "cuda":
        place, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if place >= count:
            raise UserError(
                f"process {place} of this machine has no CUDA device of its own, for there are {count}: --nproc-per-node {count}"
            )
        torch.cuda.set_device(place)
    try:
        dist.init_process_group(BACKENDS[device], timeout=MEETING)
    except (ValueError, RuntimeError) as error:  # variables that torchrun sets, an address that nobody answers
        raise UserError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but no other process answers ({in_a_line(error)})") from error
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), dist.new_group(backend=BACKENDS[device], timeout=PATIENCE))
    finally:
        dist.destroy_process_group()
