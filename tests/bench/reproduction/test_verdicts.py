"""An ordering's seeds won and lost, its conditions and its verdict, on planted values."""

import math
from typing import Any

import pytest
from made_up_paper import Planted, ordering, paper, records

from bench.reproduction.verdicts import Judged, Seen, judged, outcome, verdict


def judge(*, mog: Any = (), digits: Any = (), **changed: Any) -> Judged:
    (found,) = judged(paper([ordering(**changed)]), Planted(mog=mog, digits=digits))
    return found


def test_each_common_seed_is_won_lost_or_tied() -> None:
    values = {"vcae": {0: 1.0, 1: 3.0, 2: 2.0, 3: 1.0}, "cwae": {0: 2.0, 1: 2.0, 2: 2.0, 4: 9.0}}
    (seen,) = judge(mog=records(values)).seen
    assert (seen.won, seen.lost, seen.tied, seen.counted) == (1, 1, 1, 3)
    assert seen.lacking == 2  # seeds 3 and 4, each of one row
    assert seen.ratios == (0.5, 1.5, 1.0)


def test_a_diverged_run_a_value_that_is_not_finite_and_one_that_is_absent_win_nothing() -> None:
    values = {"vcae": {0: 1.0, 1: None, 2: math.nan, 3: math.inf, 4: 1.0}, "cwae": {0: 2.0, 1: 2.0, 2: 2.0, 3: 2.0, 4: 2.0}}
    found = records(values)
    found[-1]["metrics"]["rec_sse_test"]["value"] = None
    (seen,) = judge(mog=found).seen
    assert (seen.won, seen.counted, seen.lacking) == (1, 1, 4)


@pytest.mark.parametrize(
    ("first", "second", "best", "expected"),
    [
        ([1, 1, 1], [2, 2, 2], "lower", "supported"),
        ([2, 2, 2], [1, 1, 1], "lower", "contradicted"),
        ([2, 2, 2], [1, 1, 1], "higher", "supported"),
        ([1, 2, 1], [2, 1, 2], "lower", "mixed"),
        ([1, 1, 2], [2, 2, 2], "lower", "mixed"),  # a tie is no win
        ([2, 2, 2], [2, 2, 2], "lower", "mixed"),
        ([2, 1, 2], [1, 1, 1], "lower", "mixed"),  # nor a loss
    ],
)
def test_the_verdict_is_that_of_all_seeds(first: list[float], second: list[float], best: str, expected: str) -> None:
    values = {"vcae": dict(enumerate(map(float, first))), "cwae": dict(enumerate(map(float, second)))}
    assert judge(mog=records(values), best=best).verdict == expected


def test_a_verdict_goes_over_suites_and_the_paper_s_own_experiment_comes_first() -> None:
    won, lost = {"vcae": {0: 1.0}, "cwae": {0: 2.0}}, {"vcae": {0: 2.0}, "cwae": {0: 1.0}}
    assert judge().verdict == "no record"
    assert (of := judge(digits=records(lost))).verdict == "contradicted"
    assert (of.budget, of.reversed) == ("cpu", False)  # a reduced budget reverses nothing
    assert (of := judge(mog=records(lost), digits=records(won))).verdict == "contradicted"
    assert (of.budget, of.reversed) == ("paper", True)
    assert judge(mog=records(won), digits=records(lost)).verdict == "supported"
    elsewhere = judge(mog=records(lost), digits=records(won), elsewhere=("mog",))
    assert (elsewhere.verdict, elsewhere.budget, elsewhere.reversed) == ("mixed", "cpu", False)


@pytest.mark.parametrize(("off", "counts"), [(0.049, 1), (-0.049, 1), (0.051, 0), (-0.051, 0)])
def test_a_seed_is_withheld_where_a_constraint_is_more_than_a_twentieth_off(off: float, counts: int) -> None:
    values = {"vcae": {0: 1.0}, "cwae": {0: 2.0}}
    found = judge(mog=records(values, {("cwae", 0): off}), constrained=("vcae", "cwae"))
    (seen,) = found.seen
    assert (seen.counted, len(seen.withheld)) == (counts, 1 - counts)
    assert found.verdict == ("supported" if counts else "withheld")
    if not counts:
        assert seen.withheld == (f"cwae: its summed variance is {100 * off:+.1f} % off its target 2",)
    assert judge(mog=records(values, {("cwae", 0): off}), constrained=("vcae",)).verdict == "supported"


def test_a_row_that_says_no_target_is_withheld_where_one_is_asked_for() -> None:
    found = records({"vcae": {0: 1.0}, "cwae": {0: 2.0}})
    del found[1]["metrics"]["latent_variance_target"]
    assert judge(mog=found).verdict == "supported"
    assert judge(mog=found, constrained=("cwae",)).verdict == "withheld"


def test_seeds_that_count_decide_where_others_are_withheld() -> None:
    values = {"vcae": {0: 1.0, 1: 3.0}, "cwae": {0: 2.0, 1: 2.0}}
    assert judge(mog=records(values)).verdict == "mixed"
    assert judge(mog=records(values, {("vcae", 1): 0.2}), constrained=("vcae",)).verdict == "supported"


def test_values_of_different_protocols_or_code_do_not_compare() -> None:
    for key in ("protocol", "code"):
        found = records({"vcae": {0: 1.0}, "cwae": {0: 2.0}})
        found[0]["metrics"]["rec_sse_test"][key] = "another"
        assert judge(mog=found).verdict == "withheld"


def test_codes_of_one_length_are_a_condition_where_they_are_asked_for() -> None:
    found = records({"vcae": {0: 1.0}, "cwae": {0: 2.0}})
    found[0]["config"]["latent_dim"] = 3
    assert judge(mog=found).verdict == "supported"
    assert judge(mog=found, equal_codes=True).verdict == "withheld"


def test_the_first_metric_that_records_have_is_taken() -> None:
    found = records({"vcae": {0: 1.0}, "cwae": {0: 2.0}})
    (seen,) = judge(mog=found, metrics=("fid_pz", "rec_sse_test")).seen
    assert seen.metric == "rec_sse_test"
    assert judge(mog=found, metrics=("fid_pz",)).verdict == "no record"


def test_a_spread_is_one_comparison_of_deviations_and_needs_two_seeds() -> None:
    values = {"vcae": {0: 1.0, 1: 2.0, 2: 9.0}, "cwae": {0: 5.0, 1: 5.5}}  # on seeds 0 and 1: 0.71 and 0.35
    (seen,) = judge(mog=records(values), statistic="spread").seen
    assert (seen.won, seen.lost) == (0, 1)
    assert seen.words == "spread over 2 seeds lost, 1 lacking"
    assert seen.ratios == pytest.approx((2.0,))
    assert judge(mog=records(values), statistic="spread", best="higher").verdict == "supported"
    assert judge(mog=records({"vcae": {0: 1.0}, "cwae": {0: 2.0}}), statistic="spread").verdict == "no record"


@pytest.mark.parametrize(
    ("values", "changed", "expected"),
    [
        ([1, 2, 3], {}, "won"),
        ([1, 3, 2], {}, "lost"),
        ([1, 2, 2], {}, "tied"),
        ([3, 2, 1], {"best": "higher"}, "won"),
        ([1, 3, 2], {"each": "others"}, "won"),
        ([2, 3, 1], {"each": "others"}, "lost"),
        ([9, 3, 5], {"each": "others", "best": "higher"}, "won"),
        ([16.05, 17.29, 15.0], {"target": 16.0, "each": "others"}, "won"),
        ([15.0, 16.4, 17.0], {"target": 16.0, "each": "others"}, "lost"),
        ([0.5], {"bounds": (0.4, 0.6)}, "won"),
        ([0.4], {"bounds": (0.4, 0.6)}, "won"),
        ([0.61], {"bounds": (0.4, 0.6)}, "lost"),
    ],
)
def test_what_one_seed_says(values: list[float], changed: dict[str, Any], expected: str) -> None:
    assert outcome(values, ordering(**changed)) == expected


def test_a_row_without_an_exact_value_has_its_bound() -> None:
    found = records({"vcae": {0: 1.0}, "cwae": {0: 2.0}})
    found[1]["metrics"]["rec_sse_test_bound"] = {**found[1]["metrics"].pop("rec_sse_test"), "protocol": "a bound"}
    assert judge(mog=found).verdict == "no record"
    assert judge(mog=found, bound_rows=("cwae",)).verdict == "supported"


def test_no_seed_counts_is_withheld_only_where_one_was_withheld() -> None:
    assert verdict([]) == "no record"
    assert verdict([Seen("mog", "paper", "m", lacking=3)]) == "no record"
    assert verdict([Seen("mog", "paper", "m", withheld=("a",))]) == "withheld"
