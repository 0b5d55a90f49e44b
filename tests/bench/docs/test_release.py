"""The version is one: in pyproject.toml, the changelog and the citation."""

import re
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CITATION = dict(re.findall(r"^([\w-]+): \"?([^\n\"]+)\"?$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
RELEASES = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)


def test_the_newest_release_of_the_changelog_is_the_version() -> None:
    assert RELEASES[0][0] == VERSION == CITATION["version"]
    assert RELEASES[0][1] == CITATION["date-released"]


def test_releases_are_in_order_and_dated() -> None:
    versions = [tuple(map(int, version.split("."))) for version, _ in RELEASES]
    dates = [date.fromisoformat(day) for _, day in RELEASES]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_every_heading_of_the_changelog_has_its_link() -> None:
    headings = re.findall(r"^## \[([\w.]+)\]", CHANGELOG, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert set(headings) == set(re.findall(r"^\[([\w.]+)\]: ", CHANGELOG, re.MULTILINE))


def test_sections_have_the_names_of_keep_a_changelog() -> None:
    sections = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_has_what_the_format_requires() -> None:
    """CFF 1.2.0: cff-version, message, title, authors; the rest of the schema is checked when the file changes, by cffconvert."""
    assert {"cff-version", "message", "title", "version", "license", "type"} <= CITATION.keys()
    assert CITATION["cff-version"] == "1.2.0"
    assert "authors:\n  - name: latentbench developers" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
