"""What a handful of training seeds supports: an interval for a mean, and which rows may be called best.

Interval: Student (1908), mean ± t_{n-1}((1 + level) / 2) s / √n. Comparison: t test of the differences seed by seed.
Several comparisons at once: Benjamini and Hochberg, J. R. Stat. Soc. B 57 (1995) 289, their step-up procedure (1).
"""

import math
from collections.abc import Mapping, Sequence

import scipy  # which imports scipy.stats at its first use, for half a second

MIN_SEEDS = 3  # with two, a paired test has one degree of freedom: it calls nearly nothing a difference
RATE = 0.05  # false discoveries among the differences called real
ROUNDING = 1e-12  # relative; differences closer than this are one difference, computed in floating point


def mean_and_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None]:
    """The mean and the half width of its t interval, both in the values' unit.

    One value supports no interval: its half width is None. Raises ValueError for no value or one that is not finite.
    """
    if not values or not all(map(math.isfinite, values)):
        raise ValueError(f"an interval needs at least one value, all finite, not {list(values)}")
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return mean, None
    if min(values) == max(values):
        return values[0], 0.0
    deviation = math.hypot(*(value - mean for value in values)) / math.sqrt(n - 1)
    return mean, float(scipy.stats.t.ppf((1 + level) / 2, n - 1)) * deviation / math.sqrt(n)


def paired_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p value of the paired t test of mean(a) = mean(b); a[i] and b[i] share a seed.

    Where the test has no variance to divide by: 1 if all differences are zero, 0 if all are one other number.
    1 as well for fewer than two pairs. Raises ValueError if the lengths differ.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(differences) < 2:
        return 1.0
    negligible = ROUNDING * max(map(abs, (*a, *b)))
    if max(differences) - min(differences) <= negligible:
        return 1.0 if max(map(abs, differences)) <= negligible else 0.0
    return float(scipy.stats.ttest_rel(a, b).pvalue)


def best_tier(rows: Mapping[str, Mapping[int, float]], better: str | None) -> set[str]:
    """The row with the best mean, and those that the seeds do not show to be worse; {row: {seed: value}} -> rows.

    `better` is lower or higher; for anything else the tier is empty. A row is worse if it is so on the seeds it shares
    with the best, by the paired t test, at a false discovery rate of 5 % over the comparisons made here. Rows of fewer
    than 3 seeds take no part. Empty as well if a comparison has fewer than 3 common seeds, or if nobody is worse: a tie.

    The best row is picked by looking at the same values, so equal rows are called different more often than the rate says.
    """
    if better not in ("lower", "higher"):
        return set()
    sign = 1.0 if better == "lower" else -1.0
    losses = {row: {s: sign * v for s, v in seeds.items()} for row, seeds in rows.items() if len(seeds) >= MIN_SEEDS}
    if len(losses) < 2:
        return set()
    best = min(losses, key=lambda row: (math.fsum(losses[row].values()) / len(losses[row]), row))
    others = sorted(set(losses) - {best})
    common = {row: sorted(losses[row].keys() & losses[best].keys()) for row in others}
    if min(map(len, common.values())) < MIN_SEEDS:
        return set()
    pairs = {row: ([losses[row][s] for s in common[row]], [losses[best][s] for s in common[row]]) for row in others}
    adjusted = scipy.stats.false_discovery_control([paired_p(*pairs[row]) for row in others], method="bh")
    behind = [math.fsum(pairs[row][0]) > math.fsum(pairs[row][1]) for row in others]
    worse = {row for row, p, more in zip(others, adjusted, behind, strict=True) if more and p <= RATE}
    return set(losses) - worse if worse else set()


def figures(mean: float, half: float | None = None) -> str:
    """`12.34 ± 0.05`: about four digits of the mean, at most two of the interval's half width, at least one."""
    half = 0.0 if half is not None and half <= ROUNDING * abs(mean) else half
    size = max(abs(mean), half or 0.0)
    whole = mean == round(mean) and not half and size < 1e15
    if size and not whole and not 1e-3 <= size < 1e7:
        power = math.floor(math.log10(size))
        inner = figures(mean / 10.0**power, None if half is None else half / 10.0**power)
        return (inner if half is None else f"({inner})") + f"e{power:+03d}"
    if not half:
        places = 0 if whole else max(0, place(mean, 4))
        return f"{mean:,.{places}f}" + ("" if half is None else " ± 0")
    places = min(place(half, 2), max(place(mean or half, 4), place(half, 1)))
    if places > 8:
        return f"{figures(mean)} ± {half:.0e}"
    rounded = [round(value, places) + 0.0 for value in (mean, half)]  # + 0.0: no -0
    return " ± ".join(f"{value:,.{max(0, places)}f}" for value in rounded)


def place(value: float, digits: int) -> int:
    """Decimal places that show so many significant digits of a number that is not 0; negative: tens, hundreds."""
    return digits - 1 - math.floor(math.log10(abs(value)))
