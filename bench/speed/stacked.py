"""Several seeds of one method trained at once on one device: one step moves the weights of all of them.

A weight of all seeds lies in one tensor, (S, ...), and `torch.vmap` maps the players' losses of one seed over its rows. Batches and every
draw of noise come from outside, from each seed's own streams in the order in which the method asks, so that a seed meets what it meets
alone; what differs is rounding. A random operation that was not drawn for it is refused by `torch.vmap` itself.

Not every method can be stacked: not one that reads values on the host, is fitted between epochs, uses an operation that vmap has no form
of, or keeps what it learns elsewhere than in its modules. `Stacked` says so before the first step, having compared every seed's losses,
gradients and buffers with those that it has alone. Noise that changes from step to step ends the training where it does.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from bench.datasets.batches import Batches
from bench.errors import in_a_line
from bench.speed.draws import Asked, Draws, Given, StackingError
from bench.training.gathered import GatheringTraining, Places
from metrics.kernels.backends import using
from models.interfaces import Player

NEARLY, NEGLIGIBLE = 1e-2, 1e-5  # of a value, in whose gradient rounding turns some ReLUs, and of the largest among them
LATE = 10**6  # steps, of epochs of one: where schedules of weights have ended


def apart(found: Mapping[str, Tensor], alone: Mapping[str, Tensor]) -> str | None:
    """The first of these by name that is further from what it is alone than rounding makes it."""
    largest = max((float(tensor.detach().norm()) for tensor in alone.values()), default=0.0)
    for name, own in alone.items():
        if not (found[name] - own).norm() <= NEARLY * own.norm() + NEGLIGIBLE * largest:
            return name
    return None


class PlayerModule(nn.Module):
    """A player's terms as a module that has the method's weights, so that others can be put in their place."""

    def __init__(self, method: nn.Module, player: Player):
        super().__init__()
        self.method, self.player = method, player

    def forward(self, x: Tensor, noise: torch.Generator) -> Mapping[str, Tensor]:
        """(B, C, H, W) -> of ()"""
        return self.player.terms(x, noise)


class StackedBatches(Batches):
    """The batches of all seeds, each as that seed has it alone, of the same images."""

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


class StackedPlaces(Places):
    """Where the images of a step's batches of all seeds are."""

    def __init__(self, batches: StackedBatches):
        super().__init__(batches)
        self.each = [Places(own) for own in batches.each]

    def at(self, step: int, stream: int = 0) -> Tensor:
        """-> (S, B) int64"""
        return torch.stack([places.at(step, stream) for places in self.each])


class StackedTraining(GatheringTraining):
    """Training of a stack, whose steps gather all seeds' batches."""

    def places_of(self, batches: Batches) -> Places:
        """Where their images are; TypeError for batches of one seed."""
        if not isinstance(batches, StackedBatches):
            raise TypeError(f"a stack needs the batches of all seeds, not {type(batches).__name__}")
        return StackedPlaces(batches)


def named(module: nn.Module) -> dict[str, Tensor]:
    """Its parameters and buffers."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@contextmanager
def failing_as_stacking_error() -> Iterator[None]:
    """Whatever is raised inside is a StackingError that says it in a line."""
    try:
        yield
    except StackingError:
        raise
    except Exception as error:
        raise StackingError(in_a_line(error)) from error


class Stacked:
    """Methods of one recipe with weights of their own, which the training loop takes for one method whose batches are `StackedBatches`.

    methods: on the device; from now on their weights and buffers are rows of the stack. noises: each one's random stream. x: a batch,
    (B, C, H, W), of the size of those to come. StackingError says why the method cannot be stacked. A term of the stack is named after
    the seed's place, `loss.0`; "loss" is the sum of all.
    """

    def __init__(self, methods: Sequence[Any], noises: Sequence[torch.Generator], x: Tensor):
        if why := methods[0].why_eager():
            raise StackingError(why)
        self.methods, self.noises, self.x = list(methods), list(noises), x
        self.stream = noises[0].clone_state()  # stands for all streams in the losses, and is never drawn from
        with failing_as_stacking_error():
            self.one = deepcopy(methods[0]).train()  # what the losses are computed with, by weights put in the place of its own
            self.own = self.one.players()
            self.names = {id(parameter): name for name, parameter in self.one.named_parameters()}
            self.asked = [self.draws_of(player) for player in self.own]
            self.drawn = [[torch.stack([asked.of(noise.clone_state()) for noise in noises]) for asked in turn] for turn in self.asked]
            self.weights, self.buffers = stack_module_state(self.methods)
            for i, method in enumerate(self.methods):
                for name, tensor in named(method).items():
                    tensor.data = self.row(name, i)
            for tensor in named(self.one).values():
                if tensor.is_floating_point():
                    tensor.data.fill_(math.nan)  # whatever reads it, past the weights that are put in its place, is found out
            self.check()

    def row(self, name: str, i: int) -> Tensor:
        """A seed's weight or buffer in its stack."""
        return (self.weights if name in self.weights else self.buffers)[name][i].detach()

    def draws_of(self, player: Player) -> list[Asked]:
        """The noise that a turn takes, found by taking it."""
        stream = self.stream.clone_state()
        with Draws(stream) as draws:
            player.terms(torch.cat([self.x] * player.batches), stream)
        return draws.asked

    def check(self) -> None:
        """Take every turn as training begins and when its schedules have ended, without moving a weight; StackingError where a seed in
        the stack has other losses, gradients or buffers than alone.
        """
        for i, method in enumerate(self.methods):
            for name, tensor in named(method).items():
                if tensor.data_ptr() != self.row(name, i).data_ptr():
                    raise StackingError(f"it has put another tensor in the place of {name}")
        for step in (LATE, 0):
            for method in (self.one, *self.methods):
                method.step_begins(step, 1)
            for turn in range(len(self.own)):
                kept = {name: buffer.clone() for name, buffer in self.buffers.items()}
                self.check_turn(turn)
                for name, buffer in self.buffers.items():
                    buffer.copy_(kept[name])

    def check_turn(self, turn: int) -> None:
        """A player's terms, gradients and buffers in the stack beside those of each seed; StackingError names what differs."""
        player, seeds = self.own[turn], range(len(self.methods))
        lones = [deepcopy(method).train() for method in self.methods]
        found = self.terms(turn, torch.stack([self.x] * len(seeds)).repeat(player.batches, *[1] * self.x.ndim), self.stream)
        names = [self.names[id(p)] for p in player.parameters]
        gradients = torch.autograd.grad(
            found.pop("loss"), [self.weights[name] for name in names], allow_unused=True, materialize_grads=True
        )
        for i, lone in enumerate(lones):
            own = lone.players()[turn]
            with Given(self.stream, self.asked[turn], [drawn[i] for drawn in self.drawn[turn]]), using("broadcast"):
                terms = own.terms(torch.cat([self.x] * player.batches), self.stream)
            if not all(term.isfinite() for term in terms.values()):
                raise StackingError(f"losses of {player.name} that are not finite")
            slopes = torch.autograd.grad(terms["loss"], own.parameters, allow_unused=True, materialize_grads=True)
            pairs = {
                "term": ({name: found[f"{name}.{i}"] for name in terms}, terms),
                "gradient by": ({n: g[i] for n, g in zip(names, gradients, strict=True)}, dict(zip(names, slopes, strict=True))),
                "buffer": ({name: b[i].double() for name, b in self.buffers.items()}, {n: b.double() for n, b in lone.named_buffers()}),
            }
            for kind, (stacked, alone) in pairs.items():
                if name := apart(stacked, alone):
                    why = "most likely a part keeps something outside of its module's weights and buffers"
                    raise StackingError(f"the {kind} {name} of {player.name} is not what it is alone: {why}")

    def terms(self, turn: int, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """The terms of a player of every seed; StackingError for other noise than before.   (batches S, B, C, H, W) -> of ()"""
        player, names = PlayerModule(self.one, self.own[turn]), list[str]()
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
        """What moves from step to step, and the step's noise, turn by turn as a seed draws it alone; outside of a recorded step."""
        for method in (self.one, *self.methods):
            method.step_begins(step, per_epoch)
        for i, noise in enumerate(self.noises):
            for asked, drawn in zip(self.asked, self.drawn, strict=True):
                for one, all_seeds in zip(asked, drawn, strict=True):
                    one.of(noise, out=all_seeds[i])

    def run_hook(self, event: str, epoch: int, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Each seed's, with its own images and stream; StackingError where what it leaves is not in the stack."""
        images = cache(draw_images)
        for i, (method, own) in enumerate(zip(self.methods, self.noises, strict=True)):
            method.run_hook(event, epoch, lambda n, i=i: images(n)[i], own)
        if event == "training_begins":
            with failing_as_stacking_error():
                self.check()

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
