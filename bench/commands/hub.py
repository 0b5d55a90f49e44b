"""`python -m bench push` and `pull`: trained methods on a Hugging Face hub. No torch here."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import HERE, Out, path

Repository = Annotated[str, typer.Argument(metavar="USER/NAME", help="A repository of the hub.")]


def push(
    folder: Annotated[Path, typer.Argument(metavar="RUN", parser=path, help="The folder of a finished run.")],
    repository: Repository,
    private: Annotated[bool, typer.Option("--private", help="A repository that is made now is not public.")] = False,
) -> None:
    """Put a finished run, its weights with their card, into a repository of a Hugging Face hub (HF_TOKEN, HF_ENDPOINT)."""
    from bench.runs import hub

    print(hub.push(folder, repository, private=private))


def pull(
    repository: Repository,
    revision: Annotated[str, typer.Option(help="A branch, tag or commit.")] = "main",
    out: Out = HERE,
) -> None:
    """Bring a run from a Hugging Face hub to OUT/runs; weights are safetensors, no code comes with them."""
    from bench.runs import hub

    print(hub.pull(repository, out, revision=revision))
