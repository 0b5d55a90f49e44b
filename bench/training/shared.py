"""Training shared by several processes, which gives the losses and gradients of one.

Every process takes the same steps: the same batches, noise, losses, players. Only a network differs. It is handed the whole batch as ever,
puts this process's share of the rows through, and hands out the rows of all, gathered. So whatever looks at a batch (MMD, a variance, a
mixture, a critic) sees all of it, and none of it knows that it is shared.

    X -> X_r -> Y_r = f(X_r) -> Y = (Y_1, ..., Y_n) -> L(Y)                 of process r of n

A gradient of Y is the same everywhere; that of X_r is gathered again, so that gradients of whole batches are whole. A parameter gets that
of its own rows where f uses it, and all of it where L does: the first is made n times as large on its way into the network, so that the
mean over the processes is right for both.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.training.adam import Adam
from bench.training.team import Team
from bench.training.train import Event, Plan, Training
from models.interfaces import Trainable

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Share(torch.autograd.Function):
    """X -> X_r; backwards the gradients of all rows, as L has them."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, team: Team) -> Tensor:
        """(B, ...) -> (B / n, ...)"""
        ctx.team = team
        return team.share(whole).clone()  # memory of its own, aligned as that of a whole batch

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """(B / n, ...) -> (B, ...)"""
        return Gathered.apply(gradient, ctx.team) / ctx.team.size, None


class Gathered(torch.autograd.Function):
    """Y_r -> Y; backwards n times the gradient of the own rows."""

    @staticmethod
    def forward(ctx: Any, share: Tensor, team: Team) -> Tensor:
        """(B / n, ...) -> (B, ...)"""
        ctx.team = team
        return team.gathered(share)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """(B, ...) -> (B / n, ...)"""
        return Share.apply(gradient, ctx.team) * ctx.team.size, None


class SharedNetworks:
    """Networks of which each process does its share of a batch while `on` is set; batches that cannot be shared evenly it does whole."""

    def __init__(self, team: Team):
        self.team, self.on, self.within = team, False, False

    def hooks(self, network: nn.Module) -> Iterator[Any]:
        """Torch's handles of what is done at the network's two ends, and in it where batch norm wants the whole batch."""
        yield network.register_forward_pre_hook(self.enter)
        yield network.register_forward_hook(self.leave)
        for layer in network.modules():
            if isinstance(layer, BATCH_NORMS):
                yield layer.register_forward_pre_hook(self.enter_norm)
                yield layer.register_forward_hook(self.leave_norm)

    def enter(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """The own rows of what the network is given."""
        (x,) = inputs
        if not self.on or len(x) % self.team.size:
            return None
        self.within = True
        return (Share.apply(x, self.team),)

    def leave(self, network: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor | None:
        """The rows of all."""
        if not self.within:
            return None
        self.within = False
        return Gathered.apply(y, self.team)

    def enter_norm(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """The rows of all, for moments that are a batch's."""
        return (Gathered.apply(inputs[0], self.team),) if self.within and of_batch(layer) else None

    def leave_norm(self, layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor | None:
        """The own rows again."""
        return Share.apply(y, self.team) if self.within and of_batch(layer) else None


def of_batch(norm: nn.Module) -> bool:
    """Whether a batch norm takes its moments from the batch now."""
    return norm.training or norm.running_mean is None


@contextmanager
def shared(networks: Iterable[nn.Module], team: Team) -> Iterator[SharedNetworks]:
    """The networks are shared inside, and as they were afterwards."""
    sharing = SharedNetworks(team)
    handles = [handle for network in networks for handle in sharing.hooks(network)]
    try:
        yield sharing
    finally:
        for handle in handles:
            handle.remove()


class MeanAdam(Adam):
    """Adam down the mean of all processes' gradients, whose values are clipped only then."""

    def __init__(self, adam: Adam, team: Team, clip: float | None):
        super().__init__(adam.parameters, adam.lr, adam.betas, adam.eps)
        self.team, self.clip = team, clip

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if gradients:
            self.team.average(gradients)
        if self.clip is not None:
            nn.utils.clip_grad_value_(self.parameters, self.clip)
        super().step()


@dataclass(frozen=True, kw_only=True)
class AgreedPlan(Plan):
    """A plan by the first process's clock, where it is one of seconds: all processes must stop at the same step."""

    team: Team

    def done(self, step: int, seconds: float) -> float:
        """As of any plan."""
        return super().done(step, seconds if self.total is not None else self.team.of_first(seconds))

    def block(self, step: int, seconds: float) -> int:
        """As of any plan."""
        return super().block(step, seconds if self.total is not None else self.team.of_first(seconds))


class SharedTraining(Training):
    """Training whose networks are shared. What is not a step of players, each process does whole; then the first one's result counts."""

    def __init__(self, sharing: SharedNetworks, method: Trainable, plan: Plan, noise: torch.Generator):
        self.sharing, self.team = sharing, sharing.team
        super().__init__(method, AgreedPlan(**vars(plan), team=self.team), noise)
        self.optimizers = [MeanAdam(adam, self.team, p.clip) for p, adam in zip(self.players, self.optimizers, strict=True)]
        self.players = [replace(player, clip=None) for player in self.players]

    def why_eager(self, capture: bool) -> str | None:
        """A graph cannot hold what goes between processes."""
        return f"{self.team.size} processes"

    def players_step(self, streams: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """As of any training."""
        self.sharing.on = True
        try:
            return super().players_step(streams, moving)
        finally:
            self.sharing.on = False

    def call_hooks(self, event: Event, batches: Batches) -> None:
        """As of any training. Kernels that add in no fixed order may round differently, and a loop may then end elsewhere."""
        super().call_hooks(event, batches)
        noise = self.noise.get_state()
        self.team.take_over(self.method.state_dict().values())
        self.team.take_over([noise])
        self.noise.set_state(noise)

    def read(self, rows: list[Tensor]) -> str | None:
        """As of any training, by the first process's values: all must stop where one does."""
        block = torch.stack(rows)
        self.team.take_over([block])
        return super().read(list(block))
