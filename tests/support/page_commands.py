"""Commands that a page of docs/ shows, for tests that execute them."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str, heading: str, **values: str) -> list[str]:
    """The lines of the code blocks below a heading, without comments, with names in capitals replaced by values."""
    section = re.split(r"^## ", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    lines = [
        line.split("  #")[0].strip()
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    for name, value in values.items():
        assert any(name in line for line in lines), name
        lines = [line.replace(name, value) for line in lines]
    return lines
