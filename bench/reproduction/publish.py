"""The pages of reproduction on disk: written from papers' files and records alone, equal bytes for equal ones. No torch here."""

from collections.abc import Iterable
from pathlib import Path

from bench.files import write
from bench.reproduction import hours, overview_page, paper_page
from bench.reproduction.numbers import standings
from bench.reproduction.paper import Paper
from bench.reproduction.paper_page import Found
from bench.reproduction.reader import built_in, read
from bench.reproduction.results import Results
from bench.reproduction.verdicts import judged

FOLDER = "reproduction"


def look(papers: Iterable[Paper], out: Path) -> list[Found]:
    """What the records of a folder say of papers."""
    results, costs = Results(out), hours.read(out)
    return [Found(of, tuple(standings(of, results)), tuple(judged(of, results)), results, costs) for of in papers]


def all_papers(own: Iterable[Paper] = ()) -> list[Paper]:
    """Those that come with latentbench, and others that a user has a file of."""
    known = [read(name) for name in built_in()]
    return known + [paper for paper in own if paper not in known]


def pages(found: Iterable[Found], out: Path) -> dict[Path, bytes]:
    """Every page and what it holds: of each paper, and of all of them."""
    papers, boards = list(found), out / "leaderboards"
    made = {page_of(of.paper, out): paper_page.page(of).encode() for of in papers}
    return {**made, boards / f"{FOLDER}.md": overview_page.page(papers).encode()}


def page_of(paper: Paper, out: Path) -> Path:
    """Where a paper's page lies."""
    return out / "leaderboards" / FOLDER / f"{paper.name}.md"


def publish(found: Iterable[Found], out: Path) -> Path:
    """Write the pages; -> the one of all papers."""
    made = pages(found, out)
    for path, content in made.items():
        write(path, content)
    return list(made)[-1]


def outdated(out: Path) -> list[Path]:
    """The pages on disk that are not what papers' files and records make."""
    made = pages(look(all_papers(), out), out)
    return [path for path, content in made.items() if not path.exists() or path.read_bytes() != content]
