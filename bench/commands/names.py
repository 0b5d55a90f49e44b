"""`python -m bench list`: what a suite file may name. No torch here."""

from typing import Annotated

import typer

from bench.errors import UserError, unknown


def list_(
    what: Annotated[str, typer.Argument(help="methods, networks, densities, datasets, metrics or suites.")],
    shape: Annotated[str | None, typer.Option("--for", metavar="CxHxW", help="Of networks, those that take such images: 3x64x64.")] = None,
) -> None:
    """What a suite file may name."""
    kinds = ("methods", "networks", "densities", "datasets", "metrics", "suites")
    if what not in kinds:
        raise UserError(unknown("list", what, kinds))
    if shape is not None and what != "networks":
        raise UserError(f"--for is of networks, not of {what}: python -m bench list networks --for {shape}")
    from bench.commands import listing, networks

    if shape is None:
        listing.list_all(what)
    else:
        networks.list_for(shape)
