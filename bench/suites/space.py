"""Spaces of searches in suite files: `search = { weight = { low = 0.1, high = 10.0, log = true }, kernel = ["imq", "rbf"] }`.

What such a table says is the ranges and lists alone; proposing values of them is for the command `search`.
"""

from collections.abc import Mapping
from typing import Any

from bench.errors import UserError
from bench.suites.schema import Range, Space
from bench.suites.sweep import Point, check_values, leaves, word
from bench.suites.values import build

WANTED = (
    "must be a table of keys with ranges or lists of values, "
    'such as { weight = { low = 0.1, high = 10.0, log = true }, kernel = ["imq", "rbf"] }'
)


def space(table: object, where: str) -> Space:
    """The keys of a [methods.NAME.search] table with their ranges and lists, nested tables as dotted keys; UserError names the key."""
    found = dict[str, Range | tuple[Any, ...]]()
    for key, values in leaves(table, where, WANTED, whole=lambda value: {"low", "high", "log"} & value.keys()):
        of = f"{where}.{key}"
        if isinstance(values, Mapping):
            found[key] = range_of(values, of)
        elif isinstance(values, list):
            check_values(tuple(values), of)
            found[key] = tuple(values)
        else:
            raise UserError(f"{of} must be a range, {{ low = …, high = … }}, or a list of values, not {values!r}")
    return found


def range_of(table: Mapping[str, Any], where: str) -> Range:
    """A range of whole numbers where both its ends are, of any between them otherwise."""
    found: Range = build(Range, table, where)
    if not found.low < found.high:
        raise UserError(f"{where}: low must be below high, not {found.low:g} and {found.high:g}")
    if found.log and found.low <= 0:
        raise UserError(f"{where}: low must be above 0 where log is true, not {found.low:g}")
    if all(isinstance(table[end], int) for end in ("low", "high")):
        return Range(table["low"], table["high"], found.log)
    return found


def inside(point: Point, of: Space) -> bool:
    """Whether values are a space's."""
    return point.keys() == of.keys() and all(has(of[key], value) for key, value in point.items())


def has(of: Range | tuple[Any, ...], value: Any) -> bool:
    """Whether a value is one of a range or a list."""
    if not isinstance(of, Range):
        return word(value) in map(word, of)
    kinds = int if isinstance(of.low, int) else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and of.low <= value <= of.high
