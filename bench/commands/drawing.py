"""The command line of `python -m bench figures`. No torch here."""

from typing import Annotated

import typer

from bench.commands.options import DATA, HERE, DataRoot, Name, Out, Set, Threads, Where, check_counts, names_in
from bench.runs.settings import Settings


def figures(
    what: Annotated[str, typer.Argument(metavar="RUN|SUITE", help="A run's folder, or a suite.")],
    overrides: Set = None,
    name: Name = None,
    which: Annotated[str | None, typer.Option(help="Only these: samples,traversal. Those that suit the run, if not said.")] = None,
    form: Annotated[str, typer.Option("--format", help="png, pdf or svg.")] = "png",
    device: Where = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    threads: Threads = 1,
) -> None:
    """Draw figures of a finished run from its weights, into its folder; or of a suite, into leaderboards/figures."""
    check_counts(threads=threads)
    from bench.commands import figures as command

    settings = Settings(out, data_root, device, threads, jobs=1)
    command.figures(what, (tuple(overrides or ()), name), names_in("--which", which), form, settings)
