"""`python -m bench leaderboard`, `status` and `curves`: results as they are now."""

from typing import Annotated

import typer

from bench.commands.options import HERE, Name, Out, Set, SuiteName
from bench.errors import UserError
from bench.suites import reader
from bench.suites.names import options


def leaderboard(
    suite: SuiteName,
    overrides: Set = None,
    name: Name = None,
    out: Out = HERE,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if the file on disk is another.")] = False,
) -> None:
    """Write a suite's leaderboard anew from its records."""
    from bench.commands import console
    from bench.leaderboard import publish as boards
    from bench.records.store import Store

    whole = reader.read(suite, tuple(overrides or ()), name=name)
    if not Store(out, whole.name).records():
        where = out / "leaderboards" / "runs" / f"{whole.name}.jsonl"
        raise UserError(f"{where}: no records of suite {whole.name}; train its runs with: python -m bench run {options(whole)} -o {out}")
    if check and not boards.current(out, whole):
        again = f"python -m bench leaderboard {options(whole)}"
        print(f"{out / 'leaderboards' / whole.name}.md is not what its records say; write it with: {again}")
        raise typer.Exit(1)
    if not check:
        print(boards.publish(out, whole, console.warn))


def status(
    suite: Annotated[str | None, typer.Argument(metavar="[SUITE]", help="Its runs one by one; all suites in short, if not said.")] = None,
    overrides: Set = None,
    name: Name = None,
    out: Out = HERE,
) -> None:
    """Say which runs are done, which are under way and by which process, and what is left. Waits for nobody."""
    from bench.commands import status as command

    command.status(out, reader.read(suite, tuple(overrides or ()), name=name) if suite else None)


def curves(suite: SuiteName, overrides: Set = None, name: Name = None, out: Out = HERE) -> None:
    """Draw the training curves of a suite's runs into its leaderboard."""
    from bench.commands import console
    from bench.leaderboard import publish as boards
    from bench.leaderboard.curves import draw

    whole = reader.read(suite, tuple(overrides or ()), name=name)
    boards.check(out, whole)
    print(draw(out, whole))
    print(boards.publish(out, whole, console.warn))
