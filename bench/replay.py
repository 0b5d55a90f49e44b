"""A training step of a small network on the CPU, recorded once and replayed: most of such a step is Python, autograd and allocation.

The step is taken as it is while a dispatch mode notes every operation on tensors, backward pass and optimiser included. A replay runs the
same kernels on the same memory: views stay what they are, results are written where the recorded ones lie.

It is used only where it gives the bits of the step itself: nothing is read on the host, no part of the method counts its steps in Python,
and the first replay, the second, the fourth, ... are checked against the step.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from bench.adam import Adam
from bench.capture import Turns
from bench.errors import RunError
from metrics.kernels.outside import Work, listening

WARM_UP = 3
SMALL = 64 * 2**20  # bytes of all results of a step; in larger ones the operations themselves take the time
READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}  # of operations whose values decide what Python sees
SILENT = {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty", "aten::new_empty_strided"}
COPIES = {"aten::_to_copy", "aten::clone"}
OF_THE_RESULT = {"dtype", "layout", "device", "pin_memory"}  # arguments that say what a result is: it is there already
Operation = Callable[[], object]


class Unrecordable(Exception):
    """Why a step cannot be replayed."""


class Recorder(TorchDispatchMode):
    """Runs operations as ever, and keeps of each what it takes to run it again on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.reason: str | None = None
        self.bytes = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler for that, for seconds in every process."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.reason is None and func.namespace != "profiler":
            try:
                self.note(func, args, kwargs or {}, result)
            except Unrecordable as why:
                self.give_up(str(why))
        return result

    def give_up(self, reason: str) -> None:
        """Keep nothing any longer."""
        self.reason = reason
        self.operations.clear()

    def note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """One operation; `Unrecordable` if it cannot be replayed."""
        name = func._schema.name
        inputs, outputs = (tensors(x) for x in ((args, kwargs), result))
        if READS & set(func.tags) and (name != "aten::index" or any(x.dtype in (torch.bool, torch.uint8) for x in inputs[1:])):
            raise Unrecordable(f"a value is read on the host ({name})")
        known = {place(x) for x in inputs}
        fresh = [x for x in outputs if place(x) not in known]
        if func._schema.is_mutable and not fresh:
            self.operations.append(call(func, *plain((args, kwargs))))
        elif fresh and name not in SILENT:
            self.bytes += sum(x.untyped_storage().nbytes() for x in fresh)
            if self.bytes > SMALL:
                raise Unrecordable("the step is not a small one")
            self.operations.append(into(func, *plain((args, kwargs, result))))

    def outside(self, work: Work, memory: tuple[Tensor, ...]) -> None:
        """Note work that is no operation of torch's; those tensors hold its memory."""
        if self.reason is None:
            self.operations.append(lambda: (work(), memory))


def tensors(tree: Any) -> list[Tensor]:
    """Those in nested arguments."""
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def plain(tree: Any) -> Any:
    """The same memory without a history."""
    return tree_map_only(Tensor, lambda x: x.detach(), tree)


def place(x: Tensor) -> int:
    """Which memory it lies in."""
    return x.untyped_storage()._cdata


def call(func: Any, args: Any, kwargs: Any) -> Operation:
    """The operation as it was."""
    run = func._op
    return (lambda: run(*args, **kwargs)) if kwargs else (lambda: run(*args))


def into(func: Any, args: Any, kwargs: Any, outputs: Any) -> Operation:
    """The operation with its results written where `outputs` lie."""
    if func._schema.name in COPIES:
        return call(torch.ops.aten.copy_.default, (outputs, args[0]), {})
    found = out_form(func)
    several = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    if found is None or len(found[1]) != len(several) or not all(isinstance(x, Tensor) for x in several):
        return copied(func._op, args, kwargs, outputs)
    overload, names, taken = found
    return call(overload, args, {name: kwargs[name] for name in kwargs if name in taken} | dict(zip(names, several, strict=True)))


def copied(run: Any, args: Any, kwargs: Any, outputs: Any) -> Operation:
    """For one that has no such form."""
    targets = tensors(outputs)

    def operation() -> None:
        for target, value in zip(targets, tensors(run(*args, **kwargs)), strict=True):
            target.copy_(value)

    return operation


@cache
def out_form(func: Any) -> tuple[Any, list[str], set[str]] | None:
    """The overload of an operation that writes its results into given tensors, their names, and what it takes besides."""
    wanted = {a.name: str(a.type) for a in func._schema.arguments}
    for name in func.overloadpacket.overloads():
        overload = getattr(func.overloadpacket, name)
        results = [a for a in overload._schema.arguments if a.is_out]
        rest = {a.name: str(a.type) for a in overload._schema.arguments if not a.is_out}
        missing = wanted.keys() - rest.keys()
        if results and rest.items() <= wanted.items() and missing <= OF_THE_RESULT and all(str(a.type) == "Tensor" for a in results):
            return overload, [a.name for a in results], set(rest)
    return None


class Replayed:
    """`turns`, replayed wherever that gives its bits; recorded anew when other players move or batches have another shape."""

    def __init__(self, turns: Turns, method: Any, players: object, optimizers: Sequence[Adam], noise: torch.Generator):
        self.turns, self.method, self.players, self.optimizers, self.noise = turns, method, players, optimizers, noise
        self.reason: str | None = None  # why it is not replayed
        self.key: object = None
        self.taken = self.replays = 0
        self.operations: list[Operation] | None = None
        self.inputs: list[Tensor] = []
        self.output = torch.empty(0)

    def __call__(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """One step.   (B, C, H, W) of each stream -> (terms,)"""
        key = moving, [x.shape for x in batches]
        if key != self.key:
            self.key, self.taken, self.replays, self.operations = key, 0, 0, None
        self.taken += 1
        if self.reason is not None or self.taken <= WARM_UP:
            return self.turns(batches, moving)
        if self.operations is None:
            return self.checked(batches, lambda: self.record(batches, moving))
        self.replays += 1
        if self.replays & (self.replays - 1) == 0:
            return self.checked(batches, lambda: self.turns(batches, moving))
        self.replay(batches)
        return self.output.clone()

    def replay(self, batches: Sequence[Tensor]) -> None:
        """The recorded operations, in order, on these batches."""
        assert self.operations is not None
        with torch.no_grad():
            for own, x in zip(self.inputs, batches, strict=True):
                own.copy_(x)
            for operation in self.operations:
                operation()

    def record(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """Take a step and keep its operations, if they can be replayed."""
        self.inputs = [x.clone() for x in batches]
        recorder, before = Recorder(), python_state((self.method, self.players))
        with recorder, listening(recorder.outside):
            self.output = self.turns(self.inputs, moving).detach()
        self.reason = recorder.reason
        if self.reason is None and python_state((self.method, self.players)) != before:
            self.reason = "a part of the method counts its steps"
        if self.reason is None:
            self.operations = recorder.operations
        return self.output.clone()

    def checked(self, batches: Sequence[Tensor], step: Callable[[], Tensor]) -> Tensor:
        """The step; then the same by a replay, which must end alike.   -> (terms,)

        RunError if replays since the last check may have been wrong.
        """
        before, terms = self.snapshot(), step()
        if self.operations is None:
            return terms
        after = self.snapshot()
        self.restore(before)
        self.replay(batches)
        alike = same(self.output, terms) and all(map(same, self.snapshot(), after))
        self.restore(after)
        if not alike:
            self.operations, self.reason = None, "replaying the step does not give its bits"
            if self.replays > 2:
                raise RunError(
                    "replayed steps differ from the step itself: something in the method changes from step to step that is neither a "
                    "tensor of its state nor a number it holds; give that part (a regulariser, say) an attribute refitted = True"
                )
        return terms

    def state(self) -> list[Tensor]:
        """All that a step may change, but for random streams."""
        moments = [x for o in self.optimizers for x in (*o.means, *o.squares, *o.steps)]
        return [*(x for x in self.method.state_dict().values() if isinstance(x, Tensor)), *moments]

    def snapshot(self) -> list[Tensor]:
        """Copies of everything that a step changes."""
        return [x.detach().clone() for x in self.state()] + [self.noise.get_state(), torch.get_rng_state()]

    @torch.no_grad()
    def restore(self, saved: list[Tensor]) -> None:
        """Back to a snapshot, in place."""
        for x, old in zip(self.state(), saved, strict=False):
            x.copy_(old)
        self.noise.set_state(saved[-2])
        torch.set_rng_state(saved[-1])


def python_state(root: object) -> list[object]:
    """Numbers, words and lengths in an object and whatever it holds: what of them a step changes would be frozen in its recording."""
    found, waiting, seen = list[object](), [root], dict[int, object]()
    while waiting:
        item = waiting.pop()
        if item is None or isinstance(item, (bool, int, float, complex, str, bytes)):
            found.append(item)
        elif not isinstance(item, (Tensor, torch.Generator, type, ModuleType)) and id(item) not in seen:
            seen[id(item)] = item
            held = contents(item)
            found.append(len(held))
            waiting += held
    return found


def contents(item: object) -> list[object]:
    """What an object holds."""
    match item:
        case dict():
            return [*item.keys(), *item.values()]
        case list() | tuple():
            return list(item)
        case set() | frozenset():
            return sorted(item, key=repr)
        case partial():
            return [item.func, *item.args, *item.keywords.values()]
        case MethodType():
            return [item.__self__, item.__func__]
        case FunctionType():
            cells = [cell.cell_contents for cell in item.__closure__ or () if cell != CellType()]
            return [*cells, *(item.__defaults__ or ())]
        case _:
            return list(getattr(item, "__dict__", {}).values())


def same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit, where one number that is none is as good as another."""
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())
