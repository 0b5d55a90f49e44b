"""Whether what a file holds is a record: the types in record.py are the rules, and the first field that breaks one is named."""

import math
from collections.abc import Callable, Mapping, Sequence, Set
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from bench.suites.schema import canonical

Rule = Callable[[Any], bool]
WORDS = {int: "an integer", float: "a finite number", str: "a text", bool: "true or false", NoneType: "null"}


def check(record: Any, kind: Any) -> None:
    """ValueError that names the first field of `record` that is not as the TypedDict `kind` has it, or that no file can hold."""
    check_types(record, kind)
    try:
        canonical(record).encode()
    except ValueError:
        raise ValueError(unwritable("", record)) from None


def check_types(record: Any, kind: Any) -> None:
    """The same but for what no file can hold, which `bench.records.seal.check_seal` sees too."""
    if fault := fault_of("", record, kind):
        raise ValueError(fault)


def fault_of(where: str, value: Any, hint: Any) -> str | None:
    """`seed must be an integer, not 'x'`: how a value breaks a type, None where it does not."""
    if rule(hint)(value):
        return None
    origin, arguments = parts(hint)
    if origin in (Required, NotRequired):
        return fault_of(where, value, arguments[0])
    if origin in (Union, UnionType):
        faults = [fault_of(where, value, choice) for choice in arguments]
        deep = [fault for fault in faults if fault and not fault.startswith(f"{where} must be")]
        return (deep or [must(where, value, hint)])[0]
    if is_typeddict(hint) and isinstance(value, dict):
        return fault_of_table(where, value, hint)
    if origin is dict and isinstance(value, dict):
        return first(fault_of(joined(where, key), field, arguments[1]) for key, field in value.items())
    if origin is list and isinstance(value, list):
        return first(fault_of(f"{where}[{place}]", item, arguments[0]) for place, item in enumerate(value))
    return must(where, value, hint)


@cache
def rule(hint: Any) -> Rule:
    """Whether a value is of a type, as a function: a board asks it of a thousand values of each record."""
    origin, arguments = parts(hint)
    if hint is Any:
        return lambda value: True
    if origin in (Required, NotRequired):
        return rule(arguments[0])
    if origin in (Union, UnionType):
        return either([rule(choice) for choice in arguments])
    if is_typeddict(hint):
        return whole_table(hint.__required_keys__, {key: rule(field) for key, field in fields(hint).items()})
    if origin is dict:
        inner = rule(arguments[1])
        return lambda value: isinstance(value, dict) and all(map(inner, value.values()))
    if origin is list:
        item = rule(arguments[0])
        return lambda value: isinstance(value, list) and all(map(item, value))
    if origin is Literal:
        return lambda value: value in arguments
    if hint is float:
        return lambda value: type(value) in (int, float) and finite(value)
    if hint is int:
        return lambda value: type(value) is int and finite(value)
    return lambda value: type(value) is hint


def either(choices: Sequence[Rule]) -> Rule:
    """Whether a value keeps one of several rules; as a loop, which takes half the time of `any`."""

    def keeps(value: Any) -> bool:
        for choice in choices:  # noqa: SIM110
            if choice(value):
                return True
        return False

    return keeps


def whole_table(needed: Set[str], known: Mapping[str, Rule]) -> Rule:
    """Whether a value is a table with those fields at least, of which those that are known keep their rules."""

    def keeps(value: Any) -> bool:
        if not isinstance(value, dict) or not needed <= value.keys():
            return False
        for key, field in value.items():  # noqa: SIM110
            if key in known and not known[key](field):
                return False
        return True

    return keeps


def fault_of_table(where: str, value: Mapping[str, Any], hint: Any) -> str | None:
    """The first field of a table that is absent or wrong; fields that its TypedDict does not have may be anything."""
    if absent := sorted(hint.__required_keys__ - value.keys()):
        return f"{where or 'it'} lacks {', '.join(absent)}"
    return first(fault_of(joined(where, key), value[key], field) for key, field in fields(hint).items() if key in value)


@cache
def parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """`dict` and `(str, int)` of `dict[str, int]`."""
    return get_origin(hint), get_args(hint)


@cache
def fields(hint: Any) -> dict[str, Any]:
    """The fields of a TypedDict and their types."""
    return get_type_hints(hint)


def finite(value: float) -> bool:
    """Whether a number is finite, and an integer, which JSON and TOML may give any length, of 64 bits: arrays hold no other."""
    return math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63


def must(where: str, value: Any, hint: Any) -> str:
    """What a field must be and what it is."""
    return f"{where or 'it'} must be {type_name(hint)}, not {value!r:.40}"


def type_name(hint: Any) -> str:
    """A type as a reader calls it."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(type_name(choice) for choice in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return "a list" if get_origin(hint) is list else WORDS.get(hint, "a table")


def first(faults: Any) -> str | None:
    """The first fault, None where there is none."""
    return next((fault for fault in faults if fault), None)


def joined(where: str, key: str) -> str:
    """The name of a field of a table."""
    return f"{where}.{key}" if where else key


def unwritable(where: str, value: Any) -> str | None:
    """Which value anywhere inside could not be written again: a number that is not finite, a text that UTF-8 does not have."""
    if isinstance(value, dict):
        return first(unwritable(where, key) or unwritable(joined(where, key), field) for key, field in value.items())
    if isinstance(value, list):
        return first(unwritable(f"{where}[{place}]", item) for place, item in enumerate(value))
    if isinstance(value, float) and not finite(value):
        return must(where, value, float)
    surrogates = isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value)
    return f"{where or 'it'} has a text with half a character, {value!r:.40}" if surrogates else None
