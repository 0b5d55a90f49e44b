"""What a handful of training seeds supports: an interval for a mean, and the digits that an interval leaves.

Interval: Student (1908), mean ± t_{n-1}((1 + level) / 2) s / √n. Digits of an interval: Particle Data Group, Review of Particle
Physics, Introduction 5.3, Rounding: two if its three highest-order digits lie between 100 and 354, else one.
"""

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import cache

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

ROUNDING = 1e-12  # relative; differences closer than this are one difference, computed in floating point
Values = Sequence[float] | np.ndarray


def binary_scale(values: Values) -> int:
    """The power of two to divide values by, so that their sums and sums of squares neither overflow nor vanish; 0 for usual ones."""
    largest = float(np.abs(values).max(initial=0.0)) if isinstance(values, np.ndarray) else max(map(abs, values), default=0.0)
    exponent = math.frexp(largest)[1]
    return exponent - min(max(exponent, -400), 400)


def mean(values: Values) -> float:
    """The mean, also of values whose sum is no double."""
    scale = binary_scale(values)
    return float(np.ldexp(np.mean(np.ldexp(values, -scale)), scale))


def mean_and_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """The mean and the half width of its t interval, both in the values' unit.

    One value supports no interval: its half width is None. A half width above the largest double is infinity. Raises ValueError
    for no value or one that is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"an interval needs at least one value, all finite, not {list(values)}")
    n, scale = len(values), binary_scale(values)
    if min(values) == max(values):
        return values[0], None if n == 1 else 0.0
    scaled = [math.ldexp(value, -scale) for value in values]
    mean = math.fsum(scaled) / n
    deviation = math.hypot(*(value - mean for value in scaled)) / math.sqrt(n - 1)
    half = quantile(n - 1, level) * deviation / math.sqrt(n)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(mean, scale)), float(np.ldexp(half, scale))


@cache
def quantile(freedom: int, level: float) -> float:
    """Student's t that is exceeded on either side with the probability 1 - level."""
    return float(scipy.stats.t.ppf((1 + level) / 2, freedom))


def figures(mean: float, half: float | None = None, digits: int = 2) -> str:
    """`12.34 ± 0.05`: about four digits of the mean, and no digit beyond those that the interval's half width supports.

    `digits`: 1 leaves the half width one digit in any case, for narrow columns; 2 follows the rule above.

    Sizes below 0.001 and from ten millions on have an exponent: `(1.23 ± 0.12)e-04`. A number without an interval is shown with
    four digits, a whole one with all of them; an interval that is infinite is said to be over the largest double.
    """
    if half is not None and math.isinf(half):
        return f"{figures(mean)} ± over 1.8e+308"  # the largest double
    half = 0.0 if half is not None and half <= ROUNDING * abs(mean) else half
    size = max(abs(mean), half or 0.0)
    whole = mean == round(mean) and not half and size < 1e15
    if not size or whole or 1e-3 <= size < 1e7:
        return plain(mean, half, digits)
    power = magnitude(size, 17)
    inner = plain(shifted(mean, power), half and shifted(half, power), digits)
    if inner.lstrip("-").startswith("10."):  # rounded up: 9.9999 is shown as 10.00
        power += 1
        inner = plain(shifted(mean, power), half and shifted(half, power), digits)
    return (inner if half is None else f"({inner})") + f"e{power:+03d}"


def plain(mean: float, half: float | None, digits: int = 2) -> str:
    """A mean and its half width without an exponent."""
    if not half:
        places = 0 if mean == round(mean) else max(0, 3 - magnitude(mean))
        return f"{mean:,.{places}f}" + ("" if half is None else " ± 0")
    lead, power = f"{half:.{0 if digits == 1 else 2}e}".split("e")
    first = -int(power)  # the place of the half width's first digit
    places = min(first + (digits > 1 and float(lead) < 3.55), max(3 - magnitude(mean or half), first))
    if places > 8:
        return f"{figures(mean)} ± {half:.0e}"
    rounded = [round(value, places) + 0.0 for value in (mean, half)]  # + 0.0: no -0
    return " ± ".join(f"{value:,.{max(0, places)}f}" for value in rounded)


def magnitude(value: float, digits: int = 4) -> int:
    """The power of ten of a number rounded to so many digits: 3 of 1234, -3 of 0.00099999, 0 of 0."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def shifted(value: float, power: int) -> float:
    """A number over a power of ten, which need not be a double itself."""
    return float(Decimal(value).scaleb(-power))
