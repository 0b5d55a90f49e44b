"""Grids in suite files: `sweep = { weight = [0.1, 1.0] }` makes a row of each value, of several keys one of each combination.

Rows are made when the file is read: what comes of a grid are ordinary rows with ordinary records, named after their values.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from itertools import product
from math import prod
from typing import Any

from bench.errors import UserError

MOST_ROWS = 1000  # of one grid
WORD = re.compile(r"[A-Za-z0-9_+.-]{1,60}")  # of a value in a row's name, which becomes a folder's
Grid = Mapping[str, tuple[Any, ...]]  # {dotted key of a row: its values}


def grid(table: object, where: str) -> Grid:
    """The keys of a [sweep] table with their values, nested tables as dotted keys; UserError names the key that cannot be."""
    if not isinstance(table, Mapping) or not table:
        raise UserError(f"{where} must be a table of keys with lists of values, such as {{ weight = [0.1, 1.0] }}, not {table!r}")
    found = dict[str, tuple[Any, ...]]()
    for key, values in table.items():
        if not WORD.fullmatch(key):
            raise UserError(f"{where}.{key!r}: a key names rows with its values, so it is letters, digits and _ . -")
        if isinstance(values, Mapping):
            found |= {f"{key}.{inner}": of for inner, of in grid(values, f"{where}.{key}").items()}
        elif not isinstance(values, list):
            raise UserError(f"{where}.{key} must be a list of values, not {values!r}; one value needs no grid")
        else:
            found[key] = tuple(values)
            check_values(found[key], f"{where}.{key}")
    if (rows := prod(len(values) for values in found.values())) > MOST_ROWS:
        raise UserError(f"{where} makes {rows:,} rows; a grid has at most {MOST_ROWS:,}")
    return found


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


def expand(label: str, row: Mapping[str, Any], values: Grid) -> dict[str, dict[str, Any]]:
    """The tables of the rows that a grid makes of one, by their names: `vcae weight=0.1`, in the order of the grid."""
    made = dict[str, dict[str, Any]]()
    for chosen in product(*values.values()):
        table = deepcopy(dict(row))
        for key, value in zip(values, chosen, strict=True):
            put(table, key.split("."), value, f"methods.{label}.{key}")
        made[" ".join([label, *(f"{key}={word(value)}" for key, value in zip(values, chosen, strict=True))])] = table
    return made


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


def check_not_said(label: str, row: Mapping[str, Any], values: Grid) -> None:
    """UserError for a key of the grid that the row sets too, outside its preset: one of the two would be lost without a word."""
    for key in values:
        found: Any = row
        for name in key.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is not None:
            raise UserError(f"methods.{label}.{key} is {found!r} there and swept over; leave one of the two out")


def group(label: str) -> str:
    """The row of the suite file that a row was made of: `vcae` of `vcae weight=0.1`, and of itself."""
    return label.partition(" ")[0]
