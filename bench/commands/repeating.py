"""The command line of `python -m bench repeats`. No torch here."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import DATA, HERE, DataRoot, Jobs, Measured, Name, Out, Set, Threads, Where, check_counts, names_in, path, whole
from bench.errors import UserError
from bench.runs.settings import Settings


def repeats(
    what: Measured,
    times: Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="Evaluations of each run.")] = 5,
    overrides: Set = None,
    name: Name = None,
    metrics: Annotated[str | None, typer.Option(help="Only these: fid_pz,mig. Those of the board's first table, if not said.")] = None,
    file: Annotated[Path | None, typer.Option("--csv", parser=path, metavar="FILE", help="Write every value to this file.")] = None,
    device: Where = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    jobs: Jobs = None,
    threads: Threads = 1,
) -> None:
    """Measure finished runs several times with other random draws: how much of a metric's spread is the evaluation's; records stay."""
    check_counts(jobs=jobs, threads=threads)
    if times < 2:
        raise UserError(f"--times must be at least 2, not {times}: one evaluation has no spread")
    from bench.commands import evaluate, repeats

    target = evaluate.target_of(what, tuple(overrides or ()), out, name)
    repeats.repeats(target, names_in("--metrics", metrics), Settings(out, data_root, device, threads, jobs), times, file)
