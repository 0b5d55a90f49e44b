"""The page of all leaderboards, leaderboards/index.html: one file that needs no other and asks no network. No torch here.

The same boards give the same bytes. Everything that a record or a suite says goes through the template's escaping, and the page's
policy lets nothing run but its own script, by its hash.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from bench.leaderboard.overview import Overview
from bench.leaderboard.page.board import Board
from bench.leaderboard.page.cards import Texts, suite_data
from bench.leaderboard.page.ranks import critical

HERE = Path(__file__).parent
DRAWINGS = "drawings"  # what makes a drawing, on the page or as a file
SCRIPTS = ("state", "table", "card", "download", "events")  # one scope, in this order
SENTENCES = MarkdownIt("commonmark", {"html": False}).disable("image")


def page(boards: Mapping[str, Board], overviews: Sequence[Overview]) -> str:
    """The whole file. `boards` by the names of their files without .md; one that says nothing is left out."""
    texts = Texts()
    shown = {name: of for name, of in sorted(boards.items()) if of.rows}
    data = {name: suite_data(board, texts) for name, board in shown.items()}
    css, js = style(), script()
    return (
        environment()
        .get_template("page.jinja")
        .render(
            boards=shown,
            overviews=[(over, critical(over) if over.tells else None) for over in overviews],
            data={"suites": data, "texts": list(texts.numbers)},
            css=Markup(css),
            js=Markup(js),
            policy=policy(css, js),
            numbers={name: {row.name: i for i, row in enumerate(board.rows)} for name, board in shown.items()},
        )
    )


@cache
def environment() -> Environment:
    """Templates that escape whatever they are given and refuse names that are not there."""
    loader = FileSystemLoader(HERE)
    made = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    made.filters["sentence"] = sentence
    made.globals["filled"] = lambda columns, row: any(row in column.cells for column in columns)
    return made


def sentence(text: str) -> Markup:
    """A line of a board's Markdown as HTML; HTML in it is text."""
    return Markup(SENTENCES.renderInline(text))  # with html off, markdown-it escapes


def style() -> str:
    """The page's style sheet; rules of drawings first, which the page bends to its own."""
    return style_of(DRAWINGS) + style_of("page")


def style_of(name: str) -> str:
    """A part of it."""
    return (HERE / f"{name}.css").read_text(encoding="utf-8")


def script() -> str:
    """The page's script, in a scope of its own."""
    parts = [(HERE / "script" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n{\n' + "\n".join(parts) + "}\n"


def policy(css: str, js: str) -> str:
    """The page's content security policy: nothing from elsewhere, this style and this script alone."""
    digests = ["'sha256-" + base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() + "'" for part in (css, js)]
    return f"default-src 'none'; style-src {digests[0]}; script-src {digests[1]}; img-src data:; base-uri 'none'; form-action 'none'"
