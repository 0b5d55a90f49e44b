"""Tables that a command writes into a page of words, between two markers of which the first is the command."""

from pathlib import Path

from bench.errors import UserError
from bench.files import write

END = "<!-- end -->"


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
