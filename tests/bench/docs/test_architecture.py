"""docs/architecture.md and its drawing name what exists, and its table of rooms is the one that tests/test_layers.py holds."""

import importlib.util
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@cache
def layers() -> ModuleType:
    """tests/test_layers.py as a module."""
    spec = importlib.util.spec_from_file_location("layers_of_the_house", ROOT / "tests" / "test_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rooms() -> dict[str, tuple[tuple[str, ...], str]]:
    """room -> (its modules, what it may import), as the page has them."""
    rows = re.findall(r"^\| ([\w ]+) \| ((?:`[\w.]+`(?:, )?)+) \| .+ \| ([\w, ]+) \|$", TEXT, re.MULTILINE)
    return {room: (tuple(re.findall(r"`([\w.]+)`", where)), allowed) for room, where, allowed in rows}


def test_the_rooms_are_those_of_the_layer_test() -> None:
    house = layers()
    assert {room: where for room, (where, _) in rooms().items()} == house.ROWS
    assert list(rooms()) == list(house.ROWS)


def test_what_a_room_may_import_is_what_the_layer_test_allows() -> None:
    house, above = layers(), list[str]()
    for room, (_, allowed) in rooms().items():
        listed = {"all above": above, "nothing": []}.get(allowed, allowed.split(", "))
        assert set(listed) | {room} == set(house.allowed(room)), room
        above.append(room)


def test_every_path_in_it_exists() -> None:
    named = re.findall(r"\b((?:bench|models|metrics|tests|docs)/[\w./-]*\w)", TEXT)
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_drawing_names_rooms_and_modules_that_exist() -> None:
    words = [
        element.text or "" for element in ElementTree.parse(ROOT / "docs" / "architecture.svg").iter() if element.tag.endswith("}text")
    ]
    drawn = [word for word in words if (ROOT / word.split(" ")[0]).exists() and word]
    assert {"bench/suites", "bench/engines", "bench/runs", "bench/training", "bench/evaluation", "bench/leaderboard", "models"} <= set(
        drawn
    )
    assert [word for word in words if word.startswith("bench/") and word not in drawn] == []
    for room, module in re.findall(r"(bench/\w+)\n(\w+\.py):", "\n".join(words)):
        assert (ROOT / room / module).exists()
