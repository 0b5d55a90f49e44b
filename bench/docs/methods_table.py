"""SPEC 1.1's table of all methods, made from the methods themselves; docs/methods.md has it between two markers.

`python -m bench.docs.methods_table docs/methods.md` writes it anew.
"""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.markdown import table
from bench.registry import catalogue
from models.networks.mlp import mlp
from models.networks.stacked import stacked_mlp

HEADERS = ("method", "posterior", "cost", "regularisers", "prior", "sampler", "players", "paper", "equation")
SHAPE, DIM = (1, 8, 8), 8  # what the methods are assembled for
BEGIN = "<!-- methods: written by bench/docs/methods_table.py -->\n"
END = "<!-- methods: end -->\n"
PAPER = r'(?:"[^"]+", )?(arXiv:\d+\.\d+)|"([^"]+)"'  # by its number, or by its title where none follows
NUMBER = r"(?:[A-Z]\.)?\d+(?:\.\d+)*"
PLACE = rf"(?:Eq\.|Algorithm|[Ss]ection|[Aa]ppendix|Table) {NUMBER}(?:(?:-|, ){NUMBER})*"


def rows(methods: Mapping[str, Callable[..., Any]]) -> list[list[str]]:
    """One row for each method with its default values at DIM latents, family by family."""
    return [row(name, make) for name, make in sorted(methods.items(), key=lambda item: (item[1].__module__, place(item[1])))]


def place(make: Callable[..., Any]) -> int:
    """The line of its file on which a method begins."""
    return inspect.unwrap(make).__code__.co_firstlineno


def row(name: str, make: Callable[..., Any]) -> list[str]:
    """What HEADERS name."""
    with torch.random.fork_rng(devices=[]):
        recipe = make(DIM)
        method = assemble(recipe)
    words = recipe.description()
    sampler = "a fitted density" if method.prior is None else "the prior"
    players = ", ".join(player.name for player in method.players())
    paper, equation = source(inspect.getdoc(inspect.getmodule(make)) or "", inspect.getdoc(make) or "")
    return [name, words["posterior"], words["cost"], words["regularisers"], words["prior"], sampler, players, paper, equation]


def assemble(recipe: Any) -> Any:
    """The method on the network that fits it: a plain one, or a hierarchy."""
    try:
        return recipe.assemble(SHAPE, DIM, mlp)
    except ValueError:
        return recipe.assemble(SHAPE, DIM, stacked_mlp)


def source(family: str, method: str) -> tuple[str, str]:
    """The papers that a method's docstring names, or else those that its family's begins with; of the place in them likewise."""
    citation = " ".join([*family.split("\n\n"), ""][1].split()).split("SPEC")[0]
    papers = [number or title for number, title in re.findall(PAPER, " ".join(method.split())) or re.findall(PAPER, citation)]
    named = [words for words in re.findall(r"\(([^()]*)\)", method) if re.search(PLACE, words)]
    return ", ".join(dict.fromkeys(papers)), "; ".join(named) or ", ".join(re.findall(PLACE, citation))


def markdown() -> str:
    """The table as docs/methods.md has it."""
    return table(HEADERS, rows(catalogue().methods)) + "\n"


def filled(page: str, text: str) -> str:
    """The page with `text` between its markers; ValueError for one without them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"the page must have the lines {BEGIN.strip()} and {END.strip()}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(filled(page.read_text(encoding="utf-8"), markdown()), encoding="utf-8")
