"""Markdown of generated pages. No torch here."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate


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


def table(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A pipe table, empty without lines; whatever a cell holds, it stays one cell."""
    cells = [[text(item).replace("|", "\\|") for item in line] for line in (heads, *lines)]
    return tabulate(cells[1:], cells[0], tablefmt="pipe", disable_numparse=True) if lines else ""
