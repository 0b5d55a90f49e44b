"""The command line of `python -m bench search`. No torch here."""

from typing import Annotated

import typer

from bench.commands.options import DATA, HERE, DataRoot, Device, Jobs, Out, Set, SuiteName, Threads, check_counts, names_in, whole
from bench.errors import UserError
from bench.runs.settings import Settings
from bench.suites import reader
from bench.suites.names import check_name
from bench.suites.sweep import MOST_ROWS


def search(
    suite: SuiteName,
    name: Annotated[str, typer.Option(help="Of the suite file NAME.toml that is written to --out: its rows are the trials.")],
    trials: Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="Of each row, those of an earlier call among them.")] = 20,
    methods: Annotated[str | None, typer.Option(help="Only these rows: vcae,wae_mmd. All that have a `search`, if not said.")] = None,
    at_once: Annotated[
        int, typer.Option("--at-once", parser=whole, metavar="INTEGER", help="Trials of a row that are proposed together, for --jobs.")
    ] = 1,
    seeds: Annotated[int | None, typer.Option(parser=whole, metavar="INTEGER", help="Of each trial. The suite's, if not said.")] = None,
    seed: Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="Of the proposals.")] = 0,
    overrides: Set = None,
    device: Device = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    jobs: Jobs = None,
    threads: Threads = 1,
) -> None:
    """Look for a row's best values on validation images, over ranges that its suite file gives.

    In the suite file, search = { weight = { low = 0.1, high = 100.0, log = true } } of a row gives the ranges, and
    select = { metric = "frechet_pixels_pz" } what is to be best. optuna proposes (TPE); each trial is an ordinary run with an
    ordinary record. The same command goes on where it was stopped. It needs the extra search: pip install 'latentbench[search]'.
    """
    check_counts(trials=trials, at_once=at_once, seeds=seeds, jobs=jobs, threads=threads)
    if trials > MOST_ROWS:
        raise UserError(f"--trials must be at most {MOST_ROWS:,}, not {trials:,}")
    check_name(name, f"--name {name}", "choose another")
    chosen = reader.read(suite, tuple(overrides or ()))
    from bench.commands import search as command

    asked = command.Asked(names_in("--methods", methods), name, trials, at_once, seeds, seed)
    raise typer.Exit(command.search(chosen, asked, Settings(out, data_root, device, threads, jobs)))
