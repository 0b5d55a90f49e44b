"""Times of implementations that are timed alternately."""

import time
from pathlib import Path

import pytest
import torch

from bench.speed import timing
from bench.speed.timing import Timed, quiet, quiet_rounds, ratio, timed_alternately, waited

CPU = torch.device("cpu")


def test_ways_take_turns_and_an_operations_share_is_counted() -> None:
    calls = []

    def pause(name: str, seconds: float) -> None:
        calls.append(name)
        time.sleep(seconds)

    found = timed_alternately({"a": lambda: pause("a", 0.02), "b": lambda: pause("b", 0.08)}, 3, CPU, operations=2)
    assert calls == ["a", "b"] * 4  # one to warm up
    assert all(seconds >= 0.01 for seconds in found["a"].seconds)
    assert all(seconds >= 0.04 for seconds in found["b"].seconds)
    assert len(found["a"].seconds) == len(found["a"].waits) == 3
    assert ratio(found["b"], found["a"]) > 1


def test_once_there_are_three_rounds_seconds_are_enough() -> None:
    calls = []

    def pause() -> None:
        calls.append(time.sleep(0.01))

    assert len(timed_alternately({"a": pause}, 50, CPU, seconds=0.0)["a"].seconds) == 3
    assert len(calls) == 4  # one to warm up
    assert len(timed_alternately({"a": pause}, 2, CPU, seconds=0.0)["a"].seconds) == 2
    assert len(timed_alternately({"a": pause}, 5, CPU, seconds=60.0)["a"].seconds) == 5


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    implementation, reference = Timed([2.0, 30.0, 4.0], [0.0] * 3), Timed([1.0, 10.0, 4.0], [0.0] * 3)
    assert ratio(implementation, reference) == 2.0  # of 2, 3, 1
    assert implementation.median == 4.0


def test_rounds_in_which_someone_waited_are_left_out_where_three_others_are_there() -> None:
    found = {"a": Timed([1.0, 2, 3, 4, 5], [0, 0.5, 0, 0, 0]), "b": Timed([9.0, 8, 7, 6, 5], [0, 0, 0.04, 0, 0.06])}
    assert quiet_rounds(found) == [0, 2, 3]
    assert quiet(found)["b"].seconds == [9.0, 7.0, 6.0]
    found["a"].waits[0] = 1.0
    assert quiet_rounds(found) == [0, 1, 2, 3, 4]


def test_waiting_is_counted_and_never_goes_back() -> None:
    before = waited()
    sum(range(10**6))
    assert waited() >= before >= 0
    assert waited() == pytest.approx(before, abs=60)


def test_a_thread_that_has_just_ended_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "schedstat").write_text("5 2000000000 7\n")
    (tmp_path / "2" / "schedstat").mkdir(parents=True)  # reading it is an OSError, as of a file that is gone
    monkeypatch.setattr(timing, "TASKS", tmp_path)
    assert waited() == 2.0
