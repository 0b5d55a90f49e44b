"""Printed numbers beside measured ones: intervals, inside and outside, and what never stands there."""

import math

import pytest
from made_up_paper import Planted, cell, paper, records
from scipy import stats

from bench.reproduction.numbers import compare, standing


def test_the_interval_of_one_more_run_is_the_prediction_interval() -> None:
    values = [1.0, 2.0, 4.0, 3.0]
    found = compare(cell(9.0), values)
    spread = stats.tstd(values)
    low, high = stats.t.interval(0.95, 3, loc=2.5, scale=spread * math.sqrt(1 + 1 / 4))
    assert found.mean == 2.5
    assert found.run_half_width == pytest.approx((high - low) / 2)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 3) * spread / 2)
    assert found.difference == -6.5


def test_the_prediction_interval_holds_one_more_draw_in_95_of_100() -> None:
    draws = stats.norm.rvs(size=(4000, 6), random_state=0)
    inside = [compare(cell(line[0]), list(line[1:])).inside for line in draws]
    assert 0.94 < sum(map(bool, inside)) / len(inside) < 0.96


@pytest.mark.parametrize(
    ("printed", "plus_minus", "inside"),
    [
        (2.0, None, True),
        (2.0 + 12.7 * 1.7, None, True),
        (2.0 + 12.8 * 1.8, None, False),
        (2.0 + 12.8 * 1.8, 2.0, True),
        (-30.0, None, False),
    ],
)
def test_inside_and_outside_of_two_runs(printed: float, plus_minus: float | None, inside: bool) -> None:
    """Of 1 and 3: s √(1 + 1/2) = √3, and t with one degree of freedom is 12.706: 22.0."""
    assert compare(cell(printed, plus_minus=plus_minus), [1.0, 3.0]).inside is inside


def test_one_run_tells_only_where_it_is_within_the_printed_interval() -> None:
    assert compare(cell(1.0), [1.0]).inside is True  # the same number
    assert compare(cell(1.0), [1.1]).inside is None
    assert compare(cell(1.0, plus_minus=0.2), [1.1]).inside is True
    assert compare(cell(1.0, plus_minus=0.05), [1.1]).inside is None
    assert compare(cell(1.0), [1.1]).word == "one run does not tell"


def test_numbers_whose_scales_differ_are_neither() -> None:
    assert compare(cell(1.0, scale="a sum or a mean"), [1.0, 1.0]).inside is None


def test_the_states_of_a_number() -> None:
    own = records({"vcae": {0: 1.0, 1: 1.2}})
    assert standing(cell(), paper(), Planted(mog=own)).state == "measured"
    assert standing(cell(), paper(), Planted()).state == "no record"
    assert standing(cell(missing="nobody has it"), paper(), Planted(mog=own)).state == "no row"
    weights = standing(cell(metric="fid_pz"), paper(weights={"fid_pz": "Inception's weights"}), Planted())
    assert (weights.state, weights.why) == ("needs", "Inception's weights")
    own[0]["metrics"]["fid_pz"] = {"value": None, "reason": "no weights here"}
    assert standing(cell(metric="fid_pz"), paper(), Planted(mog=own)).why == "no weights here"


def test_a_reduced_budget_never_stands_beside_a_number() -> None:
    own = records({"vcae": {0: 1.0, 1: 1.2}})
    found = standing(cell(reduced=("digits",)), paper(), Planted(digits=own))
    assert (found.state, found.measured) == ("reduced", None)
    assert standing(cell(reduced=("digits",), metric="fid_pz"), paper(), Planted(digits=own)).state == "no record"
    both = standing(cell(reduced=("digits",)), paper(), Planted(digits=own, mog=records({"vcae": {0: 5.0, 1: 5.0}})))
    assert both.measured is not None
    assert both.measured.mean == 5.0


def test_a_diverged_run_is_no_measurement() -> None:
    found = standing(cell(), paper(), Planted(mog=records({"vcae": {0: 1.0, 1: None, 2: math.nan}})))
    assert found.measured is not None
    assert (found.measured.count, found.measured.mean, found.lost) == (1, 1.0, 1)
    assert found.word == "inside, 1 run lost"
    none = standing(cell(reduced=("digits",)), paper(), Planted(mog=records({"vcae": {0: None, 1: None}})))
    assert (none.state, none.why) == ("no record", "2 runs diverged or failed")


def test_the_best_run_is_that_of_the_highest_score() -> None:
    own = records({"vcae": {0: 3.0, 1: 5.0, 2: 4.0}})
    for run, score in zip(own, (0.5, 0.9, 0.7), strict=True):
        run["metrics"]["factorvae_score"] = {"value": score}
    found = standing(cell(best_by="factorvae_score"), paper(), Planted(mog=own)).measured
    assert found is not None
    assert (found.count, found.mean) == (1, 5.0)
