"""The page of all leaderboards in a real browser: Debian's or another Chromium, offline, from a file."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boards import first_screen
from made_up_records import SUITE, metric, page_board, record

from bench.leaderboard.page.build import page as page_text
from bench.leaderboard.publish import PAGE
from bench.records.store import read_records
from bench.suites.schema import Entry

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'latentbench[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no chromium on the PATH")]
COMMITTED = Path(__file__).parents[4] / "leaderboards" / PAGE
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Opens a page at an address; in the end no page may have asked for another file, said anything on the console, or shown a box."""
    contexts, said = [], list[str]()

    def visit(address: str = "", file: Path = COMMITTED, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": DESKTOP, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda box: (said.append(f"a box: {box.message}"), box.dismiss()))
        page.on("request", lambda request: said.append(request.url) if request.url.partition("#")[0] != file.as_uri() else None)
        page.goto(file.as_uri() + address)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert [text for text in said if not text.startswith("blob:")] == []


def names(page: Any) -> list[str]:
    """The methods of the table in sight, from the top."""
    return [text.strip() for text in page.locator(".main:visible tbody tr[data-r]:visible th a").all_inner_texts()]


def saved(page: Any, kind: str) -> str:
    """What a download button gives."""
    page.locator(".menu:visible", has_text="Download").evaluate("menu => { menu.open = true; }")
    with page.expect_download() as download:
        page.click(f"button[data-save={kind}]:visible")
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_every_suite_opens_without_a_word_on_the_console(visit: Open) -> None:
    page = visit()
    links = page.locator("nav a")
    for i in range(links.count()):
        links.nth(i).click()
        assert page.locator(".suite:visible").count() == 1
        assert page.locator("nav a[aria-current]").inner_text() == links.nth(i).inner_text()
    assert links.count() >= 8


def test_a_column_sorts_and_brings_its_places(visit: Open) -> None:
    page = visit("#zoo")
    before = names(page)
    page.click(".main:visible th:has-text('SSE') button")
    assert sorted(names(page)) == sorted(before) != names(page) != before
    firsts = page.locator(".main:visible tbody tr:first-child td").nth(0).inner_text()
    assert firsts.startswith("1")
    assert "sort=rec_sse_test" in page.url
    up = names(page)
    page.click(".main:visible th:has-text('SSE') button")
    assert page.locator(".main:visible th[aria-sort=descending]").count() == 1
    ranked = [name for name in up if name in names(page)[: len(up) - 2]]
    assert names(page)[0] == ranked[-1] or names(page)[0] == up[-2] or names(page)[0] in up[-3:]


def test_filter_groups_and_columns_are_in_the_address(visit: Open) -> None:
    page = visit("#zoo")
    page.keyboard.press("/")
    page.keyboard.type("wae")
    some = names(page)
    assert 3 < len(some) < 20
    assert page.locator(".count:visible").inner_text() == f"{len(some)} of 31 rows"
    page.select_option(".bar:visible select", "cost")
    assert page.locator(".main:visible .band-head:visible").count() >= 1
    page.click(".columns:visible summary")
    page.check(".columns:visible input[value=active_units]") if page.locator(".columns:visible input[value=active_units]").count() else None
    page.check(".columns:visible input[value=frechet_pca_reconstruction]")
    page.uncheck(".columns:visible input[value=overfit_ratio]")
    heads = page.locator(".main:visible thead th:visible").all_inner_texts()
    assert any("frechet_pca_reconstruction" in head for head in heads)
    assert not any("test/train" in head for head in heads)
    again = visit(page.url.partition(".html")[2])
    assert names(again) == names(page)
    assert again.locator(".main:visible thead th:visible").all_inner_texts() == heads
    assert again.locator(".bar:visible select").input_value() == "cost"


def test_a_click_opens_a_card_and_its_address_opens_it_again(visit: Open) -> None:
    page = visit("#zoo")
    page.locator(".main:visible tbody tr", has_text="wae_gan").first.locator("td").nth(2).click()
    card = page.locator("dialog")
    text = card.inner_text()
    assert "python -m bench run --suite zoo --methods wae_gan" in text
    (commit,) = {
        line["environment"]["commit"] for line in read_records(COMMITTED.parent / "runs" / "zoo.jsonl", "") if line["label"] == "wae_gan"
    }
    for part in ("Configuration", "Hot spots", "SHA-256", f"commit {commit[:8]}", "adversary", "seed by seed"):
        assert part in text, part
    assert re.search(r"today|1 day ago|\d+ days ago", text)
    assert "row=wae_gan&col=rec_sse_test" in page.url
    again = visit(page.url.partition(".html")[2])
    assert again.locator("dialog h3").inner_text() == "wae_gan"
    assert again.locator("td.here").inner_text() == page.locator("td.here").inner_text()
    again.keyboard.press("Escape")
    assert not again.locator("dialog").is_visible()
    assert "row=" not in again.url


def test_two_rows_side_by_side_have_the_verdict_of_the_tests(visit: Open) -> None:
    page = visit("#zoo?row=wae_gan&beside=beta_vae")
    line = page.locator("dialog tr", has_text="SSE").first
    assert line.locator("td").nth(0).get_attribute("class") == "better"
    assert line.locator("td").nth(2).inner_text() == "separated"
    other = visit("#zoo")
    for name in ("wae_mmd", "wae_mmd_rbf"):
        other.check(f"input[aria-label='compare {name}']:visible")
    other.click("#_tray .go")
    line = other.locator("dialog tr", has_text="SSE").first
    assert line.locator("td").nth(2).inner_text() == "not separated"
    assert "beside=" in other.url


def test_downloads_have_the_rows_and_columns_that_are_shown(visit: Open) -> None:
    page = visit("#zoo?q=wae&less=train_seconds,parameter_count")
    rows = list(csv.DictReader(io.StringIO(saved(page, "csv"))))
    assert [row["method"] for row in rows] == [name.rstrip("‡†") for name in names(page)]
    first, shown = rows[0], first_screen((COMMITTED.parent / "zoo.md").read_text(encoding="utf-8"))[rows[0]["method"]]
    mean, half = shown["SSE ↓"].strip("*~").split(" ± ")
    assert (first["suite"], first["place"]) == ("zoo", shown["place"])
    assert (first["rec_sse_test"], first["rec_sse_test half width"]) == (mean, half)
    assert "train_seconds" not in first
    table = json.loads(saved(page, "json"))
    leads = shown["SSE ↓"].startswith("**")
    assert table["rows"][0]["values"]["rec_sse_test"] == {"mean": float(mean), "half_width": float(half), "first_tier": leads}
    lines = saved(page, "tex").splitlines()
    assert lines[2] == "\\toprule"
    cells = [re.sub(r"^\*\*(.*)\*\*$", r"\\textbf{\1}", shown[head]).replace("±", r"$\pm$") for head in ("samples ↓", "SSE ↓")]
    assert lines[5].startswith(" & ".join([shown["place"].replace("–", "--"), first["method"].replace("_", r"\_"), *cells]))


def test_the_keyboard_reaches_a_card(visit: Open) -> None:
    page = visit("#zoo")
    page.locator(".main:visible tbody a").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()
    page.locator(".main:visible thead button").nth(1).focus()
    page.keyboard.press("Enter")
    assert "sort=rec_sse_test" in page.url


def test_without_script_all_tables_are_plain_and_nothing_is_dead(visit: Open) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator(".suite:visible").count() == page.locator(".suite").count() >= 8
    assert page.locator(".main:visible").count() >= 8
    for what in ("button:visible", "select:visible", "input[type=search]:visible", "#_tray:visible", "dialog:visible"):
        assert page.locator(what).count() == 0, what
    assert page.locator("#zoo details.group table").count() >= 5


def test_a_phone_scrolls_tables_and_not_the_page(visit: Open) -> None:
    page = visit("#zoo", viewport=PHONE, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.locator(".main:visible tbody a").first.tap()
    box = page.locator("dialog").bounding_box()
    assert box["x"] >= 0
    assert box["width"] <= PHONE["width"]


def test_dark_mode_is_dark_and_print_has_no_controls(visit: Open) -> None:
    page = visit("#zoo", color_scheme="dark")
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 60
    page.emulate_media(media="print")
    assert not page.locator("header").is_visible()
    assert not page.locator(".bar").first.is_visible()
    assert page.locator("#zoo .main").is_visible()


def test_hostile_names_do_nothing(visit: Open, tmp_path: Path) -> None:
    labels = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=HYPERLINK(1)", "a|b", "__proto__", "a_{$%}\\")
    suite = replace(SUITE, seeds=3, methods=tuple(Entry(label, "vae") for label in labels))
    records = [
        record(label, seed, {"rec_sse_test": metric(float(i + 1) + 0.01 * seed)}, suite)
        for i, label in enumerate(labels)
        for seed in range(3)
    ]
    file = tmp_path / "index.html"
    file.write_text(page_text({"digits": page_board(suite, records)}, []), encoding="utf-8")
    page = visit(file=file)
    assert names(page) == list(labels)
    rows = list(csv.reader(io.StringIO(saved(page, "csv"))))
    assert [row[2] for row in rows[1:]] == ["'=HYPERLINK(1)" if label[0] == "=" else label for label in labels]
    assert "a\\_\\{\\$\\%\\}\\textbackslash{} &" in saved(page, "tex")
    for i, label in enumerate(labels):
        page.locator(".main:visible tbody a").nth(i).click()
        assert page.locator("dialog h3").inner_text() == label
        page.keyboard.press("Escape")
