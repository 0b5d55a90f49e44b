"""Ratios of the papers beside the measured ones: per seed, of rows as the suite has them now."""

from pathlib import Path
from typing import Any

import pytest
from harness import cli, suite

from bench.errors import UserError
from bench.leaderboard.paper_claims import ratios, section
from bench.suites import reader
from bench.suites.schema import Claim, Suite

CLAIM = '[[claims]]\nmetric = "rec_sse_test"\nrow = "vcae"\nover = "ae"\nprinted = 0.5\nsource = "a paper, Table 1"\n'


def claiming(folder: Path, claim: str = CLAIM) -> Path:
    file = suite(folder, "[methods.ae]\n[methods.vcae]", seeds=2, steps=20)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[methods.ae]", f"{claim}\n[methods.ae]"), encoding="utf-8")
    return file


def record(of: Suite, label: str, seed: int, value: float | None, **changed: Any) -> dict[str, Any]:
    run = next(run for run in of.runs("cpu") if (run.label, run.seed) == (label, seed))
    whole = {
        "suite": of.name,
        "label": label,
        "seed": seed,
        "cost": {},
        "row_key": run.row_key(),
        "status": "done",
        "config": {"device": "cpu"},
    }
    return whole | {"metrics": {"rec_sse_test": {"value": value}}} | changed


def test_ratios_are_of_the_seeds_on_which_both_rows_are_done(tmp_path: Path) -> None:
    of = reader.read(str(claiming(tmp_path)))
    claim = Claim("rec_sse_test", "vcae", "ae", 0.5, "a paper, Table 1")
    assert of.claims == (claim,)
    whole = [record(of, "ae", 0, 4.0), record(of, "vcae", 0, 1.0), record(of, "ae", 1, 4.0), record(of, "vcae", 1, 3.0)]
    assert ratios(claim, of, whole) == [0.25, 0.75]
    assert ratios(claim, of, whole[:3]) == [0.25]
    for spoilt in ({"status": "diverged"}, {"row_key": "of another day"}, {"metrics": {}}):
        assert ratios(claim, of, [*whole[:3], record(of, "vcae", 1, 3.0, **spoilt)]) == [0.25]
    text = section(of, whole)
    (line,) = [line for line in text.splitlines() if "vcae" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["rec_sse_test", "vcae / ae", "0.5 ± 3.2", "0.5", "a paper, Table 1"]  # t with 1 degree of freedom: 12.7 × 0.25
    assert "not run" in section(of, [])


def test_a_leaderboard_has_the_ratio_and_one_without_claims_has_no_word_of_it(tmp_path: Path) -> None:
    file, out = claiming(tmp_path / "suite"), tmp_path / "out"
    assert cli("run", "-s", file, "-o", out, "--no-profile", "--jobs", 1).code == 0
    assert "## Beside the paper" in (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0
    assert section(reader.read("digits"), []) == ""


ORDER = '[[orders]]\nmetric = "rec_sse_test"\nrows = ["ae", "vcae"]\nprinted = [0.2, 0.5]\nsource = "a paper, Table 2"\n'


def test_an_order_is_the_paper_s_beside_that_of_the_means(tmp_path: Path) -> None:
    of = reader.read(str(claiming(tmp_path, ORDER)))

    def lines(*records: dict[str, Any]) -> list[list[str]]:
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in section(of, records).splitlines() if "Table 2" in line]

    whole = [record(of, "ae", 0, 4.0), record(of, "ae", 1, 2.0), record(of, "vcae", 0, 2.5)]
    assert lines(*whole) == [
        ["rec_sse_test", "vcae", "2.500", "2", "0.5", "1", "a paper, Table 2"],
        ["rec_sse_test", "ae", "3 ± 13", "1", "0.2", "2", "a paper, Table 2"],  # t with 1 degree of freedom: 12.7 × 1
    ]
    assert [line[2:4] for line in lines(whole[0])] == [["not run", ""], ["4", "1"]]
    tied = lines(record(of, "ae", 0, 2.5), record(of, "vcae", 0, 2.5))
    assert [line[3] for line in tied] == ["1", "1"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["ae", "vcae"]', '["ae", "vcaee"]', r"orders\[0\].rows: unknown method 'vcaee'; did you mean 'vcae'"),
        ("[0.2, 0.5]", "[0.2]", r"printed must have a value for each of two rows or more, not 1 for 2"),
        ("printed", "print", r"unknown key 'orders\[0\].print'"),
    ],
)
def test_a_mistake_in_an_order_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader.read(str(claiming(tmp_path, ORDER.replace(old, new, 1))))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"vcae"', '"vcaee"', r"claims\[0\].row: unknown method 'vcaee'; did you mean 'vcae'"),
        ("printed = 0.5", 'printed = "half"', r"claims\[0\].printed must be a number, not 'half'"),
        ("over", "under", r"unknown key 'claims\[0\].under'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader.read(str(claiming(tmp_path, CLAIM.replace(old, new, 1))))
