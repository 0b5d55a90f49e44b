"""Counts are seen wherever they are held, and state is put back to the bit wherever it is held."""

import itertools
import math
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bench.held import State, python_state


@dataclass(slots=True)
class Slots:
    count: int = 0


class Held:
    """Holds a value somehow."""

    calls = 0
    shared: list[int] = []  # noqa: RUF012

    def __init__(self, value: object = None):
        self.value = value

    def method(self) -> object:
        return self.value

    @property
    def counted(self) -> int:
        return len(COUNTS)

    @staticmethod
    def counting() -> int:
        return len(MORE)


class Below(Held):
    pass


@dataclass
class Tree:
    children: list["Tree"] = field(default_factory=list)
    leaf: float = 0.0


COUNTS: list[int] = []
MORE: list[int] = []
FURTHER: dict[str, int] = {"calls": 0}


def further() -> int:
    return FURTHER["calls"]


def named(x: float) -> float:
    return x + further()


def stepping(x: float, *, kept: list[int] = [0]) -> float:  # noqa: B006
    kept[0] += 1
    stepping.calls += 1  # type: ignore[attr-defined]
    return x


def defaults(x: float, kept: list[int] = [0]) -> float:  # noqa: B006
    return x


stepping.calls = 0  # type: ignore[attr-defined]


def forever() -> Iterator[int]:
    yield from itertools.count()


GLOBAL = [0]


def nested(x: float) -> float:
    return sum(GLOBAL[i] * x for i in range(1))


class Words(dict):  # type: ignore[type-arg]
    pass


def closed(held: list[Any]) -> Callable[[], object]:
    return lambda: held


def put(item: Any, key: Any, value: Any) -> None:
    item[key] = value


def cases() -> dict[str, tuple[object, Callable[[], object]]]:
    """Something that holds a count, and what changes it."""
    tree, counts, keys, module, inner = Tree([Tree(), Tree()]), [0], {1: "a"}, nn.Linear(2, 2), Held(3)
    python, numpy, legacy, array, slots, queue = (
        random.Random(1), np.random.default_rng(1), np.random.RandomState(1), np.zeros(2), Slots(), deque([0.0] * 3, maxlen=3)
    )  # fmt: skip
    names, holder, twice, bits = {"a"}, Held(0), OrderedDict(a=1), np.random.PCG64(1)
    words, number, raw, weight, tensors = Words(), Held(Decimal(1)), Held(bytearray(2)), nn.Parameter(torch.zeros(2)), [torch.zeros(2)]
    words.calls = 0  # type: ignore[attr-defined]
    return {
        "an attribute": (holder, lambda: setattr(holder, "value", 1)),
        "a dictionary of another kind": (twice, lambda: put(twice, "a", 2)),
        "a float": (tree, lambda: setattr(tree.children[1], "leaf", 1e-300)),
        "a complex number": (inner, lambda: setattr(inner, "value", 3 + 1j)),
        "a word": (keys, lambda: put(keys, 1, "b")),
        "bytes": (keys, lambda: put(keys, 1, b"b")),
        "nothing, then nothing but a sign": (inner, lambda: setattr(inner, "value", None)),
        "a key": (keys, lambda: put(keys, 2, keys.pop(1))),
        "a length": (counts, lambda: counts.append(counts)),
        "a longer list of nothing new": (holder, lambda: setattr(holder, "value", [[], [], []])),
        "a set": (Held(names), lambda: names.symmetric_difference_update({"a", "b"})),
        "a frozen set": (holder, lambda: setattr(holder, "value", frozenset([4]))),
        "a queue": (Held(queue), lambda: queue.append(1.0)),
        "a module's mode": (nn.Sequential(module), lambda: module.eval()),
        "a closure": (closed(counts), lambda: put(counts, 0, 9)),
        "a default": (defaults, lambda: put(defaults.__defaults__[0], 0, 9)),  # type: ignore[index]
        "a keyword's default": (Held(stepping), lambda: put(stepping.__kwdefaults__["kept"], 0, -1)),
        "a function's attribute": (Held(stepping), lambda: setattr(stepping, "calls", 9)),
        "what a function names": (named, lambda: put(FURTHER, "calls", 1)),
        "what a function within it names": (nested, lambda: put(GLOBAL, 0, 1)),
        "an attribute of a dictionary": (words, lambda: setattr(words, "calls", 1)),
        "one function for another": (holder, lambda: setattr(holder, "value", further)),
        "one of torch's for another": (holder, lambda: setattr(holder, "value", torch.relu)),
        "one object for another": (holder, lambda: setattr(holder, "value", Decimal(3))),
        "another decimal": (number, lambda: setattr(number, "value", Decimal(2))),
        "bytes that change": (raw, lambda: put(raw.value, 0, 1)),
        "whether there is a gradient": (weight, lambda: weight.requires_grad_(False)),
        "another tensor": (tensors, lambda: put(tensors, 0, tensors[0] + 0)),
        "a bound method": (inner.method, lambda: setattr(inner, "value", 4)),
        "a partial's function": (partial(inner.method), lambda: setattr(inner, "value", 5)),
        "a partial's argument": (partial(named, counts), lambda: put(counts, 0, 7)),
        "a partial's keyword": (partial(named, x=counts), lambda: put(counts, 0, 8)),
        "a class": (Below(), lambda: setattr(Held, "calls", Held.calls + 1)),
        "a list of a class": (Below(), lambda: Held.shared.append(1)),
        "what a property names": (Below(), lambda: COUNTS.append(1)),
        "what a static method names": (Below(), lambda: MORE.append(1)),
        "slots": (Held(slots), lambda: setattr(slots, "count", 1)),
        "an array": (Held(array), lambda: put(array, 1, 1)),
        "numpy's number": (holder, lambda: setattr(holder, "value", np.int64(7))),
        "Python's stream": (Held(python), lambda: python.random()),
        "numpy's stream": (Held(numpy), lambda: numpy.random()),
        "numpy's bits": (Held(bits), lambda: bits.random_raw()),
        "numpy's old stream": (Held(legacy), lambda: legacy.rand()),
    }  # fmt: skip


@pytest.mark.parametrize("name", cases())
def test_a_count_is_seen_wherever_it_is_held(name: str) -> None:
    holder, change = cases()[name]
    before = python_state([holder])
    assert python_state([holder]) == before
    change()
    assert python_state([holder]) != before


@pytest.mark.parametrize("iterator", [itertools.count(), forever(), iter([1, 2]), map(abs, [1])])
def test_nobody_can_look_how_far_an_iterator_is(iterator: Iterator[int]) -> None:
    assert python_state(Held(iterator)) != python_state(Held(iterator))


def test_things_that_hold_each_other_end() -> None:
    one, other = Held(), Held()
    one.value, other.value = [other], {"one": one, "own": one.method}
    later: Callable[[], object] = lambda: unbound
    if False:
        unbound = 1  # a closure's cell that is empty
    assert python_state([one, later]) == python_state([one, later])


def test_tensors_and_modules_are_no_numbers() -> None:
    layer = nn.Linear(2, 2)
    before = python_state([layer, torch, torch.Generator(), nn.functional.linear])
    layer.weight.data.fill_(3)
    assert python_state([layer, torch, torch.Generator(), nn.functional.linear]) == before
    assert len(before) < 300


def test_state_is_put_back_to_the_bit() -> None:
    own, values = torch.Generator().manual_seed(1), torch.tensor([-0.0, math.nan, 1.0])
    flat = torch.arange(6.0)
    root = {"values": values, "view": flat[2:4], "one for all": torch.zeros(1).expand(4), "own": own, "of a class": torch.ones(2, 2).t()}
    root["sparse"] = torch.eye(2).to_sparse()
    state = State([root, root])
    before, given = state.values(), {name: x.clone() for name, x in root.items() if isinstance(x, torch.Tensor)}
    assert all(map(torch.equal, before, state.values()))
    expected = torch.randn(2), torch.randn(2, generator=own)
    changes: list[Callable[[], object]] = [
        lambda: values.abs_(),
        lambda: flat.add_(1),
        lambda: root["of a class"].mul_(2),
        lambda: root["one for all"][:1].add_(1),
        lambda: torch.randn(1),
        lambda: torch.randn(1, generator=own),
    ]
    state.restore(before)
    for change in changes:
        change()
        assert not all(map(torch.equal, before, state.values()))
        state.restore(before)
        assert all(map(torch.equal, before, state.values()))
    assert torch.equal(values.view(torch.int32), given["values"].view(torch.int32))
    assert all(torch.equal(root[name], x) for name, x in given.items() if name not in ("values", "sparse"))
    assert torch.equal(torch.randn(2), expected[0])
    assert torch.equal(torch.randn(2, generator=own), expected[1])


def test_an_objects_memory_is_kept_once() -> None:
    layer = nn.Linear(3, 2)
    state = State([layer, layer.weight.view(-1), layer.weight[1:]])
    assert sorted(x.numel() for x in state.memory) == [4 * 2, 4 * 6]
    assert len(state.streams) == 1
