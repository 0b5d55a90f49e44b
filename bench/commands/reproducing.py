"""The command line of `python -m bench reproduce`. No torch here."""

from typing import Annotated, get_args

import typer

from bench.commands.options import DATA, HERE, DataRoot, Device, Jobs, Out, Threads, check_counts, whole
from bench.errors import UserError
from bench.processes import default_jobs, make_ready
from bench.reproduction.paper import BudgetClass
from bench.runs.settings import Settings

Paper = Annotated[
    str | None, typer.Argument(metavar="[PAPER]", help="wae, vcae, wise-ale, ladder, stacked-wae, or a file of your own; all, if not said.")
]
Part = Annotated[str | None, typer.Argument(metavar="[PART]", help="table2, figure4, section6.1, claims; 2 is table 2, or else figure 2.")]


def budget_class(text: object) -> BudgetClass:
    """paper or cpu; UserError for another budget."""
    for known in get_args(BudgetClass):
        if text == known:
            found: BudgetClass = known
            return found
    raise UserError(f"--budget must be one of {', '.join(get_args(BudgetClass))}, not {text!r}")


def reproduce(
    paper: Paper = None,
    part: Part = None,
    budget: Annotated[
        str | None, typer.Option(help="paper: the papers' own; cpu: reduced ones, which answer orderings and never a number.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name the papers' parts and what answers them.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Time a few real steps of each row that is needed: hours on this machine, and what is missing."),
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="With --dry-run: keep the hours, for the pages.")] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Train what has no record yet at that budget, paper if not said; can be resumed.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 if a page on disk is another.")] = False,
    seeds: Annotated[int | None, typer.Option(parser=whole, metavar="INTEGER", help="With --run: how many instead of the suite's.")] = None,
    device: Device = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    jobs: Jobs = None,
    threads: Threads = 1,
) -> None:
    """Put the papers' numbers and orderings beside the records; writes leaderboards/reproduction.md and a page for each paper.

    Exit code 1 if every seed at full budget has an ordering the wrong way round.
    """
    check_counts(seeds=seeds, jobs=jobs, threads=threads)
    if sum((list_, dry_run, run, check)) > 1:
        raise UserError("reproduce: give at most one of --list, --dry-run, --run and --check")
    if keep and not dry_run:
        raise UserError("--keep goes with --dry-run: it keeps the hours that one measures")
    if run and (jobs or default_jobs(device, threads)) > 1:
        from bench.engines.preload import preloaded

        make_ready(threads, preloaded())
    from bench.commands import reproduce as command

    asked = command.Asked(paper, part, None if budget is None else budget_class(budget), Settings(out, data_root, device, threads, jobs))
    if list_:
        command.list_parts(asked)
    elif dry_run:
        command.dry_run(asked, keep)
    elif check:
        raise typer.Exit(command.check(asked))
    else:
        raise typer.Exit(command.reproduce(asked, run, seeds))
