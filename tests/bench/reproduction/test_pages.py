"""The pages of reproduction: those that are committed, and what never stands in them."""

import re
from pathlib import Path

import pytest
from made_up_paper import ROWS, Planted, cell, ordering, paper, records

from bench.reproduction import overview_page, paper_page
from bench.reproduction.hours import Cost, Hours, keep, read, spelt
from bench.reproduction.numbers import standings
from bench.reproduction.paper import Deviation, Paper, Part, Setting, Table
from bench.reproduction.paper_page import Found
from bench.reproduction.publish import outdated
from bench.reproduction.verdicts import judged

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "leaderboards" / "reproduction.md", *sorted((ROOT / "leaderboards" / "reproduction").glob("*.md"))]


def made_up(**changed: object) -> Paper:
    cells = (cell(1.0, reduced=("digits",)), cell(7.0, metric="fid_pz"))
    table = Table("Table 1", "points", cells, ("a note",), {"fid_pz": "of samples"})
    parts = (Part("Table 1", "errors", ("mog",)), Part("Figure 1", "a scheme", missing="nothing is measured"))
    deviations = (Deviation("C", "Another network.", ("Table 1",)),)
    about = ordering(printed=(1.0, 2.0), reason="the weight")
    return paper([about], tables=(table,), parts=parts, deviations=deviations, **changed)


def found(settings: dict[str, Setting] | None = None, **suites: list[dict[str, object]]) -> Found:
    of, results = made_up(**{"settings": settings} if settings else {}), Planted(**suites)
    hours = Hours("a machine", {"mog": {"vcae": Cost(2.5, 1000)}})
    return Found(of, tuple(standings(of, results)), tuple(judged(of, results)), results, hours)


def test_committed_pages_are_those_of_the_committed_records() -> None:
    assert outdated(ROOT) == [], "python -m bench reproduce"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_table_is_wider_than_reads_well(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert max(line.replace("\\|", "").count("|") for line in rows) <= 10
    cells = [cell for line in rows for cell in line.strip("|").split("|")]
    assert max(map(len, cells)) <= 240
    assert len(text.encode()) < 60 * 1024


def test_the_overview_is_reached_from_the_index_and_the_readme() -> None:
    for page in ("README.md", "leaderboards/README.md"):
        assert "reproduction.md)" in (ROOT / page).read_text(encoding="utf-8")


def test_a_reduced_budget_s_number_is_on_no_page() -> None:
    of = found(digits=records({row: {0: 3.14159, 1: 3.14161} for row in ROWS}))
    for text in (paper_page.page(of), overview_page.page([of])):
        assert "3.14" not in text
        assert "orderings by digits" in text or "reduced budget only" in text
        assert "2.5 h a run" in text


def test_printed_and_measured_stand_side_by_side() -> None:
    of = found(mog=records({"vcae": {0: 1.0, 1: 1.4}, "cwae": {0: 2.0, 1: 2.0}}))
    text = paper_page.page(of)
    (line,) = [line for line in text.splitlines() if line.startswith("| VCAE   | rec_sse_test")]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "VCAE",
        "rec_sse_test",
        "1",
        "1.2 ± 2.5",  # 12.7 × 0.2
        "-3.202 to 5.602",  # 12.7 × 0.2 × √3
        "0.2000",
        "inside",
    ]
    assert "**mog** 2/2, ratio 0.6 ± 1.3, printed 0.5" in text
    assert "Another network. *from the paper's released implementation; Table 1*" in text
    assert "1 ordering is judged by the paper's own experiment" in overview_page.page([of])


def test_contradictions_are_shown_with_their_reasons() -> None:
    lost = records({"vcae": {0: 3.0}, "cwae": {0: 2.0}})
    of = found(digits=lost)
    assert "it is smaller: the weight." in paper_page.page(of)
    assert re.search(r"\|made-up\|it is smaller\|Table 1\|`rec_sse_test`\|digits 0/1\|the weight\|", overview_page.page([of]))
    assert "Contradicted by every seed of the paper's own experiment: 0." in overview_page.page([of])
    assert "Contradicted by every seed of the paper's own experiment: 1." in overview_page.page([found(mog=lost)])


def test_whose_the_full_budget_is_stands_beside_its_numbers_and_verdicts() -> None:
    settings = {"mog": Setting("mog", "paper", budget_from="here"), "digits": Setting("digits", "cpu", differs="8x8 digits")}
    of = found(settings=settings, mog=records({"vcae": {0: 1.0, 1: 1.4}, "cwae": {0: 2.0, 1: 2.0}}))
    said = "The budget of `mog` is chosen here; the paper states none."
    assert said in paper_page.page(of)
    assert said in overview_page.page([of])
    assert "1 ordering is judged by the paper's own experiment (1 at a budget chosen here), 0 by suites" in overview_page.page([of])
    assert re.search(r"suites/mog.toml\): mog, .* \(chosen here; the paper states none\), ", paper_page.page(of))
    assert "The budget of" not in paper_page.page(found(mog=records({"vcae": {0: 1.0}, "cwae": {0: 2.0}})))


def test_a_metric_that_stands_in_for_the_paper_s_is_named() -> None:
    about = ordering(metrics=("fid_pz", "rec_sse_test"))
    of = Found(
        paper([about]), (), tuple(judged(paper([about]), Planted(digits=records({row: {0: 1.0} for row in ROWS})))), Planted(), Hours()
    )
    assert "|it is smaller|Table 1|`rec_sse_test` for `fid_pz`|digits 0/1, 1 tied|" in paper_page.page(of)


def test_hours_are_kept_and_added_to(tmp_path: Path) -> None:
    assert read(tmp_path) == Hours()
    keep(tmp_path, Hours("one", {"mog": {"vcae": Cost(1.0, 10), "cwae": Cost(2.0, 10, True)}}))
    keep(tmp_path, Hours("other", {"mog": {"vcae": Cost(3.0, 10)}, "sine": {"aevb": Cost(4.0, 10)}}))
    assert read(tmp_path).rows == {"mog": {"vcae": Cost(3.0, 10), "cwae": Cost(2.0, 10, True)}, "sine": {"aevb": Cost(4.0, 10)}}
    assert [spelt(hours) for hours in (0.004, 0.05, 1.44, 9.99, 13.6, 857.2)] == ["14 s", "3 min", "1.4 h", "10 h", "14 h", "857 h"]
    assert str(Cost(13.6, 1, True)) == "at most 14 h"
