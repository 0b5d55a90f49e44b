"""Calls of operations joined to graphs do what they do one by one, whatever TorchScript would make of them by itself."""

import weakref

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.script import Call, Graph, joined

ATEN = torch.ops.aten


def add(x: Tensor, y: Tensor, out: Tensor) -> Call:
    return Call(ATEN.add.out, (x, y), {"out": out})


def test_calls_that_follow_each_other_are_one_graph_and_the_rest_stays_where_it_is() -> None:
    a, b, c, d = (torch.zeros(2) for _ in range(4))
    seen: list[list[float]] = []
    calls = [Call(ATEN.fill_.Scalar, (a, 1), {}), add(a, a, b), lambda: seen.append(b.tolist()), add(a, b, c), add(b, c, d)]
    operations = joined(calls)
    assert [type(x) for x in operations] == [Graph, type(calls[2]), Graph]
    for operation in operations:
        operation()
    assert (seen, c.tolist(), d.tolist()) == ([[2, 2]], [3, 3], [5, 5])


def test_each_call_of_a_graph_is_done_each_time_though_nobody_in_it_reads_the_result() -> None:
    """TorchScript would leave such calls out, and take constants for constant."""
    x, y, z = torch.ones(2), torch.zeros(2), torch.zeros(2)
    (graph,) = joined([add(x, x, y), add(y, x, z), Call(ATEN.add_.Tensor, (x, z), {})])
    for before in (True, False):
        torch._C._set_graph_executor_optimize(before)
        try:
            for _ in range(3):
                old = x.tolist()
                graph()
                assert (y.tolist(), z.tolist(), x.tolist()) == tuple([k * value for value in old] for k in (2, 3, 4))
            assert torch._C._get_graph_executor_optimize() == before
        finally:
            torch._C._set_graph_executor_optimize(True)


def test_arguments_of_every_kind() -> None:
    noise, same = (torch.Generator().manual_seed(4) for _ in range(2))
    x, total, drawn, flat, means = torch.ones(2, 3), torch.zeros(3), torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2)
    steps, squares = [torch.zeros(()) for _ in range(2)], [torch.zeros(3), torch.zeros(2)]
    operations = joined(
        [
            Call(ATEN.uniform_.default, (drawn, 0, 1), {"generator": noise}),  # whole numbers for floats
            Call(ATEN.sum.IntList_out, (x, [0]), {"out": total}),
            Call(ATEN.mean.out, (x, (1,)), {"keepdim": False, "dtype": torch.float32, "out": means}),
            Call(ATEN._foreach_add_.Scalar, (steps, 1), {}),
            Call(ATEN.copy_.default, (squares[0], total), {}),
            Call(ATEN.normal.float_float_out, (1.0, 0.0, [2, 3]), {"generator": None, "out": flat}),
        ]
    )
    assert [type(x) for x in operations] == [Graph]
    for _ in range(2):
        operations[0]()
        assert drawn.tolist() == torch.rand(2, 3, generator=same).tolist()
    assert (total.tolist(), means.tolist(), squares[0].tolist()) == ([2, 2, 2], [1, 1], [2, 2, 2])
    assert ([step.item() for step in steps], flat.tolist()) == ([2, 2], [[1, 1, 1]] * 2)


@pytest.mark.parametrize(
    "call",
    [
        Call(
            ATEN._fused_adam_.default, ([], [], [], [], [], []), {"lr": 0.1, "beta1": 0.9, "beta2": 0.9, "weight_decay": 0.0, "eps": 1e-8}
        ),
        Call(ATEN.sum.IntList_out, (torch.ones(2), 0), {"out": torch.zeros(())}),
        Call(ATEN.clone.default, (torch.ones(2),), {"memory_format": torch.contiguous_format}),
    ],
    ids=["an empty list", "a number for a list", "a memory format"],
)
def test_what_a_graph_cannot_hold_stays_a_call(call: Call) -> None:
    assert joined([call]) == [call]
    assert joined([add(*[torch.ones(1)] * 3), call, call])[1:] == [call, call]


def test_an_operation_that_fails_says_so() -> None:
    (graph,) = joined([add(torch.ones(2), torch.ones(3), torch.zeros(2))])
    with pytest.raises(RuntimeError, match="must match the size"):
        graph()
    assert torch._C._get_graph_executor_optimize()


def test_a_graph_keeps_memory_as_long_as_it_lives() -> None:
    array = np.ones(3, dtype=np.float32)
    held, operations = weakref.ref(array), joined([add(*[torch.from_numpy(array)] * 3)])
    del array
    operations[0]()
    assert held() is not None
    assert held().tolist() == [2, 2, 2]
    operations.clear()
    assert held() is None
