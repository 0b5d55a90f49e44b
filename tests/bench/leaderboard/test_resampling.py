"""Resampled ranks against all resamples by hand, closed forms, and the clock."""

import itertools
import time

import numpy as np
import pytest
from scipy import stats

from bench.leaderboard.resampling import counts, means, rank_intervals, ranks


def test_few_seeds_have_all_their_resamples() -> None:
    drawn = counts(3)
    assert drawn.shape == (27, 3)
    expected = sorted([list(pick).count(i) for i in range(3)] for pick in itertools.product(range(3), repeat=3))
    assert sorted(drawn.tolist()) == expected
    values = np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]])
    by_hand = [[np.mean([row[i] for i in pick]) for row in values] for pick in itertools.product(range(3), repeat=3)]
    assert means(drawn, values) == pytest.approx(np.array(by_hand))


def test_many_seeds_have_random_resamples_that_repeat() -> None:
    drawn = counts(10, 2000)
    assert drawn.shape == (2000, 10)
    assert (drawn.sum(1) == 10).all()
    assert drawn.mean(0) == pytest.approx(np.ones(10), abs=4 * np.sqrt(0.9 / 2000))  # a count has variance 10 · 0.1 · 0.9
    assert np.array_equal(drawn, counts(10, 2000))
    assert not np.array_equal(drawn, counts(10, 2000, seed=1))


def test_the_spread_of_resampled_means_is_the_plug_in_one() -> None:
    values = np.random.default_rng(0).normal(size=(3, 8))
    found = means(counts(8, 20_000), values).std(0)
    assert found == pytest.approx(values.std(1) / np.sqrt(8), rel=0.03)  # 6 standard errors of a standard deviation


@pytest.mark.filterwarnings("error")
def test_means_of_numbers_whose_sum_is_no_double() -> None:
    values = np.array([[1.5e308, 1.25e308, 1.5e308], [5e-324, 5e-324, 5e-324]])
    assert means(counts(3), values).max(0).tolist() == [1.5e308, 0.0]  # beside 1e308 the least double is nothing
    assert means(counts(3), values[1:]).max(0).tolist() == [5e-324]
    assert [r.tolist() for r in rank_intervals(np.array([[1.5e308] * 3, [-1.5e308] * 3]))] == [[2, 1], [2, 1]]


def test_rank_intervals_by_hand() -> None:
    """b beats a on one of three seeds: of 27 resamples it is ahead in 7, twice or more of that seed. c is last in all."""
    values = np.array([[1.0, 1.0, 1.0], [0.0, 1.6, 1.6], [9.0, 9.0, 9.0]])
    low, high = rank_intervals(values)
    assert (low.tolist(), high.tolist()) == ([1, 1, 3], [2, 2, 3])
    low, high = rank_intervals(values, level=0.4)  # 30 % at either end: more than 7 of 27
    assert (low.tolist(), high.tolist()) == ([1, 2, 3], [1, 2, 3])


def test_equal_rows_share_their_rank_in_every_resample() -> None:
    row = np.random.default_rng(1).normal(size=7)
    values = np.stack([row + 1, *[row] * 5, row + 2])
    low, high = rank_intervals(values)
    assert low.tolist() == high.tolist() == [6, 1, 1, 1, 1, 1, 7]
    assert ranks(np.array([3.0, 1.0, 1.0, 2.0])).tolist() == [4, 1, 1, 3]


def test_an_interval_holds_the_rank_of_the_true_mean() -> None:
    """Rows a standard error apart, 20 seeds: the true rank lies in nearly every interval, and intervals are not all ranks."""
    rng = np.random.default_rng(2)
    held, width = [], []
    for _ in range(60):
        low, high = rank_intervals(rng.normal(size=(6, 20)) + np.arange(6)[:, None] / np.sqrt(20))
        held += ((low <= np.arange(1, 7)) & (np.arange(1, 7) <= high)).tolist()
        width += (high - low).tolist()
    assert np.mean(held) > 0.9
    assert 1 < np.mean(width) < 4.5


def test_a_whole_board_takes_less_than_a_second() -> None:
    columns = np.random.default_rng(3).normal(size=(51, 84, 5))
    stats.rankdata([1.0])  # imports
    before = time.process_time()
    for column in columns:
        rank_intervals(column, resamples=1000)
    assert time.process_time() - before < 1.0
