"""The tables of a leaderboard in Markdown, read as a reader does."""

import re


def cells(board: str, title: str) -> dict[str, dict[str, str]]:
    """The first table of a section, folded or not: {row: {head: cell}}; rows that share a line have it each."""
    found = re.search(rf"^(?:## |<summary>){title}\b[^|]*((?:^\|.*\n)+)", board, re.M)
    assert found, f"no table under {title}"
    split = [[part.strip().replace("\\|", "|") for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in found[1].splitlines()]
    return {name: dict(zip(split[0], line, strict=True)) for line in split[2:] for name in line[0].split(", ") if name[0] != "*"}


def first_screen(board: str) -> dict[str, dict[str, str]]:
    """The table of the first screen: {row without its marks: {head: cell}}."""
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in board.split("## ")[0].splitlines() if line.startswith("|")]
    return {line[1].rstrip("†‡"): dict(zip(lines[0], line, strict=True)) for line in lines[2:]}
