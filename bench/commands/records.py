"""`python -m bench records`: files of records."""

from pathlib import Path
from typing import Annotated

import typer

records = typer.Typer(help="Files of records: their form on disk.", no_args_is_help=True)


@records.callback()
def group() -> None:
    """Files of records: their form on disk."""


@records.command(name="migrate")
def migrate(
    what: Annotated[list[str] | None, typer.Argument(metavar="[SUITE|FILE]...", help="All suites' records, if not said.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder that has runs/ and leaderboards/.")] = Path(),
) -> None:
    """Write records anew in the form of now; says the bytes before and after. Values stay, a file of that form stays as it is."""
    from bench.records import migrate as migration

    for path in [path for name in what or [""] for path in migration.files_of(name, out)]:
        before, after = migration.migrate(path)
        print(f"{path}: {before:,} bytes, now {after:,}")
