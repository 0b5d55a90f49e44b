"""Options that several commands have, and how their texts are read. No torch here."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import UserError
from bench.processes import check_device
from bench.runs.settings import rising


def whole(text: object) -> int:
    """A whole number; BadParameter for anything else."""
    try:
        return int(str(text))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def number(text: object) -> float:
    """A number that is 0 or larger; BadParameter for anything else."""
    try:
        found = float(str(text))
    except ValueError:
        found = -1.0
    if not found >= 0:  # nan too
        raise typer.BadParameter(f"{text!r} is not a number of at least 0")
    return found


def seconds(text: object) -> float:
    """A number that is larger than 0; BadParameter for anything else."""
    if not 0 < (found := number(text)) < 1e6:
        raise typer.BadParameter(f"{text!r} is not a number of seconds between 0 and a million")
    return found


def path(text: object) -> Path:
    """A path; BadParameter for an empty text, which is what an unset variable of a shell gives."""
    if not str(text):
        raise typer.BadParameter("it is empty")
    return Path(str(text))


def device_kind(text: object) -> str:
    """cpu or cuda."""
    check_device(str(text))
    return str(text)


def names_in(option: str, text: str | None) -> tuple[str, ...]:
    """`a,b` as its parts, () where the option is not given; UserError where it names nothing."""
    found = tuple(filter(None, (text or "").split(",")))
    if text is not None and not found:
        raise UserError(f"{option} must name something, or be left out for all; it is {text!r}")
    return found


def shares_in(option: str, text: str | None) -> tuple[float, ...]:
    """`0.1,0.5` as numbers in rising order, () where the option is not given; UserError for one that is no share."""

    def share(part: str) -> float | str:
        try:
            return float(part)
        except ValueError:
            return part

    return rising(option, map(share, names_in(option, text)))


def parameters(option: str, texts: list[str] | None) -> dict[str, Any]:
    """`key=value` each, the value read as TOML or as a plain word; UserError for one that is none."""
    found = dict[str, Any]()
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise UserError(f"{option} {text}: write it as key=value, for instance address=auto")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except ValueError:  # not TOML
            found[key] = value
    return found


def check_counts(**given: int | None) -> None:
    """UserError for the first option that is given and below 1, or for more threads than there are cores."""
    for name, value in given.items():
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
    if (given.get("threads") or 1) > (most := os.cpu_count() or 1):
        raise UserError(f"--threads must be at most {most}, the cores of this machine, not {given['threads']}")


SuiteName = Annotated[str, typer.Option("--suite", "-s", help="A suite's name, or the path of a suite file of your own.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Override a key: methods.vcae.weight=0.5, budget.steps=1000. May be repeated.")
]
Name = Annotated[str | None, typer.Option("--name", help="What results of --set are kept as, in place of a name made of its values.")]
DEVICE = "cpu or cuda; cuda where there is one, if not said."
Device = Annotated[str | None, typer.Option(parser=device_kind, metavar="TEXT", help=DEVICE)]
KIND = "cpu or cuda; that which a run was trained on, if not said."
Measured = Annotated[str, typer.Argument(metavar="RUN|SUITE", help="A run's folder, or a suite: all its finished runs.")]
Where = Annotated[str | None, typer.Option("--device", parser=device_kind, metavar="TEXT", help=KIND)]
Threads = Annotated[int, typer.Option(parser=whole, metavar="INTEGER", help="CPU threads of each run.")]
Out = Annotated[Path, typer.Option("--out", "-o", parser=path, metavar="PATH", help="Folder that gets runs/ and leaderboards/.")]
DataRoot = Annotated[Path, typer.Option("--data-root", envvar="LATENTBENCH_DATA", parser=path, metavar="PATH", help="Where datasets lie.")]
Jobs = Annotated[
    int | None, typer.Option(parser=whole, metavar="INTEGER", help="Runs at a time; one a core on the CPU, one on a GPU, if not said.")
]
Limit = Annotated[
    float | None,
    typer.Option(parser=seconds, metavar="FLOAT", help="Seconds without a sign of life after which a run has failed; never, if not said."),
]
Log = Annotated[str | None, typer.Option(help="Trackers that follow the runs: tensorboard,wandb,mlflow,trackio. Offline.")]
AT = "Measure at shares of the budget too: 0.1,0.5. Training stays the same."
MeasureAt = Annotated[str | None, typer.Option("--measure-at", help=AT)]
WHAT = "What to measure there: rec_sse_test,mmd_prior. The first screen's, if not said."
Meanwhile = Annotated[str | None, typer.Option("--measure", help=WHAT)]
HERE, DATA = Path(), Path("data")
