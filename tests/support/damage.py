"""Files that anybody may have damaged, for tests of readers: strategies of hypothesis for bytes."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r\n", b"\n\n", b"\xff", b"NaN", b"1e999", b'"', b"[" * 3000, b"{" * 3000, b"9" * 5000)
BIG, DEEP, TWICE = "@BIG@", "@DEEP@", "@TWICE@"  # stand for what a value of Python cannot be written as
RAW = {f'"{BIG}"': "9" * 5000, f'"{DEEP}"': "[" * 50_000 + "]" * 50_000}
ODD = [None, True, 0, -1, 2, 10**18, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")]
ODD += ["", "done", "1", "a\nb", "\x1b[31m", "\ud800", "../../x", "\0", [], {}, [[]], [None], [0.5, "x"], {"": None}, {"a": [1]}, BIG, DEEP]


@st.composite
def bytes_of_it(draw: st.DrawFn, content: bytes) -> bytes:
    """Any bytes, or these: cut, some overwritten, a piece twice or with something in between, in another encoding."""
    place = draw(st.integers(0, len(content)))
    match draw(st.integers(0, 6)):
        case 0:
            return draw(st.binary(max_size=200))
        case 1:
            return content[:place]
        case 2:
            end = draw(st.integers(place, len(content)))
            return content[:end] + content[place:]
        case 3:
            return content[:place] + draw(st.sampled_from(MARKS)) + content[place:]
        case 4:
            return content.replace(b"\n", b"\r\n") if place % 2 else b"\xef\xbb\xbf" + content
        case 5:
            return content.decode("latin-1").encode(draw(st.sampled_from(("utf-16", "utf-32", "utf-8"))))
    changed = bytearray(content)
    for at, byte in draw(st.lists(st.tuples(st.integers(0, max(len(content) - 1, 0)), st.integers(0, 255)), min_size=1, max_size=4)):
        changed[at : at + 1] = bytes([byte])
    return bytes(changed)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a JSON value has values, itself included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def values_of_it(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value with other values, types, names or no value in up to three places, or with a name twice."""
    whole = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(list(places(whole))[1:]))
        table = whole
        for name in parents:
            table = table[name]
        match draw(st.integers(0, 3)):
            case 0 if isinstance(table, dict):
                del table[last]
            case 1 if isinstance(table, dict):
                table[draw(st.sampled_from(("", "a\nb", "\ud800", "value", "\x1b[2J")))] = table.pop(last)
            case 2 if isinstance(table, dict):
                table[f"{TWICE}{last}"] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case _:
                table[last] = copy.deepcopy(draw(st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=5)))
        if not whole:
            break
    text = json.dumps(whole[0] if whole else None).replace(TWICE, "")
    for mark, raw in RAW.items():
        text = text.replace(mark, raw)
    return text


TOML_VALUES = ["nan", "-inf", "1e400", "1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "true", "-1", "0", "1", "1e308", "[]", "{}", "''"]
TOML_VALUES += ["0x" + "f" * 5000, "1" + "0" * 400, "9" * 5000, "9223372036854775808", "[1, 'a', []]", "{ a = { b = [nan] } }", '"a\\nb"']
TOML_VALUES += [
    "[" * 300 + "]" * 300,
    "'../../x'",
    '"\\u0000"',
    "{ from = 0, to = 1, over = '3 steps' }",
    "'ae'",
    "'folder:/'",
    "['a', 'a']",
]
TOML_KEYS = [
    '"a\\nb"',
    '""',
    "'../x'",
    '"\\u001b[2J"',
    "'a.b'",
    "a.b.c",
    "preset",
    "sweep",
    "select",
    "search",
    "budget",
    "method",
    "weight",
]


@st.composite
def toml_of_it(draw: st.DrawFn, content: str) -> bytes:
    """A TOML text with other values and keys in up to three lines, or lines twice, away, or under another table."""
    lines = content.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        key, equals, value = lines[at].partition(" = ")
        match draw(st.integers(0, 5)):
            case 0:
                lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
            case 1:
                del lines[at]
            case 2 if equals:
                lines[at] = f"{draw(st.sampled_from(TOML_KEYS))} = {value}"
            case 3:
                lines.insert(at, f"{draw(st.sampled_from(TOML_KEYS))} = {draw(st.sampled_from(TOML_VALUES))}")
            case 4 if lines[at].startswith("["):
                lines[at] = f"[methods.{draw(st.sampled_from(TOML_KEYS))}]"
            case _ if equals:
                lines[at] = f"{key} = {draw(st.sampled_from(TOML_VALUES))}"
        if not lines:
            break
    return "\n".join(lines).encode()
