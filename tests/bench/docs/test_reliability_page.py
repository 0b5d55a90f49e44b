"""The table of docs/reliability.md: a row for each fault; none of what was skipped, and nothing survived of what failed."""

from pathlib import Path

from reliability_page import BEGIN, END, page, rows

REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_one[x]"><properties><property name="fault" value="a fault"/><property name="tried" value="3"/>
<property name="note" value="two noticed"/></properties></testcase>
<testcase classname="tests.a" name="test_one[y]"><properties><property name="fault" value="a fault"/></properties></testcase>
<testcase classname="tests.b" name="test_two"><properties><property name="fault" value="another"/></properties><failure/></testcase>
<testcase classname="tests.b" name="test_three"><properties><property name="fault" value="a third"/></properties><skipped/></testcase>
<testcase classname="tests.b" name="test_four"/>
</testsuite></testsuites>"""


def test_rows_add_up_over_parameters_and_reports(tmp_path: Path) -> None:
    reports = [tmp_path / name for name in ("1.xml", "2.xml")]
    for report in reports:
        report.write_text(REPORT)
    one, two = "`tests/a.py`, test_one", "`tests/b.py`, test_two"
    assert rows(reports[:1]) == [("a fault", "4", "4", "two noticed", one), ("another", "1", "0", "", two)]
    assert rows(reports) == [("a fault", "8", "8", "two noticed; two noticed", one), ("another", "2", "0", "", two)]


def test_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    text = f"Before.\n{BEGIN}\n\nold\n\n{END}\nAfter.\n"
    found = page(text, [("a fault", "1", "1", "", "a test")])
    assert found.startswith("Before.\n")
    assert found.endswith(f"| a fault | 1 | 1 |  | a test |\n\n{END}\nAfter.\n")
    assert "old" not in found
