"""Values of suite files as the types that they have to be, tables as dataclasses; one clear line on what cannot be converted."""

import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from math import isfinite
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bench.errors import UserError, unknown
from bench.suites.schema import Budget, Entry, Optimizer, Select


def build(cls: type, table: Mapping[str, Any], where: str, **given: Any) -> Any:
    """An instance of dataclass `cls` from a table whose keys are its fields but for those `given`."""
    hints = get_type_hints(cls)
    allowed = {f.name: f for f in fields(cls) if f.name not in given}
    for key in table:
        if key not in allowed:
            raise UserError(unknown("key", f"{where}.{key}".strip("."), [f"{where}.{name}".strip(".") for name in allowed]))
    for name, f in allowed.items():
        if name not in table and f.default is MISSING and f.default_factory is MISSING:
            raise UserError(f"missing key {f'{where}.{name}'.strip('.')!r} ({type_name(hints[name])})")
    values = {key: convert(value, hints[key], f"{where}.{key}".strip(".")) for key, value in table.items()}
    try:
        return cls(**values, **given)
    except UserError as error:
        place = where if cls is Entry else where.rpartition(".")[0]  # a budget's and an optimizer's own errors begin with their name
        raise UserError(f"{place}.{error}".strip(".")) from None


def check_storable(value: Any, where: str) -> None:
    """UserError for what no record could hold: a date, a number that is not finite or has more than 64 bits, half a character.

    where: the dotted key of the value; "" for the table of a whole file.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            check_storable(key, f"the name {key!r}")
            check_storable(inner, f"{where}.{key}".strip("."))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            check_storable(inner, f"{where}[{place}]")
    elif isinstance(value, float) and not isfinite(value):
        raise UserError(f"{where} must be finite, not {value:g}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise UserError(f"{where} is too large")
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise UserError(f"{where} has a text with half a character, {value!r:.40}; write it in UTF-8")
    elif not isinstance(value, (bool, int, float, str)):
        raise UserError(f"{where} must be a number, a text, true or false, a list or a table, not the date or time {value}")


def convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as type `hint`, or UserError with the key, the value and what is allowed."""
    shown = list(value) if isinstance(value, tuple) else value  # a row's lists are tuples by now
    wrong = UserError(f"{where} must be {type_name(hint)}, not {shown!r}")
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kind, *others = (arg for arg in args if arg is not type(None))
        if isinstance(value, str) and any(value in get_args(other) for other in others):
            return value  # one of the words that may stand for it
        if any(get_origin(other) is Literal for other in others) and not isinstance(value, (int, float)):
            raise wrong
        return convert(value, kind, where)
    if origin is Literal:
        if value not in args:
            raise wrong
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise wrong
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(convert(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(value, kinds, strict=True)))
    if hint in (Budget, Optimizer, Select):
        if not isinstance(value, dict):
            raise wrong
        return build(hint, value, where)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # nan too; an integer may be larger than any float
            raise UserError(f"{where} must be finite, not {value:g}" if isinstance(value, float) else f"{where} is too large")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise wrong
    return value


MANY = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}


def type_name(hint: Any) -> str:
    """A type as a sentence has it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kind, *others = (arg for arg in args if arg is not type(None))
        return " or ".join([type_name(kind), *(repr(word) for other in others if get_origin(other) is Literal for word in get_args(other))])
    if origin is Literal:
        return "one of " + ", ".join(repr(arg) for arg in args)
    if origin is tuple:
        return (
            f"a list of {MANY.get(type_name(args[0]), 'tables')}"
            if args[-1] is Ellipsis
            else f"a list [{', '.join(type_name(arg) for arg in args)}]"
        )
    return {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        Budget: "a table with one of steps, epochs, images, seconds",
    }.get(hint, "a table")
