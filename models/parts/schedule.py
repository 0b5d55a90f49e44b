"""A weight that changes while a method trains, as a value of the suite file: KL warm-up and its like.

    linear    w(t) = a + (b - a) min(t / T, 1)                  Sønderby et al., arXiv:1602.02282, section 2.3 (warm-up)
    cosine    w(t) = a + (b - a) (1 - cos π min(t / T, 1)) / 2
    cyclical  w(t) = a + (b - a) min(τ / R, 1),  τ = (t mod T) / T,  R = ½      Fu et al., arXiv:1903.10145, Eq. 6-7

t are the steps taken so far, T is `over`, in epochs or steps; cyclical begins anew every T.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Shape = Literal["linear", "cosine", "cyclical"]
RISE = 0.5  # R, the share of a cycle in which the weight rises
KEYS = ("from", "to", "over", "shape")
OVER = re.compile(r"(\d+(?:\.\d+)?) (epochs?|steps?)")


@dataclass(frozen=True)
class Schedule:
    """A weight that goes from `start` to `end` over so many epochs or steps."""

    start: float
    end: float
    over: float  # T
    unit: Literal["epochs", "steps"] = "epochs"
    shape: Shape = "linear"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"a schedule goes between finite weights, not from {self.start} to {self.end}")
        if not 0 < self.over < math.inf:
            raise ValueError(f"over must be a positive number of {self.unit}, not {self.over:g}")
        if self.shape not in get_args(Shape):
            raise ValueError(f"shape must be one of {', '.join(get_args(Shape))}, not {self.shape!r}")

    def at(self, step: int, per_epoch: int) -> float:
        """The weight of the step that is taken after `step` others; per_epoch: steps of an epoch."""
        share = step / (self.over * (per_epoch if self.unit == "epochs" else 1))
        if self.shape == "cyclical":
            rise = min(share % 1 / RISE, 1.0)
        else:
            rise = min(share, 1.0) if self.shape == "linear" else (1 - math.cos(math.pi * min(share, 1.0))) / 2
        return self.start + (self.end - self.start) * rise

    def __str__(self) -> str:
        return f"({self.start:g} to {self.end:g} over {self.over:g} {self.unit}, {self.shape})"


Weight = float | Schedule  # λ of a regulariser


def read(table: Mapping[str, Any]) -> Schedule:
    """The schedule of a suite file's table, { from = 0, to = 1, over = "30 epochs", shape = "linear" }; ValueError says what is wrong."""
    for key in table:
        if key not in KEYS:
            raise ValueError(f"a schedule has the keys {', '.join(KEYS)}, not {key!r}")
    for key in KEYS[:3]:
        if key not in table:
            raise ValueError(f'a schedule needs the key {key!r}, as in {{ from = 0, to = 1, over = "30 epochs" }}')
    for key in KEYS[:2]:
        if isinstance(table[key], bool) or not isinstance(table[key], (int, float)):
            raise ValueError(f"{key} must be a number, not {table[key]!r}")
    match = OVER.fullmatch(str(table["over"]).strip())
    if match is None:
        raise ValueError(f'over must be a length such as "30 epochs" or "500 steps", not {table["over"]!r}')
    unit: Literal["epochs", "steps"] = "epochs" if match[2].startswith("epoch") else "steps"
    return Schedule(float(table["from"]), float(table["to"]), float(match[1]), unit, table.get("shape", "linear"))


def non_negative(weight: Weight, name: str = "weight") -> Weight:
    """The weight, where it is 0 or larger throughout; ValueError elsewhere."""
    ends = (weight.start, weight.end) if isinstance(weight, Schedule) else (weight,)
    if not all(end >= 0 for end in ends):
        raise ValueError(f"{name} must be 0 or larger, not {weight}")
    return weight
