"""The kernel distance: loops, torch-fidelity, the expectation of subsets, its sign."""

import numpy as np
import others
import pytest
import torch
from small_methods import normal
from torch import Tensor

from metrics import kernel_distance as module
from metrics.kernel_distance import kernel_distance


def by_loops(a: Tensor, b: Tensor) -> float:
    X, Y, D = a.tolist(), b.tolist(), a.shape[1]

    def k(x: list[float], y: list[float]) -> float:
        return (sum(p * q for p, q in zip(x, y, strict=True)) / D + 1) ** 3

    xx = sum(k(x, y) for i, x in enumerate(X) for j, y in enumerate(X) if i != j) / (len(X) * (len(X) - 1))
    yy = sum(k(x, y) for i, x in enumerate(Y) for j, y in enumerate(Y) if i != j) / (len(Y) * (len(Y) - 1))
    return xx + yy - 2 * sum(k(x, y) for x in X for y in Y) / (len(X) * len(Y))


@pytest.mark.parametrize(("n", "m"), [(12, 9), (5, 14)])
def test_it_is_the_formula(n: int, m: int) -> None:
    a, b = normal(n, 4, seed=1), 1.5 * normal(m, 4, seed=2) + 0.3
    assert kernel_distance(a, b).item() == pytest.approx(by_loops(a, b), rel=1e-10)


def test_on_one_subset_of_everything_it_is_torch_fidelitys() -> None:
    a, b = normal(120, 16, seed=1), normal(120, 16, seed=2) + 0.2
    assert kernel_distance(a, b).item() == pytest.approx(others.kid(a, b, 120), rel=1e-6)


def test_it_is_what_their_subsets_estimate() -> None:
    a, b = normal(400, 8, seed=1), normal(400, 8, seed=2) + 0.5
    values = np.array([others.kid(a[start::10], b[start::10], 40) for start in range(10)])
    assert kernel_distance(a, b).item() == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(10))


def test_it_is_unbiased_so_of_one_distribution_it_is_about_zero_and_sometimes_below() -> None:
    found = np.array([kernel_distance(normal(60, 5, seed=i), normal(60, 5, seed=1000 + i)).item() for i in range(40)])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(40)
    assert found.min() < 0 < found.max()
    assert kernel_distance(normal(60, 5, seed=1), normal(60, 5, seed=2) + 1).item() > 10 * found.std()


@pytest.mark.parametrize("chunk", [1, 13])
def test_chunks_and_order_do_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(40, 6, seed=1).float() + 5, normal(30, 6, seed=2).float() + 5
    found = kernel_distance(a, b).item()
    monkeypatch.setattr(module, "CHUNK", chunk)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert kernel_distance(a[order], b).item() == pytest.approx(found, rel=1e-9)
