"""The index of leaderboards: first tiers of each suite, and the rows that several suites share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up_records import SUITE, index_of, metric, record

from bench.leaderboard.overview import shared
from bench.suites.schema import Entry, Suite

ROWS = ("a", "b", "c", "d", "e")
SPREAD = (0.0, 0.01, -0.01)


def suite(name: str, rows: Sequence[str] = ROWS) -> Suite:
    return replace(SUITE, name=name, seeds=3, methods=tuple(Entry(row, "vae") for row in rows))


def records(of: Suite, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Three seeds a row, rows' spreads in different orders."""
    return [
        record(row, seed, {"rec_sse_test": metric(value + SPREAD[(seed + i * (i + 1)) % 3])}, of)
        for i, (row, value) in enumerate(values.items())
        for seed in range(3)
    ]


def board(name: str, values: Mapping[str, float]) -> tuple[Suite, list[dict[str, Any]]]:
    made = suite(name, tuple(values))
    return made, records(made, values)


def lines(page: str, title: str) -> dict[str, list[str]]:
    table = page.split(f"## {title}\n\n")[1].split("\n\n")[0]
    return {line[0]: line[1:] for line in ([part.strip() for part in text.split("|")[1:-1]] for text in table.splitlines()[2:])}


def test_a_suite_s_line_names_its_first_tier() -> None:
    page = index_of({"one": board("one", dict(zip(ROWS, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True)))})
    assert "|SSE: `a`, of 5|" in page
    page = index_of({"tie": board("tie", dict.fromkeys(ROWS, 3.0))})
    assert "|SSE: all 5 tie|" in page
    one = suite("few")
    page = index_of({"few": (one, [entry for entry in records(one, dict.fromkeys(ROWS, 3.0)) if entry["seed"] < 2])})
    assert "|no ranks|" in page


def test_rows_of_several_suites_are_ranked_over_them() -> None:
    """a is best of all five rows in all six suites: mean rank 1, P(best) 100 %, and a critical difference of 2.49 (Demsar's formula)."""
    values = {f"s{i}": dict(zip(ROWS, (1.0 + i, 2.0 + i, 3.0 + i, 4.0 + i, 5.0 + i), strict=True)) for i in range(6)}
    page = index_of({name: board(name, of) for name, of in values.items()})
    found = lines(page, "SSE over s0, s1, s2, s3, s4 and s5")
    assert [row[1] for row in found.values()] == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    assert [row[0] for row in found.values()] == ["a", "ab", "abc", "bc", "c"]
    assert [row[3] for row in found.values()] == ["100", "0", "0", "0", "0"]
    ratios = [(1.0 + i + jitter) / (3.0 + i) for i in range(6) for jitter in SPREAD]
    middle = sorted(ratios)[4:-4]  # of 18 a quarter is cut at each end: 4
    assert float(found["a"][2].split()[0]) == pytest.approx(float(np.mean(middle)), abs=0.006)
    assert "The suites show that rows differ (Friedman, p = 8e-05). Mean ranks that differ by 2.5 or more are told apart" in page


UP, DOWN = (1.0, 2.0, 3.0, 4.0, 5.0), (5.0, 4.0, 3.0, 2.0, 1.0)


def test_suites_that_disagree_show_nothing() -> None:
    """Three suites of five rows have a critical difference of 3.52, four of 3.05: mean ranks may differ by 4."""
    page = index_of({f"s{i}": board(f"s{i}", dict(zip(ROWS, of, strict=True))) for i, of in enumerate((UP, DOWN, UP, DOWN))})
    assert {row[0] for row in lines(page, "SSE over s0, s1, s2 and s3").values()} == {"a"}
    assert "The suites do not show that rows differ (Friedman, p = 1). Mean ranks that differ by 3.0 or more are told apart" in page
    assert "over-suites-rec_sse_test.svg" in page


def test_suites_too_few_to_tell_any_rows_apart_have_no_diagram() -> None:
    """Two suites of five rows: a critical difference of 2.728 √(5 · 6 / 12) = 4.31, where mean ranks differ by 4 at most."""
    page = index_of({name: board(name, dict(zip(ROWS, UP, strict=True))) for name in ("s", "t")})
    assert [row[0] for row in lines(page, "SSE over s and t").values()] == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    assert (
        "can tell no two rows apart here, however they differ: it takes mean ranks 4.3 apart (5 %), and none differ by more than 4" in page
    )
    assert ".svg" not in page
    assert "not told apart" not in page


def test_suites_of_few_rows_are_left_out_until_five_are_shared() -> None:
    values = {row: {0: 1.0, 1: 2.0} for row in "abcdefg"}
    wide, other, small = values, {row: values[row] for row in "abcdef"}, {row: values[row] for row in "abc"}
    rows, arrays = shared({"wide": wide, "other": other, "small": small})
    assert (rows, list(arrays)) == (list("abcdef"), ["other", "wide"])
    assert arrays["wide"].shape == (6, 2)
    assert shared({"wide": wide, "small": small}) == ([], {})
    assert shared({"wide": wide}) == ([], {})
    one = {**other, "a": {1: 5.0}}
    assert shared({"wide": wide, "other": one})[1]["other"].shape == (6, 1)
    assert shared({"wide": wide, "other": {**other, "a": {7: 5.0}}}) == ([], {})
    assert "##" not in index_of({"s": board("s", {"a": 1.0, "b": 2.0}), "t": board("t", {"a": 1.0, "b": 2.0})})


def test_values_that_are_not_positive_have_no_scale() -> None:
    values = dict(zip(ROWS, (-1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    assert "##" not in index_of({"s": board("s", values), "t": board("t", values)})
