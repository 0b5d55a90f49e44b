"""Views are made once, and a metric that does not exist says why."""

import doctest
from typing import Any

import pytest

import metrics.metric
from metrics.metric import Metric, Unavailable, Views, measure


def missing(views: Views) -> Any:
    raise Unavailable("no such density")


def test_the_example_in_the_text() -> None:
    found = doctest.testmod(metrics.metric)
    assert (found.attempted, found.failed) == (1, 0)


def test_a_view_is_made_when_asked_for_and_once() -> None:
    made: list[str] = []

    def base(views: Views) -> list[int]:
        made.append("base")
        return [1]

    views = Views({"base": base, "sum": lambda views: views["base"][0] + 1, "unused": missing})
    assert made == []
    assert (views["sum"], views["base"], views["sum"]) == (2, [1], 2)
    assert made == ["base"]


def test_an_unavailable_view_is_asked_for_once_and_says_so_each_time() -> None:
    asked: list[str] = []

    def maker(views: Views) -> Any:
        asked.append("density")
        return missing(views)

    views = Views({"density": maker, "samples": lambda views: views["density"]})
    for name in ("samples", "density", "samples"):
        with pytest.raises(Unavailable, match="no such density"):
            views[name]
    assert asked == ["density"]


def test_a_view_that_nobody_makes_is_an_error() -> None:
    with pytest.raises(KeyError, match="nothing"):
        Views({})["nothing"]


METRIC = Metric("ratio", lambda a, b: a / b, ("a", "b"), "a over b", "here", unit="nats", better="higher", group="latent", version=3)
WORDS = {"unit": "nats", "better": "higher", "group": "latent", "protocol": "a over b; v3"}


def test_a_measured_metric_has_its_value_and_words() -> None:
    assert measure(METRIC, Views({"a": lambda views: 6, "b": lambda views: 4})) == {"value": 1.5, **WORDS}


def test_a_missing_view_is_a_reason() -> None:
    assert measure(METRIC, Views({"a": lambda views: 6, "b": missing})) == {"value": None, "reason": "no such density", **WORDS}


def test_a_failure_is_not_a_missing_value() -> None:
    with pytest.raises(ZeroDivisionError):
        measure(METRIC, Views({"a": lambda views: 6, "b": lambda views: 0}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_a_reason_too(value: float) -> None:
    entry = measure(METRIC, Views({"a": lambda views: value, "b": lambda views: 1}))
    assert entry == {"value": None, "reason": f"ratio returned {value}, not a finite number", **WORDS}
