"""`python -m bench cell`: one cell of a suite, for whatever hands out cells: an array of jobs, a script, a person."""

import os
from typing import Annotated

import typer

from bench.commands.options import DATA, HERE, DataRoot, Device, Limit, Name, Out, Set, Threads, check_counts, number, whole
from bench.errors import UserError
from bench.runs.settings import Settings
from bench.suites import reader


def cell(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name, or the path of a suite file of your own.")],
    index: Annotated[int, typer.Argument(parser=whole, metavar="INDEX", help="Which of its cells, from 0: `run --dry-run` shows them.")],
    overrides: Set = None,
    name: Name = None,
    device: Device = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps; never on a leaderboard.")] = False,
    threads: Threads = 1,
    save_every: Annotated[float, typer.Option(parser=number, metavar="FLOAT", help="Seconds between checkpoints.")] = 30.0,
    limit: Limit = None,
) -> None:
    """Train and measure one cell, a row with a seed, unless that is done; a later `run` of the suite writes the leaderboard.

    It may be started any number of times and anywhere where the results lie: it goes on from its checkpoint, and waits where another
    process has the cell. Exit code 0: it is done; 1: it failed or diverged.
    """
    check_counts(threads=threads)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']}: a cell is trained by one process; start it without torchrun")
    chosen = reader.read(suite, tuple(overrides or ()), name=name)
    from bench.commands import run as command  # here, so that --help needs no torch

    raise typer.Exit(command.cell(chosen, index, Settings(out, data_root, device, threads, None, save_every, limit=limit), smoke))
