"""Pictures beside a leaderboard: which of a suite's figures and rows have one, and how Markdown and the page show them. No torch here.

Figures of weights are drawn by `python -m bench figures SUITE`; here they are found by their names in leaderboards/figures.
"""

import base64
from collections.abc import Iterable
from pathlib import Path

from bench.markdown import section

FOLDER = "figures"  # of the leaderboards
FRONT = "front"  # of the drawing that is made with the board itself
SAMPLES = "samples"
WORDS = {  # figures of a suite, in the order in which its board shows them
    SAMPLES: "Test images, and below them the first decoded draws of every row, of one seed, none left out.",
    "densities": "Log densities over codes of two latents, row by row.",
    "rate-distortion": "What codes carry against what reconstructions lose, seed by seed.",
    "anytime": "How good rows are for the time that they have trained: metrics at shares of the budget, and at its end.",
}


def figures(boards: Path, suite: str) -> dict[str, Path]:
    """The suite's figures that are there, by kind."""
    paths = {kind: boards / FOLDER / f"{suite}-{kind}.png" for kind in WORDS}
    return {kind: path for kind, path in paths.items() if path.is_file()}


def pictures(boards: Path, suite: str) -> str:
    """The board's section of figures that were drawn of it; empty without any."""
    shown = [f"{WORDS[kind]}\n\n![{WORDS[kind]}]({FOLDER}/{path.name})" for kind, path in figures(boards, suite).items()]
    return section("Pictures", *shown)


def front(suite: str) -> str:
    """The file of the drawing of quality against its cost."""
    return f"{suite}-{FRONT}.svg"


def across(metric: str) -> str:
    """The file of the drawing of rows over several suites."""
    return f"over-suites-{metric}.svg"


def embedded(path: Path) -> str:
    """A PNG as an address that holds the picture itself; empty where there is no file."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}" if path.is_file() else ""


def strips(boards: Path, suite: str, labels: Iterable[str]) -> dict[str, str]:
    """Of the rows that have one, the small picture of images, reconstructions and samples."""
    found = {label: embedded(boards / FOLDER / suite / f"{label}.png") for label in labels}
    return {label: address for label, address in found.items() if address}
