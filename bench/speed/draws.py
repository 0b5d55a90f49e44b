"""The noise that a method asks for, seen and given from outside: what stacked seeds draw from."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

OTHER_NOISE = "it asks for other noise than in the steps before"
DRAWS = (torch.randn, torch.rand, torch.randint, torch.randperm)  # of no other tensor: they can be drawn before the step


class StackingError(ValueError):
    """Why seeds of a method cannot be trained in one step."""


class Asked(NamedTuple):
    """A draw as a method asks for it, but for the stream."""

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def of(self, noise: torch.Generator, out: Tensor | None = None) -> Tensor:
        """From that stream, into `out` if it is given."""
        return self.function(*self.args, generator=noise, **self.kwargs, **({} if out is None else {"out": out}))


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
        """The draw at that place; StackingError where it is not the one that is asked for."""
        place = len(self.asked) - 1
        if place >= len(self.expected) or self.expected[place] != asked:
            raise StackingError(OTHER_NOISE)
        return self.drawn[place].clone()  # the method's own, to change as it likes

    def check_all(self) -> None:
        """StackingError where a draw was not asked for: a seed's next one would be another than alone."""
        if len(self.asked) < len(self.expected):
            raise StackingError(OTHER_NOISE)
