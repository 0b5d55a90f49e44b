"""Markdown of generated pages. No torch here."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from bench.errors import UserError
from bench.files import write

END = "<!-- end -->"  # of a table that a command writes into a page of words


def section(title: str, *blocks: str) -> str:
    """A heading over what is not empty; nothing without that."""
    return "\n\n".join([f"## {title}", *filter(None, blocks)]) if any(blocks) else ""


def counted(count: int, what: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def bullets(lines: Iterable[str]) -> str:
    """The lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def text(value: object) -> str:
    """One line that Markdown shows as it is."""
    return " ".join(str(value).split()).replace("<", "&lt;")


def prose(value: object) -> str:
    """A user's words as one paragraph that has no emphasis, links, headings or lists, whatever characters are in them."""
    line = re.sub(r"([*\[\]\\])", r"\\\1", text(value))
    return re.sub(r"^(\d*)([#>+=~.)-])", r"\1\\\2", line)


def table(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A pipe table, empty without lines; whatever a cell holds, it stays one cell."""
    cells = escaped(heads, lines)
    return tabulate(cells[1:], cells[0], tablefmt="pipe", disable_numparse=True) if lines else ""


def narrow(heads: Sequence[str], lines: Sequence[Sequence[object]], left: int = 1, gap: str = " ") -> str:
    """The same table padded no more than its cells need, all columns but the first `left` to the right; `gap` beside each bar."""
    cells = escaped(heads, lines)
    sizes = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [
        [cell.ljust(size) if i < left else cell.rjust(size) for i, (cell, size) in enumerate(zip(line, sizes, strict=True))]
        for line in cells
    ]
    wide = [size + 2 * len(gap) for size in sizes]
    rule = ["-" * size if i < left else "-" * (size - 1) + ":" for i, size in enumerate(wide)]
    rows = [f"|{gap}" + f"{gap}|{gap}".join(line) + f"{gap}|" for line in padded]
    return "\n".join([rows[0], "|" + "|".join(rule) + "|", *rows[1:]]) if lines else ""


def escaped(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> list[list[str]]:
    """The cells of a table, its heads first."""
    return [[text(item).replace("|", "\\|") for item in line] for line in (heads, *lines)]


def compact(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """The same table without padding, for long ones: half the bytes."""
    cells = escaped(heads, lines)
    rule = ["-"] * len(heads)
    return "\n".join("|" + "|".join(line) + "|" for line in (cells[0], rule, *cells[1:])) if lines else ""


def listed(items: Iterable[str], most: int = 6) -> str:
    """`a, b and c`; of more than `most`, how many are left."""
    found = list(items)
    if len(found) > most:
        found = [*found[: most - 1], f"{len(found) - most + 1} more"]
    return " and ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))


def folded(title: str, *blocks: str) -> str:
    """What a reader opens by a click; nothing without content."""
    inner = "\n\n".join(filter(None, blocks))
    return f"<details>\n<summary>{text(title)}</summary>\n\n{inner}\n\n</details>" if inner else ""


def around(page: Path, command: str) -> tuple[str, str]:
    """What a page has before and after a command's table; UserError where the page or a marker is missing."""
    text, begin = page.read_text(encoding="utf-8") if page.is_file() else "", beginning(command)
    before, found, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise UserError(f"--page {page}: no page with the lines `{begin} ...` and `{END}`, between which the table goes")
    return before, after


def beginning(command: str) -> str:
    """How the line before a command's table begins."""
    return f"<!-- written by `python -m bench {command}"


def replace_between(page: Path, command: str, options: str, content: str) -> None:
    """Put the content between the markers of a command, with its options; UserError where the page or a marker is missing."""
    before, after = around(page, command)
    first = f"{beginning(command)} {options} --page {page.as_posix()}` -->"
    write(page, f"{before}{first}\n\n{content}\n\n{END}{after}".encode())
