"""Pareto fronts against loops and hand-made points, and the chance to be on one against all resamples."""

import itertools

import numpy as np
import pytest

from bench.leaderboard.pareto import front, probability_on_front


def test_front_by_hand() -> None:
    points = np.array([[1.0, 5.0], [2.0, 2.0], [5.0, 1.0], [3.0, 3.0], [2.0, 5.0], [2.0, 2.0]])
    assert front(points).tolist() == [True, True, True, False, False, True]  # equal points together
    assert front(np.array([[1.0, np.nan], [2.0, 2.0]])).tolist() == [False, True]
    assert front(np.array([[3.0], [1.0], [2.0]])).tolist() == [False, True, False]  # one objective: the minimum


def test_front_is_that_of_loops() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        points = rng.integers(0, 5, size=(12, 3)).astype(float)

        def beaten(i: int, points: np.ndarray = points) -> bool:
            return any(all(a <= b for a, b in zip(q, points[i], strict=True)) and tuple(q) != tuple(points[i]) for q in points)

        assert front(points).tolist() == [not beaten(i) for i in range(12)]


def test_probability_is_the_share_of_all_resamples() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, 5, 3))
    picks = list(itertools.product(range(3), repeat=3))
    expected = np.mean([front(values[:, :, list(pick)].mean(-1).T) for pick in picks], axis=0)
    assert probability_on_front(values) == pytest.approx(expected)
    assert 0 < expected.min() < 1 or 0 < expected.max() <= 1


def test_objectives_share_their_seeds() -> None:
    """Row b gains in one objective what it loses in the other, seed by seed: if draws are common it is always on the front."""
    shift = np.array([3.0, -1.0, -1.5])
    zero = np.zeros(3)
    values = np.array([[zero, shift], [zero, -shift]])
    assert probability_on_front(values).tolist() == [1.0, 1.0]


def test_a_sure_front_is_sure() -> None:
    rng = np.random.default_rng(2)
    values = 0.01 * rng.normal(size=(2, 3, 8)) + np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]])[:, :, None]
    assert probability_on_front(values, resamples=500).tolist() == [1.0, 1.0, 0.0]
