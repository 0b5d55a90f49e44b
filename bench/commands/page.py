"""`python -m bench page`: all leaderboards as one page for a browser."""

from typing import Annotated

import typer

from bench.commands.options import HERE, Out


def page(
    out: Out = HERE,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if the file on disk is another.")] = False,
) -> None:
    """Write leaderboards/index.html anew, the page of all suites that have records, and the index README.md beside it."""
    from bench.commands import console
    from bench.leaderboard import publish as boards

    if not check:
        print(boards.write_overviews(out, console.warn))
    elif not boards.page_current(out, console.warn):
        print(f"{out / 'leaderboards' / boards.PAGE} is not what the records say; write it with: python -m bench page")
        raise typer.Exit(1)
