"""`python -m bench tiers-check`, `second-check`, `copies-check`, `likelihood-check`: what tiers and metrics are worth, as tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.commands.options import HERE, Out, check_counts, whole
from bench.errors import UserError
from bench.suites import reader

Seed = Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="Of the random numbers.")]
Trials = Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="Random partings of the digits.")]
CopiesPage = Annotated[Path | None, typer.Option(help="A page that gets the table between its markers, as docs/copies.md.")]


def tiers_check(
    columns: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help="Simulated columns of each scenario, number of rows and number of seeds.")
    ] = 100,
    seed: Seed = 0,
    page: Annotated[Path | None, typer.Option(help="A page that gets the table between its markers, as docs/statistics.md.")] = None,
) -> None:
    """Simulate columns whose rows are equally good: how often do the tiers leave one of these out? About a minute a hundred columns."""
    check_counts(columns=columns)
    check_seed(seed)
    from bench.leaderboard import tiers_check as simulation

    tell(simulation, lambda: simulation.check(columns, seed), page, columns, seed)


def second_check(
    suite: Annotated[str, typer.Argument(help="A suite whose records have frechet_*_mixture and frechet_*_interpolated.")] = "zoo",
    seed: Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="Of the bootstrap.")] = 0,
    out: Out = HERE,
    page: Annotated[Path | None, typer.Option(help="A page that gets the table between its markers, as docs/second-stage.md.")] = None,
) -> None:
    """Correlate, over a suite's rows, what foretells the samples of a density fitted to the codes with how good they are."""
    check_seed(seed)
    from bench.leaderboard import second_check as correlations
    from bench.records.store import Store

    tell(correlations, lambda: correlations.check(Store(out, reader.read(suite).name).records(), seed), page, suite, seed)


def copies_check(trials: Trials = 50, seed: Seed = 0, page: CopiesPage = None) -> None:
    """Plant copies of training images among samples: how often does each test of copying say so? About ten seconds a hundred trials."""
    from bench.evaluation import copies_check as planted

    plant(planted, trials, seed, page)


def likelihood_check(trials: Trials = 5, seed: Seed = 0, page: CopiesPage = None) -> None:
    """Plant copies of training images among samples: what do likelihoods of test images say? About a minute a trial."""
    from bench.docs import likelihood_check as planted

    plant(planted, trials, seed, page)


def plant(module: Any, trials: int, seed: int, page: Path | None) -> None:
    """What a module finds of planted copies."""
    check_counts(trials=trials)
    check_seed(seed)
    tell(module, lambda: module.check(trials, seed), page, trials, seed)


def check_seed(seed: int) -> None:
    """UserError for one below 0, which no generator takes."""
    if seed < 0:
        raise UserError(f"--seed must be at least 0, not {seed}")


def tell(module: Any, make: Callable[[], Any], page: Path | None, *said: object) -> None:
    """Print the table that a module makes of what is found, and put it into a page, which is looked at before anything takes time.

    module: with COMMAND, report(found) and publish(page, found, *said), where said are the options of the command.
    """
    if page:
        from bench.markdown import around  # here, for it takes a while to load

        around(page, module.COMMAND)
    found = make()
    print(module.report(found))
    if page:
        module.publish(page, found, *said)
