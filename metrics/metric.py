"""What a metric is, and the arrays that metrics share.

A metric is a pure function of named views of a trained method. A view (the codes of the test images, say) is computed at
most once, however many metrics need it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal


class Unavailable(Exception):
    """This view or metric does not exist for this method, for the reason given."""


@dataclass(frozen=True)
class Metric:
    """A named number: its function of views, its unit, its direction, and the words that freeze how it is taken.

    `{held_out}` in its name, protocol and bias stands for the split that a run holds out: `test`, or `validation`.
    """

    name: str
    fn: Callable[..., Any]  # a number, or a () tensor; called with the views that `needs` names, in that order
    needs: tuple[str, ...]
    protocol: str  # everything that changes the value: counts, noise, estimator, resize, network
    source: str  # paper, equation or section
    unit: str = ""
    better: Literal["lower", "higher", "target"] | None = None  # "target": near a stated value; None: a description
    group: str = "reconstruction"  # which table of the leaderboard shows it
    version: int = 1
    details: tuple[str, ...] = ()  # views of text that the protocol goes on with: weights, counts
    bias: str = ""  # in which direction the estimate errs, and why; empty for a mean over images that is what it says
    code: str = ""  # hash of the modules that it stands on, which the catalogue of names puts here

    def __post_init__(self) -> None:
        """ValueError for one that cannot be measured."""
        if isinstance(self.needs, str) or isinstance(self.details, str):
            raise ValueError(f"metric {self.name}: needs and details must be tuples of names of views, not a text")
        if self.better not in ("lower", "higher", "target", None):
            raise ValueError(f"metric {self.name}: better must be 'lower', 'higher', 'target' or None, not {self.better!r}")

    def on(self, held_out: str) -> "Metric":
        """The metric as a run calls it that holds out this split."""
        name, protocol, bias = (words.replace("{held_out}", held_out) for words in (self.name, self.protocol, self.bias))
        return replace(self, name=name, protocol=protocol, bias=bias)


class Views:
    """Arrays by name, each made when first asked for and then kept.

    >>> Views({"x": lambda views: 2, "y": lambda views: views["x"] + 1})["y"]
    3
    """

    def __init__(self, makers: Mapping[str, Callable[["Views"], Any]]):
        self.makers, self.made = makers, dict[str, Any]()
        self.absent = dict[str, str]()  # reasons: an exception that is kept and raised again holds ever more frames, and their tensors

    def __getitem__(self, name: str) -> Any:
        """The view `name`; raises KeyError for one that nobody makes, Unavailable for one the method does not have."""
        if name in self.absent:
            raise Unavailable(self.absent[name])
        if name not in self.made:
            try:
                self.made[name] = self.makers[name](self)
            except Unavailable as reason:
                self.absent[name] = str(reason)
                raise
        return self.made[name]


def measure(metric: Metric, views: Views) -> dict[str, Any]:
    """One entry of a record: {value, unit, better, protocol, group}; value None with its reason where it does not exist."""
    try:
        return {"value": number(metric.name, metric.fn(*(views[name] for name in metric.needs))), **about(metric, views)}
    except Unavailable as reason:
        return absent(metric, views, str(reason))


def absent(metric: Metric, views: Views, reason: str) -> dict[str, Any]:
    """The entry of a metric that has no value, for the reason given."""
    return {"value": None, "reason": reason, **about(metric, views)}


def about(metric: Metric, views: Views) -> dict[str, Any]:
    """What an entry says besides its value."""
    return {
        "unit": metric.unit,
        "better": metric.better,
        "group": metric.group,
        "protocol": "; ".join([metric.protocol, *details(metric, views), f"v{metric.version}"]),
        **({"code": metric.code} if metric.code else {}),
    }


def number(name: str, found: Any) -> float:
    """What a metric's function returned, as a number; Unavailable for text, a vector, a truth value, nothing, NaN or infinity."""
    shape = tuple(getattr(found, "shape", ()))
    value = found.item() if shape == () and hasattr(found, "item") else found
    if shape or isinstance(value, bool) or not isinstance(value, Real):
        words = f"an array of shape {shape}" if shape else " ".join(repr(value).split())[:60]
        raise Unavailable(f"{name} returned {words} ({type(found).__name__}), not a number")
    if not math.isfinite(value):
        raise Unavailable(f"{name} returned {float(value)}, not a finite number")  # JSON has none
    return float(value)


def details(metric: Metric, views: Views) -> list[str]:
    """What the protocol says of the data and files that were met; nothing where they are not there."""
    try:
        return [views[name] for name in metric.details]
    except Unavailable:
        return []
