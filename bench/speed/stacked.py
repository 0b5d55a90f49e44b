"""Several seeds of one method trained at once on one device: one step moves the weights of all of them.

A weight of all seeds lies in one tensor, (S, ...), and `torch.vmap` maps the players' losses of one seed over its rows. Batches and every
draw of noise come from outside, from each seed's own streams in the order in which the method asks, so that a seed meets what it meets
alone; what differs is rounding. A random operation that was not drawn for it is refused by `torch.vmap` itself.

Not every method can be stacked: not one that reads values on the host, is fitted between epochs, asks for other noise from step to step, or
uses an operation that vmap has no form of. `Stacked` says which it is before the first step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.overrides import TorchFunctionMode

from bench.datasets.batches import Batches
from bench.errors import in_a_line
from metrics.kernels.backends import using
from models.interfaces import Player

OTHER_NOISE = "it asks for other noise than in the steps before"
NEARLY = 1e-3  # relative: rounding and no more
DRAWS = (torch.randn, torch.rand, torch.randint, torch.randperm)  # of no other tensor: they can be drawn before the step


class StackingError(ValueError):
    """Why seeds of a method cannot be trained in one step."""


class Asked(NamedTuple):
    """A draw as a method asks for it, but for the stream."""

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def of(self, noise: torch.Generator) -> Tensor:
        """From that stream."""
        return self.function(*self.args, generator=noise, **self.kwargs)


class Draws(TorchFunctionMode):
    """Looks at the draws from a stream that a method asks for, within the block."""

    def __init__(self, noise: torch.Generator):
        super().__init__()
        self.noise = noise
        self.asked = list[Asked]()

    def answer(self, asked: Asked) -> Tensor:
        """What the method gets."""
        return asked.of(self.noise)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in DRAWS or kwargs.get("generator") is not self.noise:
            return func(*args, **kwargs)
        asked = Asked(func, args, {name: value for name, value in kwargs.items() if name != "generator"})
        self.asked.append(asked)
        return self.answer(asked)


class Given(Draws):
    """Gives what was drawn before, and no other noise."""

    def __init__(self, noise: torch.Generator, expected: Sequence[Asked], drawn: Sequence[Tensor]):
        super().__init__(noise)
        self.expected, self.drawn = expected, drawn

    def answer(self, asked: Asked) -> Tensor:
        """The draw at that place."""
        place = len(self.asked) - 1
        if place >= len(self.expected) or self.expected[place] != asked:
            raise StackingError(OTHER_NOISE)
        return self.drawn[place]

    def check_all(self) -> None:
        """StackingError where a draw was not asked for: a seed's next one would be another than alone."""
        if len(self.asked) < len(self.expected):
            raise StackingError(OTHER_NOISE)


def close(found: Tensor, alone: Tensor) -> bool:
    """Whether rounding is all that is between them."""
    return bool((found - alone).norm() <= NEARLY * alone.norm())


class Turn(nn.Module):
    """A player's terms as a module that has the method's weights, so that others can be put in their place."""

    def __init__(self, method: nn.Module, player: Player):
        super().__init__()
        self.method, self.player = method, player

    def forward(self, x: Tensor, noise: torch.Generator) -> Mapping[str, Tensor]:
        """(B, C, H, W) -> of ()"""
        return self.player.terms(x, noise)


class StackedBatches(Batches):
    """The batches of all seeds, each as that seed has it alone."""

    def __init__(self, each: Sequence[Batches]):
        first = each[0]
        super().__init__(first.images, first.levels, first.batch_size, first.seed)
        self.each = each

    def at(self, step: int, stream: int = 0) -> Tensor:
        """-> (S, B, C, H, W)"""
        return torch.stack([batches.at(step, stream) for batches in self.each])

    def draw_images(self, epoch: int, n: int) -> Tensor:
        """-> (S, n, C, H, W)"""
        return torch.stack([batches.draw_images(epoch, n) for batches in self.each])


class Stacked:
    """Methods of one recipe with weights of their own, which the training loop takes for one method whose batches are `StackedBatches`.

    methods: on the device; from now on their weights and buffers are rows of the stack. noises: each one's random stream. x: a batch,
    (B, C, H, W), of the size of those to come. StackingError says why the method cannot be stacked. A term of the stack is named after
    the seed's place, `loss.0`; "loss" is the sum of all.
    """

    def __init__(self, methods: Sequence[Any], noises: Sequence[torch.Generator], x: Tensor):
        if why := methods[0].why_eager():
            raise StackingError(why)
        self.methods, self.noises = list(methods), list(noises)
        self.one = deepcopy(methods[0]).train()  # what the losses are computed with, by weights put in the place of its own
        self.own = self.one.players()
        self.names = {id(parameter): name for name, parameter in self.one.named_parameters()}
        self.stream = noises[0].clone_state()  # stands for all streams in the losses, and is never drawn from
        self.asked = [self.draws_of(player, x) for player in self.own]
        self.drawn = [[torch.stack([asked.of(noise.clone_state()) for noise in noises]) for asked in turn] for turn in self.asked]
        self.weights, self.buffers = stack_module_state(self.methods)
        stacks = {**self.weights, **self.buffers}
        for i, method in enumerate(self.methods):
            for name, tensor in (*method.named_parameters(), *method.named_buffers()):
                tensor.data = stacks[name][i].detach()
        for tensor in (*self.one.parameters(), *self.one.buffers()):
            if tensor.is_floating_point():
                tensor.data.fill_(math.nan)  # whatever reads it, past the weights that are put in its place, is found out
        self.one.step_begins(0, 1)
        self.check(x)

    def draws_of(self, player: Player, x: Tensor) -> list[Asked]:
        """The noise that a turn takes, found by taking it."""
        stream = self.stream.clone_state()
        with Draws(stream) as draws:
            player.terms(torch.cat([x] * player.batches), stream)
        return draws.asked

    def check(self, x: Tensor) -> None:
        """Take every turn once without moving a weight; StackingError for one that cannot be, or finds what no seed finds alone."""
        before = {name: buffer.clone() for name, buffer in self.buffers.items()}
        try:
            for turn in range(len(self.own)):
                self.check_turn(turn, x)
        except StackingError:
            raise
        except Exception as error:
            raise StackingError(in_a_line(error)) from error
        finally:
            for name, buffer in self.buffers.items():
                buffer.copy_(before[name])

    def check_turn(self, turn: int, x: Tensor) -> None:
        """A player's terms and gradients in the stack beside those of each seed."""
        player, seeds = self.own[turn], range(len(self.methods))
        found = self.terms(turn, torch.stack([x] * len(seeds)).repeat(player.batches, *[1] * x.ndim), self.stream)
        own = [self.weights[self.names[id(p)]] for p in player.parameters]
        gradients = torch.autograd.grad(found.pop("loss"), own, allow_unused=True, materialize_grads=True)
        for i in seeds:
            lone = deepcopy(self.methods[i]).train().players()[turn]
            with Given(self.stream, self.asked[turn], [drawn[i] for drawn in self.drawn[turn]]), using("broadcast"):
                terms = lone.terms(torch.cat([x] * player.batches), self.stream)
            slopes = torch.autograd.grad(terms["loss"], lone.parameters, allow_unused=True, materialize_grads=True)
            here = torch.stack([found[f"{name}.{i}"] for name in terms]), torch.cat([g[i].flatten() for g in gradients])
            alone = torch.stack(list(terms.values())), torch.cat([g.flatten() for g in slopes])
            if not all(close(a, b) for a, b in zip(here, alone, strict=True)):
                raise StackingError(f"a seed finds other losses for {player.name} than alone: a part keeps weights outside of its module")

    def terms(self, turn: int, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """The terms of a player of every seed.   (batches S, B, C, H, W) -> of ()"""
        player, names = Turn(self.one, self.own[turn]), list[str]()
        images = x.unflatten(0, (-1, len(self.methods))).transpose(0, 1).flatten(1, 2)  # (S, batches B, C, H, W)

        def of_one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, drawn: list[Tensor]) -> Tensor:
            own = {f"method.{name}": tensor for name, tensor in (*weights.items(), *buffers.items())}
            with Given(self.stream, self.asked[turn], drawn) as given:
                found = functional_call(player, own, (x, self.stream))
            given.check_all()
            names[:] = found
            return torch.stack(list(found.values()))

        with using("broadcast"):  # the form of the kernels that vmap knows
            values = torch.vmap(of_one)(self.weights, self.buffers, images, self.drawn[turn])  # (S, terms)
        rows = {f"{name}.{i}": values[i, j] for i in range(len(self.methods)) for j, name in enumerate(names)}
        return {"loss": values[:, names.index("loss")].sum(), **rows}

    def players(self) -> list[Player]:
        """Those of one method, each of which moves the weights of all seeds."""
        stacks = [tuple(self.weights[self.names[id(p)]] for p in player.parameters) for player in self.own]
        return [
            replace(player, parameters=parameters, terms=partial(self.terms, i))
            for i, (player, parameters) in enumerate(zip(self.own, stacks, strict=True))
        ]

    def step_begins(self, step: int, per_epoch: int) -> None:
        """What moves from step to step, and the step's noise, turn by turn as a seed draws it alone."""
        for method in (self.one, *self.methods):
            method.step_begins(step, per_epoch)
        for i, noise in enumerate(self.noises):
            for asked, drawn in zip(self.asked, self.drawn, strict=True):
                for one, all_seeds in zip(asked, drawn, strict=True):
                    all_seeds[i].copy_(one.of(noise))

    def run_hook(self, event: str, epoch: int, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Each seed's, with its own images and stream."""
        for i, (method, own) in enumerate(zip(self.methods, self.noises, strict=True)):
            method.run_hook(event, epoch, lambda n, i=i: draw_images(n)[i], own)

    def why_eager(self) -> str | None:
        """Nothing that a graph cannot hold was let in."""
        return None

    def train(self, mode: bool = True) -> "Stacked":
        """All of them."""
        for method in (self.one, *self.methods):
            method.train(mode)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Every seed's tensors, and its stream."""
        return {
            str(i): {"method": method.state_dict(), "noise": noise.get_state()}
            for i, (method, noise) in enumerate(zip(self.methods, self.noises, strict=True))
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        for i, (method, noise) in enumerate(zip(self.methods, self.noises, strict=True)):
            method.load_state_dict(state[str(i)]["method"])
            noise.set_state(state[str(i)]["noise"])
