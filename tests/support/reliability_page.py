"""Writes the table of docs/reliability.md from reports of pytest: `python tests/support/reliability_page.py REPORT.xml ... docs`."""

import sys
from pathlib import Path
from xml.etree import ElementTree

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
HEAD = ("fault", "tried", "survived", "what it met", "test")


def rows(reports: list[Path]) -> list[tuple[str, ...]]:
    """A row for each fault and its test, of all its parameters together; one that failed survived nothing that it can vouch for."""
    found = dict[tuple[str, str], list[tuple[int, int, str]]]()
    for case in (case for report in reports for case in ElementTree.parse(report).iter("testcase")):
        said = {one.get("name"): one.get("value") or "" for one in case.iter("property")}
        if "fault" in said and case.find("skipped") is None:
            path = (case.get("classname") or "").replace(".", "/") + ".py"
            test = f"`{path}`, {(case.get('name') or '').partition('[')[0]}"
            tried, failed = int(said.get("tried", 1)), case.find("failure") is not None or case.find("error") is not None
            found.setdefault((said["fault"], test), []).append((tried, 0 if failed else tried, said.get("note", "")))
    return [
        (fault, *(str(sum(part[i] for part in parts)) for i in (0, 1)), "; ".join(filter(None, (note for *_, note in parts))), test)
        for (fault, test), parts in found.items()
    ]


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
    path.write_text(page(path.read_text(encoding="utf-8"), rows(reports)), encoding="utf-8")
