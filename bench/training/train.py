"""The only training loop: each player moves in turn, a budget ends it, a state resumes it bit for bit (on the CPU)."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from bench.datasets.batches import Batches
from bench.suites.budget import Budget, Optimizer, Precision
from bench.training.adam import Adam
from bench.training.clock import Clock
from bench.training.cuda_graph import Captured, PlayersStep
from bench.training.precision import autocast, products_in
from models.interfaces import Trainable

BLOCK = 50  # steps between two looks at the losses
Event = Literal["training_begins", "epoch_ended", "training_ended"]
CLOCK_SECONDS = 0.5  # a budget in seconds is looked at about this often
SILENT = nullcontext()


@dataclass(frozen=True)
class Plan:
    """A budget and a schedule for a training set of so many batches per epoch."""

    budget: Budget
    optimizer: Optimizer
    per_epoch: int
    total: int | None  # steps; None for a budget in seconds
    precision: Precision = "float32"

    def done(self, step: int, seconds: float) -> float:
        """The share of the budget that is spent; 1 or more ends training."""
        return step / self.total if self.total is not None else seconds / (self.budget.seconds or math.inf)

    def block(self, step: int, seconds: float) -> int:
        """How many steps to take before looking at losses and clock again."""
        if self.total is not None:
            return min(BLOCK - step % BLOCK, self.total - step)
        return min(BLOCK, max(1, int(CLOCK_SECONDS * step / seconds))) if seconds > 0 else 1


@dataclass(frozen=True)
class Outcome:
    """How training ended."""

    status: str  # done, diverged
    step: int
    seconds: float
    curve: list[dict[str, float]]  # the mean of every term over each block of steps
    error: str | None = None
    execution: str = ""  # how steps were taken: eagerly, and why, or as a CUDA graph

    def spent(self, per_epoch: int, batch_size: int) -> dict[str, Any]:
        """The steps as a record has them."""
        return {"steps": self.step, "epochs": self.step / per_epoch, "images": self.step * batch_size}


@dataclass(frozen=True)
class Progress:
    """How far training is, after a block of steps."""

    share: float  # of the budget that is spent
    step: int
    seconds: float
    curve: Sequence[Mapping[str, float]]  # so far; the last row is of this block


class Training:
    """A method with its optimisers and random stream: what a checkpoint holds, and one step of all players.

    capture: whether steps may be recorded as a CUDA graph. named: whether the phases of a step are named for a profiler.
    """

    def __init__(self, method: Trainable, plan: Plan, noise: torch.Generator, *, capture: bool = True, named: bool = False):
        self.method, self.plan, self.noise, self.named = method, plan, noise, named
        self.players = method.players()
        self.optimizers = [
            Adam(p.parameters, p.lr or plan.optimizer.lr, p.betas or plan.optimizer.betas)  # its state lies where the parameters lie
            for p in self.players
        ]
        self.rates = [p.lr or plan.optimizer.lr for p in self.players]
        self.names: list[str] = []
        self.step, self.curve = 0, list[dict[str, float]]()
        self.eager = self.why_eager(capture)
        self.run: PlayersStep = self.players_step if self.eager else Captured(self.players_step, noise)

    def why_eager(self, capture: bool) -> str | None:
        """The reason why steps are no CUDA graph; None if they are to be."""
        if self.noise.device.type != "cuda":
            return f"device {self.noise.device.type}"
        return self.method.why_eager() if capture else "not asked for"

    @property
    def execution(self) -> str:
        """How steps were taken, for the record."""
        reason = self.run.reason if isinstance(self.run, Captured) else self.eager
        return "one CUDA graph a step" if reason is None else f"eager: {reason}"

    def phase(self, name: str) -> AbstractContextManager[object]:
        """A range of the step that a profiler sees, where it is asked for: six of them take 3 % of a small step."""
        return record_function(name) if self.named else SILENT

    def state(self, seconds: float) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "step": self.step,
            "seconds": seconds,
            "noise": self.noise.get_state(),
            "method": self.method.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "curve": self.curve,
        }

    def restore(self, state: Mapping[str, Any]) -> float:
        """Go back to a state; -> seconds spent until then."""
        self.step, self.curve = state["step"], list(state["curve"])
        self.noise.set_state(state["noise"])
        self.method.load_state_dict(state["method"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return float(state["seconds"])

    def take_step(self, batches: Batches) -> Tensor:
        """One step of every player in turn.   -> (terms,) without gradient, on the device"""
        with self.phase("data"):
            streams = [batches.at(self.step, stream) for stream in range(max(player.batches for player in self.players))]
        self.method.step_begins(self.step, self.plan.per_epoch)
        epoch = self.step / self.plan.per_epoch
        factor = self.plan.optimizer.factor(epoch)
        for player, optimizer, rate in zip(self.players, self.optimizers, self.rates, strict=True):
            optimizer.set_rate(rate * factor * player.decay ** int(epoch))
        values = self.run(streams, tuple(epoch >= player.start for player in self.players))
        self.step += 1
        return values

    def players_step(self, streams: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """What a step does once its batches and rates are there; nothing in it waits for the device.   -> (terms,)"""
        values, names = list[Tensor](), list[str]()
        for player, optimizer, moves in zip(self.players, self.optimizers, moving, strict=True):
            optimizer.zero_grad()
            with self.phase("forward"), autocast(self.plan.precision, self.noise.device):
                terms = player.terms(streams[0] if player.batches == 1 else torch.cat(list(streams[: player.batches])), self.noise)
            if moves:
                with self.phase("backward"):
                    torch.autograd.backward(terms["loss"], inputs=player.parameters)
                with self.phase("optimiser"):
                    if player.clip is not None:
                        nn.utils.clip_grad_value_(player.parameters, player.clip)
                    optimizer.step()
            values += [term.detach() for term in terms.values()]
            names += [f"{player.name}.{name}" for name in terms]
        self.names = names
        return torch.stack(values)

    def take_steps(self, batches: Batches, n: int) -> list[Tensor]:
        """n steps, and whatever is fitted at the ends of epochs among them.   -> n times (terms,)"""
        rows = []
        with products_in(self.plan.precision):
            for _ in range(n):
                rows.append(self.take_step(batches))
                if self.step % self.plan.per_epoch == 0:
                    self.call_hooks("epoch_ended", batches)
        return rows

    def call_hooks(self, event: Event, batches: Batches) -> None:
        """Time for what a method fits without a step of the players; part of training, so on its clock."""
        if hasattr(self.method, "run_hook"):
            epoch = self.step // self.plan.per_epoch
            self.method.run_hook(event, epoch, partial(batches.draw_images, epoch), self.noise)

    def read(self, rows: list[Tensor]) -> str | None:
        """Bring a block's terms to the host and add their means to the curve; -> what is not finite, if anything is."""
        block = torch.stack(rows).double().cpu()
        bad = (~block.isfinite()).any(1)
        if bad.any():
            first = int(bad.int().argmax())
            terms = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.names, block[first].tolist(), strict=True))
            return f"step {self.step - len(rows) + first + 1}: the loss is not finite ({terms}); lower lr or the weight of the largest term"
        self.curve.append({"step": self.step, **dict(zip(self.names, block.mean(0).tolist(), strict=True))})
        return None


def train(
    training: Training,
    batches: Batches,
    *,
    state: Mapping[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    save_every: float = math.inf,
    report: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train until the budget is spent or a loss is not finite.

    state: a checkpoint's, to go on from. save: called with a state every `save_every` seconds, off the clock.
    report: called after each block of steps, off the clock.
    """
    plan = training.plan
    clock = Clock(batches.images.device, training.restore(state) if state else 0.0)
    training.method.train()
    saved = time.monotonic()
    if state is None:
        clock.start()
        training.call_hooks("training_begins", batches)
        clock.stop()
    while plan.done(training.step, clock.spent) < 1:
        length = plan.block(training.step, clock.spent)
        clock.start()
        rows = training.take_steps(batches, length)
        seconds = clock.stop()
        if plan.done(training.step, seconds) >= 1:
            clock.start()
            training.call_hooks("training_ended", batches)
            seconds = clock.stop()
        if error := training.read(rows):
            return Outcome("diverged", training.step, seconds, training.curve, error, training.execution)
        if report:
            report(Progress(min(1.0, plan.done(training.step, seconds)), training.step, seconds, training.curve))
        if save and time.monotonic() - saved >= save_every:
            save(training.state(seconds))
            saved = time.monotonic()
    return Outcome("done", training.step, clock.spent, training.curve, execution=training.execution)
