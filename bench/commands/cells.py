"""`python -m bench cell`: one cell of a suite, for whatever hands out cells: an array of jobs, a script, a person."""

import os
from functools import partial
from typing import Annotated

import typer

from bench.commands.options import DATA, HERE, DataRoot, Device, Limit, Name, Out, Set, Threads, check_counts, number, whole
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
    process has the cell. Exit code 0: it is done; 1: it failed or diverged. Processes of one `torchrun --nproc-per-node N -m bench cell
    SUITE INDEX` train the cell together, each with its share of every batch, to the losses of one process.
    """
    check_counts(threads=threads)
    read = partial(reader.read, suite, tuple(overrides or ()), name=name)
    settings = Settings(out, data_root, device, threads, None, save_every, limit=limit)
    chosen = None if several() else read()  # before torch is imported
    from bench.commands import run as command  # here, so that --help needs no torch

    code = command.cell(chosen, index, settings, smoke) if chosen else command.cell_together(read, index, settings, smoke)
    raise typer.Exit(code)


def several() -> bool:
    """Whether `torchrun` has started this process with others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
