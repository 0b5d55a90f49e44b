"""Writes the table of docs/reliability.md from reports of pytest: `python tests/support/reliability_page.py REPORT.xml ... docs`."""

import sys
from pathlib import Path
from xml.etree import ElementTree

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = ("fault", "tried", "survived", "what it met", "test")


def rows(report: Path) -> list[tuple[str, ...]]:
    """A row for each test that says what it tried; one that failed survived nothing that it can vouch for."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        said = {one.get("name"): one.get("value") or "" for one in case.iter("property")}
        failed = case.find("failure") is not None or case.find("error") is not None
        if "fault" in said:
            path = (case.get("classname") or "").replace(".", "/") + ".py"
            name = (case.get("name") or "").partition("[")[0]
            found.append((said["fault"], said["tried"], "0" if failed else said["tried"], said["note"], f"`{path}`, {name}"))
    return found


def table(found: list[tuple[str, ...]]) -> str:
    """In Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, ("---",) * len(HEAD), *found))


def page(text: str, found: list[tuple[str, ...]]) -> str:
    """The page with this table in place of the one between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    *reports, docs = map(Path, sys.argv[1:])
    path = docs / "reliability.md"
    found = [row for report in reports for row in rows(report)]
    path.write_text(page(path.read_text(encoding="utf-8"), found), encoding="utf-8")
