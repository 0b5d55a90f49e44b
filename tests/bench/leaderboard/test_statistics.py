"""Intervals, paired tests and best tiers against closed forms, other computations, and simulated seeds."""

import math
import random

import pytest
from scipy import stats

from bench.leaderboard.statistics import best_tier, figures, mean_and_interval, paired_p


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


# t quantiles of a printed table (two-sided 95 %): 1, 2, 4 degrees of freedom
@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        ([1.0, 3.0], 2.0, 12.706),  # s = √2, s / √2 = 1
        ([1.0, 2.0, 3.0], 2.0, 4.303 / math.sqrt(3)),
        ([2.0, 4.0, 4.0, 4.0, 6.0], 4.0, 2.776 * math.sqrt(2) / math.sqrt(5)),
    ],
)
def test_interval_of_a_printed_table(values: list[float], mean: float, half: float) -> None:
    found = mean_and_interval(values)
    assert found[0] == pytest.approx(mean)
    assert found[1] == pytest.approx(half, rel=2e-4)


def test_interval_is_scipys() -> None:
    values = [12.31, 12.4, 12.29, 12.5]
    for level in (0.5, 0.95, 0.999):
        mean, half = mean_and_interval(values, level)
        low, high = stats.t.interval(level, 3, loc=mean, scale=stats.sem(values))
        assert (mean - half, mean + half) == pytest.approx((low, high))


def test_interval_holds_the_mean_95_times_in_100() -> None:
    rng, trials = random.Random(5), 4000
    held = 0
    for _ in range(trials):
        mean, half = mean_and_interval([rng.gauss(3.0, 2.0) for _ in range(5)])
        held += abs(mean - 3.0) <= half
    assert held / trials == pytest.approx(0.95, abs=0.014)  # 4 standard errors; a normal quantile would give 0.88


def test_interval_at_its_edges() -> None:
    assert mean_and_interval([7.5]) == (7.5, None)
    assert mean_and_interval([0.1, 0.1, 0.1]) == (0.1, 0.0)
    assert mean_and_interval([1e200, 3e200])[1] == pytest.approx(12.706e200, rel=1e-4)  # no overflow in the square
    for bad in ([], [1.0, math.nan], [math.inf, 1.0]):
        with pytest.raises(ValueError, match="finite"):
            mean_and_interval(bad)


def test_paired_p_by_hand_and_by_scipy() -> None:
    a, b = [3.0, 4.0, 8.0], [2.0, 2.0, 5.0]  # differences 1, 2, 3: t = 2 √3 with 2 degrees of freedom
    t = 2 * math.sqrt(3)
    assert paired_p(a, b) == pytest.approx(1 - t / math.sqrt(2 + t * t))  # the closed form of Student's t with 2 degrees
    rng = random.Random(1)
    a, b = ([rng.gauss(0, 1) for _ in range(6)] for _ in range(2))
    assert paired_p(a, b) == pytest.approx(stats.ttest_1samp([x - y for x, y in zip(a, b, strict=True)], 0).pvalue)
    assert paired_p(a, b) == pytest.approx(paired_p(b, a))


@pytest.mark.filterwarnings("error")
def test_paired_p_where_the_test_has_no_variance() -> None:
    a = [1.1, 2.3, 4.7]
    assert paired_p(a, a) == 1.0
    assert paired_p(a, [x + 0.1 for x in a]) == 0.0  # the sums round differently: still one difference
    assert paired_p(a, [x * (1 + 1e-15) for x in a]) == 1.0
    assert paired_p([0.0, 0.0], [0.0, 0.0]) == 1.0
    assert paired_p([1.0], [9.0]) == 1.0
    with pytest.raises(ValueError, match="zip"):
        paired_p([1.0, 2.0], [1.0])


def test_pairing_sees_what_seeds_share() -> None:
    """Two methods that differ by 0.1 on every seed, while seeds differ by 10: pairing tells them apart, pooling cannot."""
    a, b = [10.0, 20.01, 30.0, 40.02], [10.1, 20.1, 30.11, 40.1]
    assert paired_p(a, b) < 0.05
    assert stats.ttest_ind(a, b).pvalue > 0.9


def test_a_better_method_is_alone_in_the_tier() -> None:
    rows = {"good": seeds(1.0, 1.1, 0.9, 1.05, 0.95), "bad": seeds(2.0, 2.2, 1.9, 2.1, 2.05), "worse": seeds(3.0, 3.1, 2.9, 3.3, 3.0)}
    assert best_tier(rows, "lower") == {"good"}
    assert best_tier(rows, "higher") == {"worse"}
    assert best_tier(rows, "target") == best_tier(rows, None) == set()


def test_a_method_the_seeds_do_not_tell_apart_shares_the_tier() -> None:
    good = [1.0, 1.1, 0.9, 1.05, 0.95]
    rows = {"good": seeds(*good), "close": seeds(*(v + d for v, d in zip(good, (0.1, -0.1, 0.05, -0.04, 0.02), strict=True)))}
    assert best_tier(rows, "lower") == set()  # both: nothing to mark
    assert best_tier({**rows, "bad": seeds(*(v + 2 + 0.01 * v for v in good))}, "lower") == {"good", "close"}


def test_noise_is_a_tie() -> None:
    rng, trials = random.Random(3), 1000
    two = sum(bool(best_tier({name: seeds(*(rng.gauss(0, 1) for _ in range(5))) for name in "ab"}, "lower")) for _ in range(trials))
    assert two / trials == pytest.approx(0.05, abs=0.028)  # one comparison: the rate itself, 4 standard errors
    nine = sum(bool(best_tier({name: seeds(*(rng.gauss(0, 1) for _ in range(5))) for name in "abcdefghi"}, "lower")) for _ in range(trials))
    assert nine / trials < 0.16  # picking the best first costs something; eight uncorrected tests would give about 0.4


def test_a_true_difference_is_found() -> None:
    rng, trials = random.Random(4), 300
    found = 0
    for _ in range(trials):
        rows = {name: seeds(*(rng.gauss(mean, 1) for _ in range(5))) for name, mean in (("a", 0), ("b", 4), ("c", 4), ("d", 5))}
        found += best_tier(rows, "lower") == {"a"}
    assert found / trials > 0.85


def test_comparisons_are_corrected_for_their_number() -> None:
    """p = 0.03 is a difference when it is one of one comparison, not when it is the smallest of five."""
    best, t = [0.0, 0.0, 0.0, 0.0], stats.t.ppf(1 - 0.03 / 2, 3)
    spread = [1.0, -1.0, 1.0, -1.0]  # s / √n = 1 / √3
    shifted = seeds(*(t / math.sqrt(3) + s for s in spread))
    noise = {f"noise{i}": seeds(*(0.1 + 0.01 * i + s for s in spread)) for i in range(4)}
    assert paired_p(list(shifted.values()), best) == pytest.approx(0.03)
    assert best_tier({"best": seeds(*best), "shifted": shifted}, "lower") == {"best"}
    assert best_tier({"best": seeds(*best), "shifted": shifted, **noise}, "lower") == set()


def test_fewer_than_three_common_seeds_support_nothing() -> None:
    assert best_tier({"a": seeds(1.0, 1.01), "b": seeds(9.0, 9.01)}, "lower") == set()
    apart = {"a": {0: 1.0, 1: 1.01, 2: 1.02}, "b": {1: 9.0, 2: 9.01, 3: 9.02}}
    assert best_tier(apart, "lower") == set()
    assert best_tier({"a": seeds(1.0, 1.01, 1.02), "b": seeds(9.0, 9.03, 9.02), "few": seeds(0.1)}, "lower") == {"a"}
    assert best_tier({"a": seeds(1.0, 2.0, 3.0)}, "lower") == best_tier({}, "lower") == set()


def test_a_row_is_worse_only_on_the_seeds_it_shares() -> None:
    """`half` lost the seeds on which everyone is good: on the others it is ahead, so it is not shown to be worse."""
    whole = {0: 0.0, 1: 0.1, 2: 9.0, 3: 9.1, 4: 9.2}
    half = {2: 8.0, 3: 8.1, 4: 8.21}
    far = {seed: value + 50 + 0.1 * seed for seed, value in whole.items()}
    assert best_tier({"whole": whole, "half": half, "far": far}, "lower") == {"whole", "half"}


def test_order_does_not_matter() -> None:
    rng = random.Random(7)
    rows = {name: seeds(*(rng.gauss(mean, 0.3) for _ in range(5))) for name, mean in (("a", 1), ("b", 1.1), ("c", 2), ("d", 3))}
    expected = best_tier(rows, "lower")
    assert "a" in expected
    assert "d" not in expected
    for _ in range(20):
        names = rng.sample(sorted(rows), len(rows))
        shuffled = {name: dict(rng.sample(sorted(rows[name].items()), 5)) for name in names}
        assert best_tier(shuffled, "lower") == expected
    mirrored = {name: {s: -v for s, v in values.items()} for name, values in rows.items()}
    assert best_tier(mirrored, "higher") == expected
    scaled = {name: {s: 1e6 * v for s, v in values.items()} for name, values in rows.items()}
    assert best_tier(scaled, "lower") == expected


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (12.3412, 0.0512, "12.34 ± 0.05"),
        (12.3412, 5.21, "12.3 ± 5.2"),
        (12.3412, 0.0012, "12.341 ± 0.001"),
        (123456.0, 1234.0, "123,500 ± 1,200"),
        (-0.34, 0.012, "-0.340 ± 0.012"),
        (-0.001, 5.0, "0.0 ± 5.0"),
        (0.0, 0.25, "0.00 ± 0.25"),
        (0.000123, 0.000045, "(1.23 ± 0.45)e-04"),
        (2.5e9, 1.2e8, "(2.50 ± 0.12)e+09"),
        (12.3412, 1e-10, "12.34 ± 1e-10"),
        (12.3412, 0.0, "12.34 ± 0"),
        (12.3412, 1e-15, "12.34 ± 0"),
        (1234567.0, 0.0, "1,234,567 ± 0"),
        (1234567.0, None, "1,234,567"),
        (0.0, None, "0"),
        (0.0, 0.0, "0 ± 0"),
        (12.3456, None, "12.35"),
        (12345.6, None, "12,346"),
        (-0.00012345, None, "-1.234e-04"),
        (1e300, 1e299, "(1.00 ± 0.10)e+300"),
        (1e300, None, "1e+300"),
    ],
)
def test_figures(mean: float, half: float | None, shown: str) -> None:
    assert figures(mean, half) == shown


def test_figures_lose_less_than_the_interval_is_wide() -> None:
    """What is shown, read back, is the mean to within half its half width or a thousandth of itself."""
    rng = random.Random(11)
    for _ in range(500):
        mean, half = rng.uniform(0.01, 1e6), 10 ** rng.uniform(-3, 5)
        if max(mean, half) < 1e7:
            shown = [float(part.replace(",", "")) for part in figures(mean, half).split(" ± ")]
            assert abs(shown[0] - mean) <= max(half / 2, 1e-3 * mean)
            assert shown[1] == pytest.approx(half, rel=0.5)
