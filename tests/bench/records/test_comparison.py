"""Recorded values beside new ones: what moved, by how much, and what is known to differ."""

import copy
from typing import Any

import pytest

from bench.records.comparison import Now, changes, origin, relative, updated

PLACE = {"torch": "2", "numpy": "2", "scipy": "1", "scikit-learn": "1", "device": "x", "threads": 1}
RECORD: dict[str, Any] = {
    "hashes": {"weights": "w" * 64, "data": "d" * 64, "code": "c"},
    "environment": PLACE,
    "metrics": {
        "a": {"value": 2.0, "protocol": "all; v1"},
        "b": {"value": None, "protocol": "some; v1", "reason": "no prior"},
    },
}
NOW = Now("w" * 64, "d" * 64, "c", PLACE)


def entries(**values: Any) -> dict[str, Any]:
    """The record's metrics with other values."""
    found = copy.deepcopy(RECORD["metrics"])
    for name, value in values.items():
        found[name]["value"] = value
    return found


@pytest.mark.parametrize(
    ("old", "new", "expected"), [(2.0, 2.0, 0), (0.0, 0.0, 0), (2.0, 1.5, 0.25), (1.5, 2.0, 0.25), (0.0, 3.0, 1), (-1.0, 1.0, 2)]
)
def test_numbers_are_apart_by_a_share_of_the_larger(old: float, new: float, expected: float) -> None:
    assert relative(old, new) == expected


def test_equal_records_have_no_changes() -> None:
    assert changes("r", RECORD, entries(), NOW, 0.0) == []


@pytest.mark.parametrize(
    ("value", "tolerance", "moves"), [(2.2, 0.1, True), (2.2, 0.0910, False), (1.8, 0.0999, True), (1.8, 0.1001, False)]
)
def test_a_value_moves_only_beyond_the_tolerance(value: float, tolerance: float, moves: bool) -> None:
    found = changes("r", RECORD, entries(a=value), NOW, tolerance)
    assert bool(found) == (moves if value == 1.8 else tolerance < 0.2 / 2.2)
    if found:
        (change,) = found
        assert (change.run, change.what, change.old, change.new) == ("r", "a", "2", f"{value:g}")
        assert change.relative == relative(2.0, value)
        assert change.why == ("nothing known differs",)


@pytest.mark.parametrize(
    ("values", "shown", "why"),
    [
        ({"a": None}, ("2", "-"), "now: None"),
        ({"b": 3.0}, ("-", "3"), "then: no prior"),
    ],
)
def test_a_value_that_comes_or_goes_has_moved(values: dict[str, Any], shown: tuple[str, str], why: str) -> None:
    (change,) = changes("r", RECORD, entries(**values), NOW, 10.0)
    assert (change.old, change.new, change.relative) == (*shown, None)
    assert change.why[0] == why


def test_another_protocol_is_another_value_and_says_in_which_parts() -> None:
    new = entries()
    new["a"]["protocol"] = "all; sorted; v2"
    (change,) = changes("r", RECORD, new, NOW, 0.0)
    assert (change.what, change.relative, change.why) == ("a", 0.0, ("protocol: v1 → sorted; v2",))


def test_what_is_no_metric_any_more_has_moved() -> None:
    new = entries()
    del new["a"]
    (change,) = changes("r", RECORD, new, NOW, 0.0)
    assert (change.what, change.old, change.new, change.why) == ("a", "2", "-", ("no metric has this name now",))


def test_weights_and_data_that_differ_are_changes_of_their_own_and_reasons_of_others() -> None:
    now = Now("x" * 64, "y" * 64, "z", {**PLACE, "torch": "3", "threads": 2})
    weights, data, metric = changes("r", RECORD, entries(a=4.0), now, 0.0)
    assert (weights.what, weights.old, weights.new, weights.relative) == ("weights", "w" * 16, "x" * 16, None)
    assert (data.what, data.old, data.new) == ("data", "d" * 16, "y" * 16)
    facts = (f"weights {'w' * 16} → {'x' * 16}", f"data {'d' * 16} → {'y' * 16}", "code c → z", "threads 1 → 2", "torch 2 → 3")
    assert metric.why == facts


def test_a_value_s_circumstances_are_those_of_what_computed_it_last() -> None:
    note = {"code": "later", "environment": {**PLACE, "torch": "9"}, "finished": "then"}
    once = updated(RECORD, {"a": {"value": 5.0, "protocol": "all; v1"}}, note)
    assert once["metrics"] == {"a": {"value": 5.0, "protocol": "all; v1"}, "b": RECORD["metrics"]["b"]}
    assert origin(once, "a") == {**note, "metrics": ["a"]}
    assert origin(once, "b") == {"code": "c", "environment": PLACE}
    assert "evaluated" not in RECORD
    (change,) = changes("r", once, entries(a=6.0), NOW, 0.0)
    assert change.why == ("code later → c", "torch 9 → 2")


def test_a_later_evaluation_takes_over_the_names_that_it_computed() -> None:
    notes = [{"code": code, "environment": PLACE, "finished": code} for code in "123"]
    first = updated(RECORD, entries(a=1.0), notes[0])
    second = updated(first, {"a": first["metrics"]["a"]}, notes[1])
    assert [note["metrics"] for note in second["evaluated"]] == [["b"], ["a"]]
    third = updated(second, entries(), notes[2])
    assert [(note["code"], note["metrics"]) for note in third["evaluated"]] == [("3", ["a", "b"])]
    assert updated(third, {}, notes[0])["evaluated"] == third["evaluated"]
