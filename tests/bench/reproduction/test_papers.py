"""The papers' files: complete, true to what is printed, every name in them exists; and one line for each mistake in such a file."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from bench.commands.reproduce import known_metrics
from bench.errors import UserError
from bench.figures import kinds
from bench.reproduction.paper import Paper
from bench.reproduction.reader import built_in, check_metrics, read
from bench.reproduction.selection import needed, part_of, select
from bench.reproduction.verdicts import outcome

ROOT = Path(__file__).parents[3]
PAPERS = [read(name) for name in built_in()]
PUBLISHED = Path(os.environ.get("LATENTBENCH_DATA", ROOT.parent / "shared" / "data")).parent / "papers" / "published.json"
NAMES = {  # of metrics, as the list of published numbers has them and as records do
    "elbo": "elbo_laplace",
    "rec_l1_per_pixel_x100": "rec_l1_per_pixel_x100_test",
    "rec_bce_sum": "rec_bce_sum_test",
    "rec_mse": "rec_sse_test",
    "fid_generation": "fid_pz",
}


def printed(paper: Paper) -> Counter[tuple[str, str, str, str, float, float | None]]:
    """Every number with its place."""
    return Counter(
        (table.part, table.dataset, cell.method.partition(", run ")[0], cell.metric.removesuffix("_bound"), cell.printed, cell.plus_minus)
        for table in paper.tables
        for cell in table.cells
    )


def test_all_220_numbers_are_there_and_more_than_80_orderings() -> None:
    counts = {paper.name: len(paper.cells) for paper in PAPERS}
    assert counts == {"wae": 3, "vcae": 157, "ladder": 60, "wise-ale": 0, "stacked-wae": 0}  # the last two print no table of results
    assert sum(counts.values()) == 220
    assert sum(len(paper.orderings) for paper in PAPERS) >= 80


@pytest.mark.skipif(not PUBLISHED.is_file(), reason=f"the list of published numbers is not there: {PUBLISHED}")
def test_the_numbers_are_those_that_the_papers_print() -> None:
    wanted: dict[str, Counter[tuple[str, str, str, str, float, float | None]]] = {}
    for entry in json.loads(PUBLISHED.read_bytes()):
        place = (entry["table"].removesuffix(" (text)"), entry["dataset"], entry["method"], NAMES.get(entry["metric"], entry["metric"]))
        wanted.setdefault(entry["paper"], Counter())[*place, float(entry["value"]), entry["stderr"]] += 1
    assert {paper.name: printed(paper) for paper in PAPERS if paper.cells} == wanted


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_metric_and_figure_exists(paper: Paper) -> None:
    check_metrics(paper, known_metrics(paper))
    assert {figure for part in paper.parts for figure in part.figures} <= kinds.OF_RUNS.keys()
    assert all(part.missing or part.figures or paper.of_part(part) for part in paper.parts)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_printed_values_of_an_ordering_are_in_its_order_and_among_the_numbers(paper: Paper) -> None:
    assert [of.claim for of in paper.orderings if of.printed and outcome(of.printed, of) == "lost"] == []
    claims = Counter(of.claim for of in paper.orderings)
    assert [claim for claim, count in claims.items() if count > 1] == []


def test_parts_are_found_by_their_names_and_numbers() -> None:
    vcae, wise_ale = read("vcae"), read("wise-ale")
    assert part_of(vcae, "2") == part_of(vcae, "Table 2") == part_of(vcae, "table2")
    assert part_of(vcae, "12").title == "Figure 12"
    assert part_of(vcae, "6.1").title == "Section 6.1"
    assert part_of(wise_ale, "4").title == part_of(wise_ale, "fig. 4").title == "Figure 4"
    assert read("wise_ale") is not None
    with pytest.raises(UserError, match="vcae: unknown part 'tabel2'; did you mean 'table2'"):
        part_of(vcae, "tabel2")
    with pytest.raises(UserError, match="unknown paper 'vcea'; did you mean 'vcae'"):
        read("vcea")


def test_a_part_has_the_orderings_of_its_place_and_claims_are_all_of_them() -> None:
    vcae = read("vcae")
    assert {of.where for of in select(vcae, "table10").orderings} == {"Tables 3, 10", "Table 10"}
    assert select(vcae, "claims").orderings == vcae.orderings
    assert select(vcae, "claims").cells == []
    assert len(select(vcae, "2").cells) == 28
    assert {of.where for of in select(vcae, "1").orderings} == {"Table 1"}  # and not those of Table 10


def test_what_is_needed_is_at_the_budget_that_was_asked_for() -> None:
    selection = select(read("vcae"), "2")
    assert {one.suite for one in needed(selection, "paper")} == {"mnist", "celeba"}
    assert sum(one.numbers for one in needed(selection, "paper")) == 28
    assert ("mnist", "vcae+flow") in {(one.suite, one.row) for one in needed(selection, "paper")}
    assert "mnist-cpu" in {one.suite for one in needed(selection, "cpu")}
    assert {one.suite for one in needed(selection, "cpu")}.isdisjoint({"mnist", "celeba"})


GOOD = """
title = "A title"
source = "nowhere"

[suites.mog]
budget = "paper"

[suites.digits]
budget = "cpu"

[[parts]]
title = "Table 1"
shows = "errors"
suites = ["mog"]

[[tables]]
part = "Table 1"
dataset = "points"
suite = "mog"
cells = [{ method = "VCAE", row = "vcae", metric = "rec_sse_test", printed = 1.5 }]

[[orderings]]
claim = "it is smaller"
where = "Table 1"
metrics = ["rec_sse_test"]
rows = ["vcae", "cwae"]
suites = ["mog", "digits"]

[[deviations]]
tag = "C"
text = "Another network."
"""


def test_a_file_of_one_s_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, encoding="utf-8")
    paper = read(str(path))
    assert (paper.name, paper.cells[0].printed, paper.orderings[0].rows) == ("mine", 1.5, ("vcae", "cwae"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[suites.mog]", "[suites.mogg]", "suites: unknown suite 'mogg'; did you mean 'mog'"),
        ('row = "vcae"', 'row = "vcaee"', r"tables\[0\].cells\[0\]: suite mog: unknown row 'vcaee'; did you mean 'vcae'"),
        ('"vcae", "cwae"', '"vcae", "cwea"', r"orderings\[0\].rows: suite mog: unknown row 'cwea'; did you mean 'cwae'"),
        ('part = "Table 1"', 'part = "Table 2"', r"tables\[0\].part: unknown part 'Table 2'; did you mean 'Table 1'"),
        ('["mog", "digits"]', '["mog", "digit"]', r"orderings\[0\].suites: unknown suite 'digit'; did you mean 'digits'"),
        ("printed = 1.5", 'printed = "1.5"', r"tables\[0\].cells\[0\].printed must be a number, not '1.5'"),
        ("printed = 1.5", "printed = nan", r"tables\[0\].cells\[0\].printed must be finite, not nan"),
        (", printed = 1.5", "", r"missing key 'tables\[0\].cells\[0\].printed'"),
        (
            'suite = "mog"',
            'suite = "digits"',
            r"tables\[0\].cells\[0\].suite: suite 'digits' has a reduced budget, it answers orderings only",
        ),
        ('suite = "mog"', 'suite = "mog"\nreduced = ["mog"]', r"tables\[0\].cells\[0\].reduced: suite 'mog' is at full budget"),
        ("cells = [", "cell = [", r"unknown key 'tables\[0\].cell'; did you mean 'tables\[0\].cells'"),
        ("printed = 1.5", "printed = 1.5, metrik = 2", r"unknown key 'tables\[0\].cells\[0\].metrik'; did you mean"),
        (
            'budget = "cpu"',
            'budget = "cpu"\nbudget_from = "here"',
            "suites.digits.budget_from is of full budgets; a reduced one says in differs",
        ),
        (
            'budget = "paper"',
            'budget = "paper"\nbudget_from = "her"',
            "suites.mog.budget_from must be one of 'paper', 'implementation', 'here'",
        ),
        ('budget = "cpu"', 'budget = "gpu"', "suites.digits.budget must be one of 'paper', 'cpu', not 'gpu'"),
        ('budget = "cpu"', 'budget = "cpu"\nrows = { a = "vcaee" }', "suites.digits.rows: unknown row 'vcaee'; did you mean 'vcae'"),
        ('rows = ["vcae", "cwae"]', 'rows = ["vcae"]', r"orderings\[0\].rows must name two rows or more, not \['vcae'\]"),
        (
            'rows = ["vcae", "cwae"]',
            'rows = ["vcae", "cwae"]\nbounds = [1, 0]',
            r"orderings\[0\].bounds must be a lower and an upper one, of one row",
        ),
        (
            'rows = ["vcae", "cwae"]',
            'rows = ["vcae", "cwae"]\nprinted = [1]',
            r"orderings\[0\].printed must have a value for each of 2 rows, not 1",
        ),
        (
            'rows = ["vcae", "cwae"]',
            'rows = ["vcae", "cwae"]\nconstrained = ["ae"]',
            r"orderings\[0\].constrained: unknown row of this ordering 'ae'",
        ),
        (
            'rows = ["vcae", "cwae"]',
            'rows = ["vcae", "cwae"]\nelsewhere = ["zoo"]',
            r"orderings\[0\].elsewhere: unknown suite of this ordering 'zoo'",
        ),
        ('metrics = ["rec_sse_test"]\n', "", r"orderings\[0\] must name metrics and suites, or say in missing why there are none"),
        ('tag = "C"', 'tag = "D"', r"deviations\[0\].tag must be one of 'E', 'C', 'inferred', 'differs', not 'D'"),
        ('title = "A title"\n', "", "missing key 'title'"),
        ('title = "A title"', "title = [", "not a TOML file"),
        ("[[deviations]]", "[deviations]", r"deviations must be a list of tables, \[\[deviations\]\]"),
        ('source = "nowhere"', 'source = "nowhere"\nsuites = 3', "not a TOML file"),
        ('source = "nowhere"', 'source = "nowhere"\nweights = 3', "weights must be a table, not 3"),
        ('source = "nowhere"', 'source = "nowhere"\nclaims = 3', "unknown key 'claims'"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_and_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        read(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_misspelt_metric_is_refused_with_the_near_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for old, new in (('metric = "rec_sse_test"', 'metric = "rec_sse_tset"'), ('metrics = ["rec_sse_test"]', 'metrics = ["rec_sse_tset"]')):
        path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
        read.cache_clear()
        paper = read(str(path))
        with pytest.raises(UserError, match="unknown metric 'rec_sse_tset'; did you mean 'rec_sse_test'"):
            check_metrics(paper, known_metrics(paper))


def test_a_file_that_would_take_a_page_s_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vcae.toml"
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(UserError, match="latentbench has a paper of that name"):
        read(str(path))
    with pytest.raises(UserError, match="no such file of a paper; known papers: ladder"):
        read(str(tmp_path / "none.toml"))
