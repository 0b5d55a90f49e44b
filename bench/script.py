"""Recorded operations as graphs of TorchScript, whose interpreter calls an operation in a third of the time that Python takes.

Nothing is optimised in such a graph: the operations run as they were recorded, in their order, on the memory that they name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Operation = Callable[[], object]


@dataclass(frozen=True)
class Call:
    """An operation of torch with all that it is given, the memory of its results included."""

    overload: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> object:
        return self.overload._op(*self.args, **self.kwargs)

    def arguments(self) -> list[tuple[str, Any]]:
        """Type and value of everything that the operation takes, in the order of its schema."""
        taken = self.overload._schema.arguments
        given = {**dict(zip((a.name for a in taken), self.args, strict=False)), **self.kwargs}
        return [(str(a.type), given.get(a.name, a.default_value)) for a in taken]


class Graph:
    """Calls of operations, one after the other."""

    def __init__(self) -> None:
        self.graph: Any = torch._C.Graph()
        self.run: Operation | None = None

    def add(self, call: Call) -> bool:
        """Put a call at the end; False where TorchScript cannot hold an argument, or would take another operation of that name."""
        schema = call.overload._schema
        try:
            values = [self.constant(kind, number(value, call) if kind == "Tensor" else value) for kind, value in call.arguments()]
            node = self.graph.create(schema.name, values, len(schema.returns))
            known = node.schema() == str(schema)
        except (RuntimeError, TypeError):
            return False
        if known:
            self.graph.appendNode(node)
        return bool(known)

    def constant(self, kind: str, value: Any) -> Any:
        """A value of the graph; TypeError where it can be none."""
        if kind in ("float", "Optional[float]") and isinstance(value, int):
            return self.graph.insertConstant(float(value))
        if isinstance(value, (list, tuple)) and not value:
            raise TypeError("an empty list does not say of what")
        return self.graph.insertConstant(list(value) if isinstance(value, tuple) else value)

    def __call__(self) -> None:
        if self.run is None:
            self.graph.registerOutput(self.graph.insertConstant(None))
            self.run = torch._C._create_function_from_graph("recorded", self.graph)
        before = torch._C._get_graph_executor_optimize()
        torch._C._set_graph_executor_optimize(False)  # an optimised graph leaves out what nobody seems to read
        try:
            self.run()
        finally:
            torch._C._set_graph_executor_optimize(before)


def number(value: Any, call: Call) -> Tensor:
    """A number given for a tensor, of no weight for the type of the result; TypeError where it would have some."""
    if isinstance(value, Tensor):
        return value
    beside = next((x for x in call.args if isinstance(x, Tensor)), None)
    if beside is None or beside.dtype not in (torch.float32, torch.float64) or not isinstance(value, (int, float)):
        raise TypeError("its type would be that of the result")
    return torch.tensor(value, dtype=torch.float64 if beside.dim() else beside.dtype)


def joined(operations: Iterable[Operation]) -> list[Operation]:
    """The same, with calls that follow each other as graphs wherever TorchScript can hold them."""
    result: list[Operation] = []
    for operation in operations:
        last = result[-1] if result else None
        graph = last if isinstance(last, Graph) else Graph()
        if not (isinstance(operation, Call) and graph.add(operation)):
            result.append(operation)
        elif graph is not last:
            result.append(graph)
    return result
