"""Sweeps in suite files: `sweep = { weight = [0.1, 1.0] }` makes a row of each value, of several keys one of each combination.

`sweep = [{ weight = 0.1, latent_dim = 4 }, { weight = 1.0, latent_dim = 8 }]` makes a row of each table as it stands. Rows are made
when the file is read: they are ordinary rows with ordinary records, named after their values.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import product
from math import prod
from typing import Any

from bench.errors import UserError

MOST_ROWS = 1000  # of one grid
WORD = re.compile(r"[A-Za-z0-9_+.-]{1,60}")  # of a value in a row's name, which becomes a folder's
Point = Mapping[str, Any]  # {dotted key of a row: its value}


def points(sweep: object, where: str) -> tuple[Point, ...]:
    """The values of each row that a sweep makes, nested tables as dotted keys; UserError names the key that cannot be."""
    if isinstance(sweep, list) and sweep and all(isinstance(table, Mapping) for table in sweep):
        check_count(len(sweep), where)
        return listed(sweep, where)
    found = grid(sweep, where)
    check_count(prod(len(values) for values in found.values()), where)
    return tuple(dict(zip(found, chosen, strict=True)) for chosen in product(*found.values()))


def check_count(rows: int, where: str) -> None:
    """UserError for more rows than a sweep may make."""
    if rows > MOST_ROWS:
        raise UserError(f"{where} makes {rows:,} rows; a grid has at most {MOST_ROWS:,}")


def grid(table: object, where: str) -> dict[str, tuple[Any, ...]]:
    """The keys of a table with the values in their lists."""
    found = dict[str, tuple[Any, ...]]()
    for key, values in leaves(table, where, "must be a table of keys with lists of values, such as { weight = [0.1, 1.0] }"):
        if not isinstance(values, list):
            raise UserError(f"{where}.{key} must be a list of values, not {values!r}; one value needs no grid")
        found[key] = tuple(values)
        check_values(found[key], f"{where}.{key}")
    return found


def listed(tables: Iterable[Mapping[str, Any]], where: str) -> tuple[Point, ...]:
    """The values of tables that stand in a list: all have the same keys, no two have the same values."""
    found = list[Point]()
    for place, table in enumerate(tables):
        one = flat(table, f"{where}[{place}]")
        first = found[0] if found else one
        if one.keys() != first.keys():
            raise UserError(f"{where}[{place}] has the keys {', '.join(one)}; the first has {', '.join(first)}")
        found.append({key: one[key] for key in first})
    names = [name_of("", one) for one in found]
    for place, name in enumerate(names):
        if (before := names.index(name)) < place:
            raise UserError(f"{where}[{place}] has the values of {where}[{before}]")
    return tuple(found)


def flat(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """One value of each key of a table."""
    found = dict(leaves(table, where, "must have at least one value"))
    for key, value in found.items():
        check_values((value,), f"{where}.{key}")
    return found


def leaves(
    table: object, where: str, wanted: str, whole: Callable[[Mapping[str, Any]], object] = lambda value: False
) -> Iterator[tuple[str, Any]]:
    """What stands at the keys of a table, of tables in it at their dotted keys; UserError for one that is empty or none.

    wanted: what the table must be. whole: whether a table in it is itself what stands there.
    """
    if not isinstance(table, Mapping) or not table:
        raise UserError(f"{where} {wanted}, not {table!r}")
    for key, value in table.items():
        if not WORD.fullmatch(key):
            raise UserError(f"{where}.{key!r}: a key names rows with its values, so it is letters, digits and _ . -")
        if isinstance(value, Mapping) and not whole(value):
            yield from ((f"{key}.{inner}", of) for inner, of in leaves(value, f"{where}.{key}", wanted, whole))
        else:
            yield key, value


def check_values(values: tuple[Any, ...], where: str) -> None:
    """UserError unless each of the values, of which there is at least one, can stand in a name of its own."""
    if not values:
        raise UserError(f"{where} must have at least one value, not []")
    names = [word(value) for value in values]
    for value, name in zip(values, names, strict=True):
        if name is None or not WORD.fullmatch(name):
            allowed = "a number, true, false, or a text or list of letters, digits and _ + . -"
            raise UserError(f"{where}: a value names a row, so it is {allowed}, not {value!r:.80}")
        if names.count(name) > 1:
            raise UserError(f"{where}: the value {name} stands there twice")


def word(value: Any) -> str | None:
    """A value as it stands in a row's name: 0.1, rbf, true, 64x64; None for one that cannot."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, list):
        parts = [word(item) for item in value]
        return None if None in parts else "x".join(map(str, parts))
    return str(value) if isinstance(value, (int, str)) else None


def expand(label: str, row: Mapping[str, Any], values: Iterable[Point]) -> dict[str, dict[str, Any]]:
    """The tables of the rows that a sweep makes of one, by their names: `vcae weight=0.1`, in the order of the sweep."""
    made = dict[str, dict[str, Any]]()
    for chosen in values:
        table = deepcopy(dict(row))
        for key, value in chosen.items():
            put(table, key.split("."), value, f"methods.{label}.{key}")
        made[name_of(label, chosen)] = table
    return made


def name_of(label: str, point: Point) -> str:
    """What a row with these values is called."""
    return " ".join([label, *(f"{key}={word(value)}" for key, value in point.items())])


def put(table: dict[str, Any], path: list[str], value: Any, where: str) -> None:
    """Set the value at the end of that path of nested tables; a budget is one key, so that a new one takes the old one's place."""
    *parents, last = path
    for name in parents:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise UserError(f"{where} cannot be swept: {name} is a value, it has no key {last!r}")
    if parents[-1:] == ["budget"]:
        table.clear()
    table[last] = value


def check_not_said(label: str, row: Mapping[str, Any], keys: Iterable[str]) -> None:
    """UserError for a key of the sweep that the row sets too, outside its preset: one of the two would be lost without a word."""
    for key in keys:
        found: Any = row
        for name in key.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is not None:
            raise UserError(f"methods.{label}.{key} is {found!r} there and swept over; leave one of the two out")


def group(label: str) -> str:
    """The row of the suite file that a row was made of: `vcae` of `vcae weight=0.1`, and of itself."""
    return label.partition(" ")[0]
