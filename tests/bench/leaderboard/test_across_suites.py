"""Comparisons over suites against scikit-posthocs, Demšar's printed example and tables, and hand-made scores."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from bench.leaderboard.across_suites import (
    cliques,
    critical_difference,
    interquartile_interval,
    interquartile_mean,
    nemenyi_p,
    probability_best,
)

# AUC of four learners on fourteen data sets: Demšar (2006), table 6
C45 = (0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.94, 0.619, 0.972, 0.957)
C45_M = (0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666, 0.981, 0.978)
C45_CF = (0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614, 0.9751, 0.946)
C45_M_CF = (0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669, 0.975, 0.970)
DEMSAR = -np.array([C45, C45_M, C45_CF, C45_M_CF]).T  # (suites, rows), lower is better


def test_demsars_example() -> None:
    found = critical_difference(DEMSAR)
    assert found.ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.distance == pytest.approx(1.25, abs=0.005)  # he prints 2.569 √(4 · 5 / (6 · 14)) = 1.25
    assert found.p < 0.05
    assert found.cliques == ((3, 1, 2, 0),)  # at 10 %, whose distance he prints as 1.12, two pairs differ
    assert critical_difference(DEMSAR, level=0.1).distance == pytest.approx(1.12, abs=0.005)
    assert critical_difference(DEMSAR, level=0.1).cliques == ((3, 1, 2), (2, 0))


@pytest.mark.parametrize(("rows", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_quantiles_of_demsars_table(rows: int, q: float) -> None:
    scores = np.random.default_rng(0).normal(size=(6, rows))
    assert critical_difference(scores).distance / math.sqrt(rows * (rows + 1) / 36) == pytest.approx(q, abs=1.1e-3)


def test_nemenyi_is_scikit_posthocs() -> None:
    import scikit_posthocs  # which takes seconds

    rng = np.random.default_rng(1)
    for scores in (DEMSAR, rng.normal(size=(8, 6)) + np.arange(6), rng.integers(0, 4, size=(7, 5)).astype(float)):
        assert nemenyi_p(scores) == pytest.approx(scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy(), abs=1e-6)


def test_bars_are_the_maximal_sets_of_which_scikit_posthocs_tells_no_pair_apart() -> None:
    import scikit_posthocs  # which takes seconds

    rng = np.random.default_rng(4)
    several = set()
    for shift in (0.0, 0.4, 0.8):
        scores = rng.normal(size=(15, 6)) + shift * np.arange(6)
        p = scikit_posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
        subsets = (set(rows) for size in range(2, 7) for rows in itertools.combinations(range(6), size))
        alike = [rows for rows in subsets if all(p[a, b] >= 0.05 for a in rows for b in rows if a != b)]
        maximal = [rows for rows in alike if not any(rows < other for other in alike)]
        bars = [set(bar) for bar in critical_difference(scores).cliques]
        assert sorted(map(sorted, bars)) == sorted(map(sorted, maximal))
        several.add(len(bars))
    assert max(several) > 1


def test_mean_ranks_are_bencheval_s() -> None:
    evaluator = pytest.importorskip("bencheval.evaluator", reason="bencheval is not installed: the extra `test` has it")
    import pandas as pd

    rng = np.random.default_rng(5)
    for scores in (DEMSAR + 2, rng.uniform(1, 2, size=(9, 5)), rng.integers(1, 4, size=(7, 6)).astype(float)):
        table = [{"method": str(row), "task": str(suite), "metric_error": scores[suite, row]} for suite, row in np.ndindex(scores.shape)]
        theirs = evaluator.BenchmarkEvaluator(columns_to_agg_extra=None)
        ranks = theirs.compute_rank(theirs.compute_results_per_task(pd.DataFrame(table)))
        assert critical_difference(scores).ranks == pytest.approx([ranks[str(row)] for row in range(scores.shape[1])])


def test_critical_difference_and_p_values_agree() -> None:
    scores = np.random.default_rng(2).normal(size=(12, 5)) + 0.6 * np.arange(5)
    found, p = critical_difference(scores), nemenyi_p(scores)
    apart = np.abs(found.ranks[:, None] - found.ranks) > found.distance
    assert apart.any()
    assert np.array_equal(apart, p < 0.05)


def test_friedmans_p_is_scipys_and_equal_rows_do_not_differ() -> None:
    assert critical_difference(DEMSAR).p == pytest.approx(stats.friedmanchisquare(*DEMSAR.T).pvalue)
    same = critical_difference(np.ones((4, 3)))
    assert (same.p, same.ranks.tolist(), same.cliques) == (1.0, [2.0, 2.0, 2.0], ((0, 1, 2),))
    for bad in (np.ones((4, 2)), np.ones((1, 3)), np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 3.0]])):
        with pytest.raises(ValueError, match="finite"):
            critical_difference(bad)


def test_cliques_are_maximal() -> None:
    assert cliques(np.array([1.0, 1.5, 2.2, 4.0, 4.4]), 1.0) == ((0, 1), (1, 2), (3, 4))
    assert cliques(np.array([4.0, 1.0, 1.1, 1.2]), 1.0) == ((1, 2, 3),)
    assert cliques(np.array([1.0, 3.0]), 1.0) == ()


def test_interquartile_mean_by_hand() -> None:
    scores = [np.array([1.0, 100.0, 3.0, 4.0]), np.array([5.0, 6.0, 2.0, -50.0])]
    assert interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_resampling_is_within_suites() -> None:
    """Two suites of constant scores: no resample can mix them, so nothing varies; pooled ones would."""
    constant = [np.full(5, 1.0), np.full(5, 3.0)]
    assert interquartile_interval(constant) == (2.0, 2.0)
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        scores = [rng.normal(size=10), 5 + rng.normal(size=10), 10 + rng.normal(size=10), rng.normal(size=10) - 5]
        low, high = interquartile_interval(scores, resamples=400)
        held += low <= 2.5 <= high
    assert 0.85 < held / 200 < 0.99


def test_the_interval_of_the_interquartile_mean_is_scipy_s_bootstrap() -> None:
    """scipy resamples each of several samples by itself: that is a bootstrap within suites."""
    rng = np.random.default_rng(6)
    scores = [rng.lognormal(size=12), 3 + rng.normal(size=9), 5 * rng.uniform(size=15)]
    found = interquartile_interval(scores, resamples=20_000)
    pooled = lambda *samples, axis: stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis)
    theirs = stats.bootstrap(scores, pooled, method="percentile", n_resamples=20_000, vectorized=True, rng=np.random.default_rng(7))
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert found == pytest.approx(tuple(theirs.confidence_interval), abs=0.03 * width)


def test_probability_best_by_hand() -> None:
    sure, even = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])
    assert probability_best([sure, sure]).tolist() == [1.0, 0.0]
    assert probability_best([even]).tolist() == [0.5, 0.5]
    swapped = sure[::-1]
    assert probability_best([sure, swapped]).tolist() == [0.5, 0.5]  # mean ranks tie
    assert probability_best([sure, swapped, sure]).tolist() == [1.0, 0.0]
    noisy = np.array([[0.0, 0.0], [-1.0, 3.0]])  # of four draws of two seeds only (0, 0) puts the second row ahead
    assert probability_best([noisy], resamples=4000)[1] == pytest.approx(0.25, abs=0.03)
