"""Paired comparisons by hand: differences, intervals, verdicts beside those of tiers, and what is not compared."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_up_records import SUITE, lost, metric, record
from scipy import stats

from bench.errors import UserError
from bench.leaderboard.paired import Difference, differences
from bench.leaderboard.rows import Row, by_seed
from bench.leaderboard.tiers import tiers


def row(name: str, values: Sequence[float], label: str = "vae", **about: Any) -> Row:
    return Row(name, False, by_seed([record(label, seed, {"mig": metric(value, **about)}) for seed, value in enumerate(values)]), None)


def only(first: Row, second: Row) -> Difference:
    """The difference of the one metric that is no cost."""
    (found,) = (of for of in differences(first, second)[0] if of.column.name == "mig")
    return found


def test_a_difference_by_hand() -> None:
    """Differences -1, -2, -3: mean -2, s = 1, half width t_2(0.98) / √3, where t_2(p) = (2p - 1) √(2 / (4p (1 - p)))."""
    found = only(row("a", (1.0, 2.0, 3.0)), row("b", (2.0, 4.0, 6.0)))
    p = 0.98
    half = (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))) / math.sqrt(3)
    assert (found.first, found.second, found.difference, found.seeds) == (2.0, 4.0, -2.0, 3)
    assert found.half_width == pytest.approx(half)
    assert half > 2
    assert found.verdict == "not separated"
    near = only(row("a", (1.0, 2.0, 3.0)), row("b", (3.0, 4.0, 5.1)))
    assert (near.verdict, near.difference) == ("better", pytest.approx(-6.1 / 3))
    assert only(row("b", (3.0, 4.0, 5.1)), row("a", (1.0, 2.0, 3.0))).verdict == "worse"


def test_higher_may_be_better_and_costs_have_no_verdict() -> None:
    one, other = (row(name, values, better="higher") for name, values in (("a", (1.0, 2.0, 3.0)), ("b", (3.0, 4.0, 5.1))))
    assert only(one, other).verdict == "worse"
    assert {of.column.name: of.verdict for of in differences(one, other)[0]} == {"mig": "worse", "train_seconds": ""}
    aim = [row(name, values, better="target") for name, values in (("a", (1.0, 2.0, 3.0)), ("b", (3.0, 4.0, 5.1)))]
    assert only(*aim).verdict == ""


def test_a_verdict_is_that_of_tiers_and_stands_where_the_interval_leaves_out_0() -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for seeds in (3, 4, 6):
        for shift in (0.0, 1.0, 2.5):
            for _ in range(12):
                a, b = rng.normal(size=seeds), rng.normal(size=seeds) + shift
                found = only(row("a", a.tolist()), row("b", b.tolist()))
                cut = tiers({"a": dict(enumerate(a.tolist())), "b": dict(enumerate(b.tolist()))}, "lower").tier
                assert found.verdict == {0: "not separated", -1: "better", 1: "worse"}[cut["a"] - cut["b"]]
                assert found.half_width is not None
                assert (abs(found.difference) > found.half_width) == (found.verdict != "not separated")
                assert (stats.ttest_rel(a, b).pvalue <= 0.04) == (found.verdict != "not separated")
                seen.add(found.verdict)
    assert seen == {"better", "worse", "not separated"}


def test_seeds_are_paired_and_two_are_too_few() -> None:
    """What a seed does to both rows cancels; a seed that one row lacks is left out."""
    found = only(row("a", (1.0, 100.0, -50.0, 7.0)), row("b", (2.0, 101.0, -49.0)))
    assert (found.seeds, found.difference, found.half_width, found.verdict) == (3, -1.0, 0.0, "better")
    assert only(row("a", (1.0, 2.0)), row("b", (5.0, 6.0))).verdict == "not ranked: it takes 3 seeds"
    assert only(row("a", (1.0,)), row("b", (5.0,))).half_width is None


def test_rows_that_tiers_do_not_rank_have_no_verdict() -> None:
    one, other = row("a", (1.0, 2.0, 3.0)), row("b", (11.0, 12.0, 13.0))
    survivors = Row("a", False, (*one.records, *by_seed([lost("vae", 3, "diverged", "nan")])), None)
    assert only(survivors, other).verdict == "not ranked: a lost runs"
    longer = [{**of, "config": {**of["config"], "latent_dim": 32}} for of in one.records]
    assert only(Row("a", False, tuple(longer), None), other).verdict == "not ranked: codes of different lengths"
    ruler = [
        {**of, "metrics": {**of["metrics"], "pca_sse_test": metric(0.1 if i else 0.2)}}
        for i, of in enumerate([one.records[0], other.records[0]])
    ]
    assert only(Row("a", False, tuple(ruler[:1]), None), Row("b", False, tuple(ruler[1:]), None)).verdict.startswith("not ranked: codes")


def test_other_protocols_and_other_images_are_not_compared() -> None:
    one = row("a", (1.0, 2.0, 3.0))
    assert differences(one, row("b", (1.0, 2.0, 3.0), protocol="other"))[1] == {"mig": "measured by another protocol"}
    assert differences(one, row("b", (1.0, 2.0, 3.0), code="abc"))[1] == {"mig": "measured by other code"}
    assert differences(one, Row("b", False, by_seed([record("vae", 0, {"mse": metric(1.0)})]), None))[1] == {
        "mig": "only a has it",
        "mse": "only b has it",
    }
    assert differences(one, row("b", (1.0,)), ["train_seconds"])[1] == {}
    faces = replace(SUITE, dataset="faces")
    with pytest.raises(UserError, match=r"a has dataset 'digits', b 'faces'"):
        differences(one, Row("b", False, by_seed([record("vae", 0, {"mig": metric(1.0)}, faces)]), None))
    with pytest.raises(UserError, match="no run of b has finished"):
        differences(one, Row("b", False, (lost("vae", 0, "failed", "x"),), None))
