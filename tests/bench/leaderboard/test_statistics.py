"""Intervals against closed forms, other computations and simulated seeds; and how they are written."""

import math
import random

import pytest
from scipy import stats

from bench.leaderboard.statistics import figures, mean, mean_and_interval


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


def test_an_interval_of_numbers_whose_sum_or_squares_are_no_doubles() -> None:
    """The same numbers, scaled by a power of two: the answer is scaled by it, whatever it is."""
    values = [1.25, 1.5, 1.375]
    mean_of, half = mean_and_interval(values)
    for power in (1023, 600, -600, -1000):
        assert mean_and_interval([math.ldexp(v, power) for v in values]) == (math.ldexp(mean_of, power), math.ldexp(half, power))
        assert mean([math.ldexp(v, power) for v in values]) == math.ldexp(mean_of, power)
    assert mean_and_interval([1.5e308, -1.5e308]) == (0.0, math.inf)
    assert mean_and_interval([5e-324, 5e-324]) == (5e-324, 0.0)
    assert mean([1.5e308] * 3) == 1.5e308
    assert math.isnan(mean([1.0, math.nan]))


@pytest.mark.parametrize(
    ("mean", "half", "shown"),
    [
        (12.3412, 0.0512, "12.34 ± 0.05"),
        (12.3412, 5.21, "12 ± 5"),
        (12.3412, 0.0012, "12.341 ± 0.001"),
        (123456.0, 1234.0, "123,500 ± 1,200"),
        (-0.34, 0.012, "-0.340 ± 0.012"),
        (-0.001, 5.0, "0 ± 5"),
        (0.0, 0.25, "0.00 ± 0.25"),
        (0.000123, 0.000032, "(1.23 ± 0.32)e-04"),
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
        (0.00099999, None, "1.000e-03"),
        (-0.00099999, 0.00001, "(-1.000 ± 0.010)e-03"),
        (0.00099999, 1e-8, "(9.9999 ± 0.0001)e-04"),
        (9999999.9, None, "10,000,000"),
        (0.0999999, 0.00096, "0.1000 ± 0.0010"),  # 960: rounds up to 1000, of which two digits are kept
        (1.23412, 0.0354, "1.234 ± 0.035"),
        (1.23412, 0.0356, "1.23 ± 0.04"),
        (1234.5, 99.7, "1,230 ± 100"),
        (1.5e308, None, "1.500e+308"),
        (5e-324, None, "4.941e-324"),
        (5e-324, 5e-324, "(5 ± 5)e-324"),
        (0.0, math.inf, "0 ± over 1.8e+308"),
        (1e160, 1e158, "(1.000 ± 0.010)e+160"),
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
