"""The part of a leaderboard about what papers claim: its suite's seeds, as the pages of reproduction count them."""

from typing import Any

from bench.leaderboard.paper_claims import MOST, section
from bench.suites import reader
from bench.suites.schema import Suite

MOG = reader.read("mog")


def record(of: Suite, label: str, seed: int, value: float, variance: float = 2.0, **changed: Any) -> dict[str, Any]:
    run = next(run for run in of.runs("cpu") if (run.label, run.seed) == (label, seed))
    metrics = {"rec_sse_test": value, "sum_latent_variance": variance, "latent_variance_target": 2.0}
    whole = {"suite": of.name, "label": label, "seed": seed, "cost": {}, "row_key": run.row_key(), "status": "done"}
    whole |= {"config": {"device": "cpu", "latent_dim": of.latent_dim}, "metrics": {name: {"value": v} for name, v in metrics.items()}}
    return whole | changed


def cells(*records: dict[str, Any]) -> list[str]:
    """The line about the first toy experiment."""
    (line,) = [line for line in section(MOG, records).splitlines() if "mixture of Gaussians" in line]
    return line.strip("|").split("|")


def test_the_ratio_of_two_rows_is_of_the_seeds_that_count() -> None:
    both = [record(MOG, "cwae", 0, 4.0), record(MOG, "vcae", 0, 1.0), record(MOG, "cwae", 1, 4.0), record(MOG, "vcae", 1, 3.0)]
    claim = "VCAE reconstructs the mixture of Gaussians better than cWAE"
    # t with one degree of freedom: 12.7 × 0.25; printed are 0.067 and 0.13
    assert cells(*both) == [claim, "rec_sse_test", "0.5 ± 3.2", "0.515", "2/2", "vcae, section 6.1"]
    for spoilt in ({"status": "diverged"}, {"metrics": {}}):
        assert cells(*both[:3], record(MOG, "vcae", 1, 3.0, **spoilt))[2:5] == ["0.2500", "0.515", "1/1, 1 lacking"]
    assert cells(*both[:3], record(MOG, "vcae", 1, 3.0, row_key="of another day"))[4] == "1/1, 1 lacking"
    assert cells(*both[:3], record(MOG, "vcae", 1, 3.0, variance=2.2))[4] == "1/1, 1 withheld"


def test_seeds_are_counted_by_verdict_and_a_suite_without_them_has_no_word_of_it() -> None:
    lost = [record(MOG, "cwae", 0, 1.0), record(MOG, "vcae", 0, 4.0)]
    assert "of 1 ordering of rows that the papers claim: 1 contradicted." in section(MOG, lost)
    assert section(MOG, []) == ""
    assert section(MOG, lost[:1]) == ""
    assert section(reader.read("mog", ("budget.epochs=1",)), []) == ""


def test_of_many_orderings_there_is_the_count_alone() -> None:
    zoo = reader.read("zoo")
    few = [record(zoo, label, 0, float(i)) for i, label in enumerate(("vcae", "cwae"))]
    many = [record(zoo, entry.label, 0, float(i)) for i, entry in enumerate(zoo.methods)]
    for one in many:
        one["metrics"]["overfit_gap"] = one["metrics"]["rec_sse_test"]
    assert "|" in section(zoo, few)
    assert "|" not in section(zoo, many)
    assert int(section(zoo, many).partition("of ")[2].split()[0]) > MOST
