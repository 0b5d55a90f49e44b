"""Vendi score: its known values, and the formula on the whole kernel."""

import math

import pytest
import torch
from small_methods import normal, rows

from metrics.metric import Unavailable
from metrics.vendi import vendi


def test_it_counts_images_that_differ() -> None:
    one = normal(1, 5)
    assert vendi(one.expand(7, -1)).item() == pytest.approx(1)
    assert vendi(3 * torch.eye(6)).item() == pytest.approx(6)
    assert vendi(torch.eye(6).repeat(4, 1)).item() == pytest.approx(6)  # four times each
    two = torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 2]])
    assert vendi(two).item() == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))


@pytest.mark.parametrize("size", [(9, 4), (5, 12)])
def test_it_is_the_formula_on_the_whole_kernel(size: tuple[int, int]) -> None:
    x = normal(*size, seed=1)
    kernel = [[sum(a * b for a, b in zip(p, q, strict=True)) / math.hypot(*p) / math.hypot(*q) for q in rows(x)] for p in rows(x)]
    spectrum = torch.linalg.eigvalsh(torch.tensor(kernel, dtype=torch.float64) / len(x)).clamp(min=0).tolist()
    assert vendi(x).item() == pytest.approx(math.exp(-sum(v * math.log(v) for v in spectrum if v > 1e-12)))


def test_a_collapsed_generator_is_below_an_even_one_and_noise_above_both() -> None:
    modes = normal(10, 20, seed=1)
    even, collapsed = modes[torch.arange(500) % 10], modes[torch.arange(500) % 2]
    assert vendi(collapsed) < 2.1 < vendi(even) < vendi(even + normal(500, 20, seed=2))


def test_rows_that_are_not_finite_are_refused() -> None:
    with pytest.raises(Unavailable, match="1 of 3 rows of features"):
        vendi(torch.tensor([[1.0, 2], [math.nan, 1], [0, 1]]))
