"""A training step of a small network on the CPU, recorded once and replayed: most of such a step is Python, autograd and allocation.

The step is taken as it is while a dispatch mode notes every operation on tensors, backward pass and optimiser included. A replay runs the
same kernels on the same memory: views stay what they are, results are written where the recorded ones lie.

It is used only where it gives the bits of the step itself: nothing is read on the host, no part of the method counts its steps in Python,
and the first replay, the second, the fourth, ... and every CHECKED-th are checked against the step. Later ones are not: what a method
changes where nobody can look, and for the first time near its end, would be missed.
"""

from collections.abc import Callable, Sequence
from functools import cache
from random import getstate
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from bench.adam import Adam
from bench.capture import Turns
from bench.errors import RunError
from bench.held import State, memory, place, python_state
from bench.script import Call, Operation, joined
from metrics.kernels.outside import Work, listening

WARM_UP = 3
CHECKED = 250
SMALL = 64 * 2**20  # bytes of all results of a step; in larger ones the operations themselves take the time
READS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}  # of operations whose values decide what Python sees
LEAVES = {Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__}  # ways to read values that are no operations
ATEN = torch.ops.aten
ANOTHER_WAY = {
    ATEN.prod.default,
    ATEN.prod.dim_int,
    ATEN.masked_fill.Tensor,
    ATEN.masked_fill_.Tensor,
}  # their gradients have other bits while someone watches
SILENT = {"aten::empty", "aten::empty_strided", "aten::empty_like", "aten::new_empty", "aten::new_empty_strided"}
COPIES = {"aten::_to_copy", "aten::clone"}
WIDENS = {"aten::binary_cross_entropy"}  # would make a given result as large as the input first
DIRECTLY: dict[Any, Callable[..., Call]] = {  # where torch's own form with a given result makes another one first and copies it
    ATEN.relu.default: lambda x, out: Call(ATEN.clamp_min.out, (x, 0), {"out": out}),
    ATEN.mul.Scalar: lambda x, factor, out: Call(ATEN.mul.out, (x, factor), {"out": out}),
    ATEN.div.Scalar: lambda x, divisor, out: Call(ATEN.div.out, (x, divisor), {"out": out}),
    ATEN.ones_like.default: lambda _, out: Call(ATEN.fill_.Scalar, (out, 1), {}),
    ATEN.zeros_like.default: lambda _, out: Call(ATEN.zero_.default, (out,), {}),
}
OF_THE_RESULT = {"dtype", "layout", "device", "pin_memory"}  # arguments that say what a result is: it is there already


class Unrecordable(Exception):
    """Why a step cannot be replayed."""


class Recorder(TorchDispatchMode):
    """Runs operations as ever, and keeps of each what it takes to run it again on the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.reason: str | None = None
        self.bytes = 0
        self.other_bits = False  # the step itself may have been another than unwatched

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler for that, for seconds in every process."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.other_bits |= func in ANOTHER_WAY and any(x.requires_grad for x in tensors(args))
        if self.reason is None and func.namespace != "profiler":
            try:
                self.note(func, args, kwargs or {}, result)
            except Unrecordable as why:
                self.give_up(str(why))
        return result

    def give_up(self, reason: str) -> None:
        """Keep nothing any longer."""
        self.reason = self.reason or reason
        self.operations.clear()

    def note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """One operation; `Unrecordable` if it cannot be replayed."""
        name = func._schema.name
        inputs, outputs = (tensors(x) for x in ((args, kwargs), result))
        if READS & set(func.tags) and (name != "aten::index" or any(x.dtype in (torch.bool, torch.uint8) for x in inputs[1:])):
            raise Unrecordable(f"a value is read on the host ({name})")
        if any(x.layout != torch.strided for x in (*inputs, *outputs)):
            raise Unrecordable(f"a tensor is not a dense one ({name})")
        known = {place(x) for x in inputs}
        fresh = [x for x in outputs if place(x) not in known and not x._is_zerotensor()]
        if not outputs or (func._schema.is_mutable and not fresh):
            self.operations.append(Call(func, *plain((args, kwargs))))
        elif fresh and name not in SILENT:
            self.bytes += sum(x.untyped_storage().nbytes() for x in fresh)
            if self.bytes > SMALL:
                raise Unrecordable("the step is not a small one")
            self.operations.append(into(func, *plain((args, kwargs, result))))

    def outside(self, work: Work, held: tuple[Tensor, ...]) -> None:
        """Note work that is no operation of torch's; those tensors hold its memory."""
        if self.reason is None:
            self.operations.append(lambda: (work(), held))


def tensors(tree: Any) -> list[Tensor]:
    """Those in nested arguments."""
    return [x for x in tree_flatten(tree)[0] if isinstance(x, Tensor)]


def plain(tree: Any) -> Any:
    """The same memory without a history."""
    return tree_map_only(Tensor, lambda x: x.detach(), tree)


def into(func: Any, args: Any, kwargs: Any, outputs: Any) -> Operation:
    """The operation with its results written where `outputs` lie."""
    if func._schema.name in COPIES:
        return Call(ATEN.copy_.default, (outputs, args[0]), {})
    if func in DIRECTLY:
        return DIRECTLY[func](*args, out=outputs)
    found = None if func._schema.name in WIDENS else out_form(func)
    several = list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]
    if found is None or not all(isinstance(x, Tensor) for x in several):
        return copied(func._op, args, kwargs, outputs)
    overload, names, taken = found
    return Call(overload, args, {name: kwargs[name] for name in kwargs if name in taken} | dict(zip(names, several, strict=True)))


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


class Looking(TorchFunctionMode):
    """Tells a recorder of values that leave torch without an operation."""

    def __init__(self, recorder: Recorder):
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in LEAVES:
            self.recorder.give_up(f"a value is read on the host ({func.__name__})")
        return func(*args, **(kwargs or {}))


class Replayed:
    """`turns`, replayed wherever that gives its bits; recorded anew when other players move or batches have another shape."""

    def __init__(self, turns: Turns, method: Any, players: object, optimizers: Sequence[Adam], noise: torch.Generator):
        self.turns, self.parts, self.changing = turns, (method, players), (method, players, optimizers, noise)
        self.reason: str | None = None  # why it is not replayed
        self.moving, self.shapes = tuple[bool, ...](), list[torch.Size]()
        self.taken = self.replays = 0
        self.operations: list[Operation] | None = None
        self.state = State(())
        self.inputs: list[Tensor] = []
        self.output = torch.empty(0)

    def __call__(self, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        """One step.   (B, C, H, W) of each stream -> (terms,)"""
        shapes = [x.shape for x in batches]
        if (moving, shapes) != (self.moving, self.shapes):
            self.moving, self.shapes, self.taken, self.replays, self.operations = moving, shapes, 0, 0, None
        self.taken += 1
        if self.reason is not None or self.taken < WARM_UP:
            return self.turns(batches, moving)
        if self.taken == WARM_UP:
            return self.watched(batches)
        if self.operations is None:
            return self.record(batches)
        self.replays += 1
        if self.replays & (self.replays - 1) == 0 or self.replays % CHECKED == 0:
            return self.checked(batches)
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

    def watched(self, batches: Sequence[Tensor]) -> Tensor:
        """A step as it is, after which only values of tensors may be others than before, or none is recorded."""
        before, terms = self.seen_by_python(), self.turns(batches, self.moving)
        if self.seen_by_python() != before:
            self.reason = "a part of the method counts its steps or makes its tensors anew"
        return terms

    def record(self, batches: Sequence[Tensor]) -> Tensor:
        """Take a step and keep its operations, if they can be replayed."""
        self.inputs = [x.clone() for x in batches]
        self.state, recorder = State(self.changing), Recorder()
        before = self.state.values()
        with Looking(recorder), recorder, listening(recorder.outside):
            self.output = self.turns(self.inputs, self.moving)
        self.reason = recorder.reason
        if recorder.other_bits:
            self.reason = "torch takes a gradient in another way while it is recorded"
            self.state.restore(before)
            return self.turns(batches, self.moving)
        if self.reason is None:
            self.operations = joined(recorder.operations)
        return self.output.clone()

    def seen_by_python(self) -> list[object]:
        """What a recording would freeze."""
        return python_state((*self.parts, getstate(), np.random.get_state()))  # noqa: NPY002

    def checked(self, batches: Sequence[Tensor]) -> Tensor:
        """The step; then the same by a replay, which must end alike.   -> (terms,)

        RunError if replays since the last check may have been wrong.
        """
        given, state = [x.clone() for x in batches], self.state  # a step may write into its batches
        before, terms, after = state.values(), self.turns(batches, self.moving), state.values()
        state.restore(before)
        alike = self.is_replayed(given, terms) and all(map(torch.equal, state.values(), after))
        state.restore(after)
        if not alike:
            self.operations, self.reason = None, "replaying the step does not give its bits"
            if self.replays > 2:
                raise RunError(
                    "replayed steps differ from the step itself: something in the method changes from step to step that is neither a "
                    "tensor of its state nor a number it holds; give that part (a regulariser, say) an attribute refitted = True"
                )
        return terms

    def is_replayed(self, batches: Sequence[Tensor], terms: Tensor) -> bool:
        """Whether a replay gives these terms."""
        try:
            self.replay(batches)
        except Exception:  # of an operation that cannot be done twice
            return False
        return torch.equal(memory(self.output), memory(terms))
