"""The page of all leaderboards: the same tiers and cells as the Markdown boards, the same bytes again, and names that do nothing."""

import base64
import hashlib
import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from made_up_records import SUITE, metric, page_board, record
from read_html import Document

from bench.leaderboard.page.axes import axis
from bench.leaderboard.page.board import Board, board
from bench.leaderboard.page.build import page
from bench.leaderboard.page.cards import told_apart
from bench.leaderboard.page.drawn import front_file
from bench.leaderboard.publish import PAGE, page_current
from bench.leaderboard.rows import Row, rows_of
from bench.leaderboard.standing import standing
from bench.leaderboard.tiers import paired_p, separated, tiers
from bench.records.store import PROFILE, Store
from bench.suites import reader
from bench.suites.schema import Entry, Suite

ROOT = Path(__file__).parents[4]
BOARDS = [name for name in reader.names() if (ROOT / "leaderboards" / f"{name}.md").exists()]
SLOWER = 3  # a machine that tests on all of its cores, beside a quiet one
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "a|b",
    "</script><b>",
    "`x` **y** [z](javascript:alert(1))",
)


@pytest.fixture(scope="module")
def committed() -> Document:
    return Document((ROOT / "leaderboards" / PAGE).read_text(encoding="utf-8"))


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The pipe tables of a board, each a list of rows of cells, heads first."""
    found: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            if not re.fullmatch(r"[|:-]+", line):
                found[-1].append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        before = line
    return found


def as_markdown(cells: Sequence[tuple[str, bool]]) -> list[str]:
    """A row of the page as Markdown has it: bold is the number alone, not its mark."""
    return [re.sub(r"^([^~†]*)", r"**\1**", text, count=1) if bold else text for text, bold in cells]


def test_the_committed_page_is_what_the_records_make() -> None:
    assert page_current(ROOT, pytest.fail), "python -m bench page"


@pytest.mark.parametrize("name", BOARDS)
def test_page_and_markdown_agree_in_places_tiers_and_cells(committed: Document, name: str) -> None:
    text = (ROOT / "leaderboards" / f"{name}.md").read_text(encoding="utf-8")
    tables = dict(committed.by_section())[name]
    first = [as_markdown(row) for row in tables[0]]
    assert first == markdown_tables(text)[0]
    assert len(first) > 3


@pytest.mark.parametrize("name", BOARDS)
def test_page_and_markdown_agree_in_the_tiers_of_every_other_column(committed: Document, name: str) -> None:
    """{(column, row): text} of the folded tables; Markdown's rows that share a line are taken apart."""
    text = (ROOT / "leaderboards" / f"{name}.md").read_text(encoding="utf-8")
    theirs: dict[tuple[str, str], str] = {}
    for heads, *rows in markdown_tables(text)[1:]:
        for cells in rows:
            for row in cells[0].split(", "):
                theirs |= {
                    (re.sub(r" \([^)]*\)$", "", head), row): re.sub(r" ?\[\d+\]$", "", cell)
                    for head, cell in zip(heads[1:], cells[1:], strict=True)
                }
    checked = 0
    for heads, *rows in dict(committed.by_section())[name][1:]:
        for cells in rows:
            row, *values = as_markdown(cells)
            for (head, _), value in zip(heads[1:], values, strict=True):
                key = (re.sub(r"(?<=[↓↑→]) .*$", "", head), row)
                key = key if key in theirs else (head.rpartition(" ")[0], row)
                assert value == theirs[key].replace("–", ""), key
                checked += bool(value)
    assert checked > 50


def made(labels: Sequence[str], seeds: int = 3, name: str = "digits") -> tuple[Suite, Board]:
    """A board of rows 1 apart, by their place in the list."""
    suite = replace(SUITE, name=name, seeds=seeds, methods=tuple(Entry(label, "vae") for label in labels))
    records = [
        record(label, seed, {"rec_sse_test": metric(float(i + 1) + 0.01 * seed), "mig": metric(None, reason="<i>no</i> factors")}, suite)
        for i, label in enumerate(labels)
        for seed in range(seeds)
    ]
    return suite, page_board(suite, records)


def test_hostile_names_are_text() -> None:
    document = Document(page({"digits": made(HOSTILE)[1]}, []))
    tags = [tag for tag, _ in document.elements]
    assert tags.count("script") == 2
    assert not {"img", "i", "iframe", "object", "embed", "base", "form"} & set(tags)
    assert not [name for _, attributes in document.elements for name in attributes if name.startswith("on") and name != "on"]
    assert not [v for _, attributes in document.elements for v in attributes.values() if str(v).lower().startswith("javascript:")]
    (_, tables) = next(document.by_section())
    assert [row[1][0] for row in tables[0][1:]] == list(HOSTILE)
    data = json.loads(document.contents["script"][0])
    assert data["suites"]["digits"]["rows"] == list(HOSTILE)
    assert "<" not in document.contents["script"][0]


def test_nothing_runs_but_the_page_s_own_script(committed: Document) -> None:
    policy = next(attributes["content"] for _, attributes in committed.elements if attributes.get("http-equiv"))
    for kind, text in (("style-src", committed.contents["style"][0]), ("script-src", committed.contents["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}';" in str(policy)
    assert str(policy).startswith("default-src 'none';")
    assert "unsafe" not in str(policy)
    addresses = [str(of.get(name)) for _, of in committed.elements for name in ("src", "href") if of.get(name)]
    assert not [address for address in addresses if re.match(r"[a-z]+:|//", address) and not address.startswith("data:image/png;base64,")]
    assert not [of for _, of in committed.elements if "style" in of]


def test_the_page_s_first_tier_is_that_of_the_tiers_whose_errors_are_simulated() -> None:
    """`tiers-check` simulates `tiers`; what the page has in bold, and the places of its rows, are of the same function."""
    rng = np.random.default_rng(5)
    suite, cut = replace(SUITE, seeds=4, methods=tuple(Entry(label, "vae") for label in "abcdefg")), 0
    for _ in range(20):
        values = {label: dict(enumerate((1.4 * (i // 3) + rng.normal(size=4)).tolist())) for i, label in enumerate("abcdefg")}
        made_up = [record(label, seed, {"rec_sse_test": metric(v)}, suite) for label, of in values.items() for seed, v in of.items()]
        shown, expected = page_board(suite, made_up), tiers(values, "lower")
        (column, *_) = shown.heads
        assert {row for row, cell in column.cells.items() if cell.best} == expected.best()
        places = dict(zip((row.name for row in shown.screen.rows), shown.screen.places, strict=True)) if shown.screen else {}
        assert places == {row: f"{a}–{b}" if b > a else str(a) for row, (a, b) in expected.place.items()}
        cut += bool(expected.best())
    assert 0 < cut < 20


def test_drawings_are_files_too() -> None:
    """As Markdown shows them: well-formed alone, with their style inside, and hostile names as text."""
    suite = replace(SUITE, seeds=3, methods=tuple(Entry(label, "vae") for label in HOSTILE))
    costs = [{"train_seconds": metric(9.0 - i, "training only", unit="s", group="cost")} for i in range(len(HOSTILE))]
    shown = page_board(
        suite,
        [
            record(label, seed, {"rec_sse_test": metric(float(i + 1) + 0.01 * seed)}, suite, cost=costs[i])
            for i, label in enumerate(HOSTILE)
            for seed in range(3)
        ],
    )
    root = ElementTree.fromstring(front_file(shown.scatters))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {part.tag.rpartition("}")[2] for part in root.iter()} == {"svg", "style", "path", "text", "g", "circle"}
    texts = [part.text for part in root.iter() if part.tag.endswith("text")]
    assert set(HOSTILE) & set(texts)
    assert front_file(shown.scatters) == front_file(shown.scatters)


def test_the_same_boards_give_the_same_bytes_in_whatever_order() -> None:
    one, other = made("ab", name="one")[1], made("abc", name="two")[1]
    assert page({"one": one, "two": other}, []) == page({"two": other, "one": one}, [])


def test_a_page_without_boards_says_so() -> None:
    assert "No suite has records yet" in page({}, [])


def test_pairs_that_the_seeds_separate_are_bits() -> None:
    rng = np.random.default_rng(0)
    values = {f"row{i}": dict(enumerate((0.4 * i + rng.normal(size=4)).tolist())) for i in range(9)}
    rows = made(list(values), 4)[1].rows
    found = standing(values, "lower", rows, ())
    bits = "".join(f"{byte:08b}" for byte in base64.b64decode(told_apart(found)))
    expected = separated(paired_p(found.compared.values))
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    assert [bit == "1" for bit in bits[: len(pairs)]] == [bool(expected[pair]) for pair in pairs]
    assert 0 < sum(expected[pair] for pair in pairs) < len(pairs)


@pytest.mark.parametrize(
    "values",
    [[1.0, 2.0, 3.0], [0.0, 0.0], [5.0], [-1e308, 1e308], [1e-300, 1e300], [1e-9, 2e-9], [0.001, 5000.0], [-3.0, 2.0], [1e12, 1e12 + 1]],
)
def test_an_axis_holds_its_values_and_some_round_numbers(values: list[float]) -> None:
    found = axis(values, 50, 600)
    places = [found(value) for value in values]
    assert all(50 <= place <= 600 for place in places)
    assert places == sorted(places)
    ticks = found.ticks()
    assert 2 <= len(ticks) <= 12
    assert all(50 <= at <= 600 and math.isfinite(float(label)) for at, label in ticks)
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)


def a_thousand_runs() -> dict[str, tuple[Suite, list[Row]]]:
    """Rows of the richest board, as often as it takes; the last copy has the runs that are left."""
    suite, store = reader.read("zoo"), Store(ROOT, "zoo")
    records, profiles = store.records(), store.records(PROFILE)
    found, left = {}, 1000
    while left:
        some = records[:left]
        name, left = f"zoo-{left}", left - len(some)
        named = [[{**of, "suite": name} for of in part] for part in (some, profiles)]
        copy = replace(suite, name=name)
        found[name] = copy, [row for row in rows_of(copy, *named) if row.records or not row.stale]
    return found


@pytest.mark.slow
def test_a_thousand_runs_take_at_most_a_megabyte_and_two_seconds() -> None:
    suites = a_thousand_runs()
    assert sum(len(row.records) for _, rows in suites.values() for row in rows) == 1000
    page({name: board(*of) for name, of in suites.items()}, [])  # templates are read once
    suites, begun = a_thousand_runs(), time.process_time()
    text = page({name: board(*of) for name, of in suites.items()}, [])
    assert time.process_time() - begun <= 2 * SLOWER
    assert len(text.encode()) <= 1024 * 1024
    print(len(text.encode()), time.process_time() - begun)
