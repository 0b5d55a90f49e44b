"""How long a run trains and how its learning rate moves, as frozen values."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

from bench.errors import UserError

Precision = Literal["float32", "tf32", "bf16"]  # arithmetic of training; evaluation is in float32


@dataclass(frozen=True)
class Budget:
    """How long a run trains: exactly one of the four. Seconds count training only, never evaluation or checkpoints."""

    steps: int | None = None
    epochs: float | None = None
    images: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in asdict(self).items() if value is not None]
        if len(given) != 1:
            said = "none of them" if not given else " and ".join(given)
            raise UserError(f"budget: exactly one of steps, epochs, images, seconds; got {said}")
        if not 0 < getattr(self, given[0]) < math.inf:
            raise UserError(f"budget.{given[0]} must be positive and finite, not {getattr(self, given[0])}")

    def total_steps(self, train_count: int, batch_size: int) -> int | None:
        """Optimiser steps (the last partial batch of an epoch is dropped, SPEC T42); None for a budget in seconds."""
        if self.seconds is not None:
            return None
        if self.steps is not None:
            return self.steps
        if self.images is not None:
            return math.ceil(self.images / batch_size)
        return max(1, round((self.epochs or 0) * (train_count // batch_size)))

    def __str__(self) -> str:
        return next(f"{value:g} {name}" if value < 1e5 else f"{value:,.0f} {name}" for name, value in asdict(self).items() if value)


@dataclass(frozen=True)
class Optimizer:
    """Adam and its schedule: from epoch e on, the initial rate times `factor`, times decay**e."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    milestones: tuple[tuple[float, float], ...] = ()  # (epoch, factor), cumulative factors: ((30, 0.5), (50, 0.1))
    decay: float = 1.0  # per finished epoch

    def __post_init__(self) -> None:
        checks = {
            "lr": 0 < self.lr < math.inf,
            "betas": all(0 <= b < 1 for b in self.betas),
            "decay": 0 < self.decay < math.inf,
        }
        checks["milestones"] = all(e >= 0 and f > 0 for e, f in self.milestones) and list(self.milestones) == sorted(self.milestones)
        allowed = {
            "lr": "> 0",
            "betas": "two numbers in [0, 1)",
            "decay": "> 0",
            "milestones": "pairs [epoch, factor > 0], by rising epoch",
        }
        for name, good in checks.items():
            if not good:
                raise UserError(f"optimizer.{name} must be {allowed[name]}, not {getattr(self, name)}")

    def factor(self, epoch: float) -> float:
        """What the initial rate is multiplied by once `epoch` epochs have been trained (SPEC 4)."""
        passed = [factor for start, factor in self.milestones if epoch >= start]
        return (passed[-1] if passed else 1.0) * self.decay ** math.floor(epoch)
