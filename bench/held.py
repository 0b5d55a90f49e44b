"""What an object holds, found by itself: numbers and words, which a recorded step would freeze, and the state that a step may change."""

import random
import sys
from collections import deque
from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

LIBRARIES = {*sys.stdlib_module_names, "numpy", "torch"}  # what their functions and classes hold themselves is no part of a method
OURS = {"bench", "metrics", "models"}  # whose classes and modules hold nothing that changes


def walk(root: object) -> Iterator[object]:
    """Numbers, words and lengths, tensors and torch's random streams in an object and whatever it holds."""
    waiting, seen = [root], dict[int, object]()
    while waiting:
        item = waiting.pop()
        if item is None or isinstance(item, (bool, int, float, complex, str, bytes)):
            yield item
        elif not isinstance(item, ModuleType) and id(item) not in seen:
            seen[id(item)] = item
            if isinstance(item, (Tensor, torch.Generator)):
                yield item
            else:
                held = contents(item)
                yield len(held)
                waiting += held


def contents(item: object) -> list[object]:
    """What an object holds, its class and the globals that a function names among it."""
    home = str(item.__module__).partition(".")[0] if isinstance(item, (FunctionType, type)) else ""
    if home in LIBRARIES or (home in OURS and isinstance(item, type)):
        return [name_of(item)]
    match item:
        case dict():
            return [*item.keys(), *item.values(), *vars_of(item)]
        case list() | tuple() | deque():
            return [*item, *vars_of(item)]
        case set() | frozenset():
            return sorted(item, key=repr)
        case partial():
            return [item.func, *item.args, *item.keywords.values()]
        case MethodType():
            return [item.__self__, item.__func__]
        case FunctionType():
            cells = [cell.cell_contents for cell in item.__closure__ or () if cell != CellType()]
            names = () if home in OURS else names_in(item.__code__)
            named = [item.__globals__[name] for name in names if name in item.__globals__]
            return [name_of(item), *cells, *named, item.__defaults__, item.__kwdefaults__, vars(item)]
        case BuiltinFunctionType():
            return [name_of(item), item.__self__]
        case staticmethod() | classmethod():
            return [item.__func__]
        case property():
            return [item.fget]
        case type():
            members = [x for name, x in vars(item).items() if name != "__slotnames__"]  # a cache of __getstate__'s
            return [name_of(item), *members, *item.__bases__]
        case np.ndarray() | np.generic() | np.random.Generator() | np.random.BitGenerator() | np.random.RandomState() | random.Random():
            return list(item.__reduce__())
        case Iterator():
            return [float("nan")]  # nobody can look how far it is: it never equals itself
        case _:
            state = object.__getstate__(item)
            return [repr(item) if state is None else state, type(item)]


def name_of(item: Any) -> str:
    """Of a function or class: another of the same form is another."""
    return f"{item.__module__}.{item.__qualname__}"


def vars_of(item: object) -> list[object]:
    """What a subclass of a container holds besides."""
    return list(getattr(item, "__dict__", {}).values())


def names_in(code: CodeType) -> list[str]:
    """All that a function's code names, the functions inside it included."""
    return [*code.co_names, *(name for inner in code.co_consts if isinstance(inner, CodeType) for name in names_in(inner))]


def python_state(root: object) -> list[object]:
    """Numbers, words and lengths, and which tensors there are: what of it a step changes would be frozen in its recording."""
    return [facts(x) if isinstance(x, Tensor) else x for x in walk(root) if not isinstance(x, torch.Generator)]


def facts(x: Tensor) -> tuple[object, ...]:
    """What of a tensor is no value."""
    return x.requires_grad, x.shape, place(x) if x.layout == torch.strided else None


class State:
    """Tensors and random streams that an object holds, and torch's own stream: all that a step may change."""

    def __init__(self, root: object):
        items = list(walk(root))
        self.memory = list({place(x): memory(x) for x in items if isinstance(x, Tensor) and x.layout == torch.strided}.values())
        self.streams = [torch.default_generator, *(x for x in items if isinstance(x, torch.Generator))]

    def values(self) -> list[Tensor]:
        """Copies of them."""
        return [x.clone() for x in self.memory] + [x.get_state() for x in self.streams]

    def restore(self, values: list[Tensor]) -> None:
        """Back to such copies, in place."""
        for own, old in zip(self.memory, values[: len(self.memory)], strict=True):
            own.copy_(old)
        for stream, old in zip(self.streams, values[len(self.memory) :], strict=True):
            stream.set_state(old)


def place(x: Tensor) -> int:
    """Which memory it lies in."""
    return x.untyped_storage()._cdata


def memory(x: Tensor) -> Tensor:
    """All of that memory, in bytes.   -> (bytes,) uint8"""
    return torch.empty(0, dtype=torch.uint8, device=x.device).set_(x.untyped_storage())
