"""Axes of the page's drawings: where a value stands, and the round numbers to read it by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

DECADES = 3.0  # times that the largest value is the smallest, from which on a logarithmic axis reads better
FAR = 1e300  # values beyond are drawn there: the difference of two is still a double
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` drawn from `start` to `stop`, in the drawing's unit; all of them may run either way."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> int:
        """Where a value stands, to one unit; one beyond the ends at the end."""
        if self.log:
            share = (math.log(max(value, self.low)) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (min(max(value, -FAR), FAR) - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.stop - self.start))

    def ticks(self) -> list[tuple[int, str]]:
        """Round values between the ends: where they stand, and their text."""
        values = decades(self.low, self.high) if self.log else steps(self.low, self.high)
        return [(self(value), f"{value:g}") for value in values]


def axis(values: Sequence[float], start: float, stop: float, log: bool = True) -> Axis:
    """An axis that holds the values with some room at both ends, logarithmic where they are positive and span much."""
    near = [min(max(value, -FAR), FAR) for value in values]
    low, high = min(near), max(near)
    if log and low > 0 and low * DECADES < high:
        return Axis(low / 1.12, high * 1.12, start, stop, True)
    room = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return Axis(max(0.0, low - room) if low >= 0 else low - room, high + room, start, stop)


def steps(low: float, high: float) -> list[float]:
    """About five multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / TICKS))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs((high - low) / size - TICKS))
    first = math.ceil(low / step)
    return [value for i in range(2 * TICKS) if low <= (value := float(f"{(first + i) * step:.12g}")) <= high]


def decades(low: float, high: float) -> list[float]:
    """Multiples of powers of ten: the fewer a power, the more of them the axis spans."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 1.5, 2, 3, 4, 5, 6, 8) if high / low < 10 else (1, 2, 5) if len(powers) <= 5 else (1,)
    every = max(1, len(powers) // 8)
    return [value for power in powers[::every] for factor in factors if low <= (value := float(f"{factor}e{power}")) <= high]
