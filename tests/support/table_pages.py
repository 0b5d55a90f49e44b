"""Commands that write a table between the markers of a page, as a user calls them."""

from pathlib import Path

from typer.testing import CliRunner

from bench.__main__ import app


def written(folder: Path, command: str, *options: str) -> Path:
    """A page that had something else there; -> its path, once the command has put its own there, with its options."""
    page = folder / "page.md"
    page.write_text(f"before\n<!-- written by `python -m bench {command}` -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    result = CliRunner().invoke(app, [command, *options, "--page", str(page)])
    assert result.exit_code == 0, result.exception
    text = page.read_text(encoding="utf-8")
    assert f"`python -m bench {' '.join([command, *options])} --page {page.as_posix()}`" in text
    assert "old" not in text
    return page
