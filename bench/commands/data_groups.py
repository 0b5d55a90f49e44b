"""`python -m bench data` and `features`: what lies under the data root."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import DATA, DataRoot

data = typer.Typer(help="Datasets: what is here, what is missing, fetching, checking, packing.", no_args_is_help=True)
features = typer.Typer(help="Feature networks that distances between images stand on: their weights.", no_args_is_help=True)


@data.command(name="list")
def data_list(data_root: DataRoot = DATA) -> None:
    """Every dataset: kind, shape, counts, licence, whether it is here."""
    from bench.commands import listing

    listing.data_list(data_root)


def data_action(action: str, help_text: str) -> None:
    """`data ACTION NAME` for one of the functions of bench/commands/data.py."""

    @data.command(name=action, help=help_text)
    def act(name: Annotated[str, typer.Argument(help="A dataset's name.")], data_root: DataRoot = DATA) -> None:
        from bench.commands import listing

        listing.data_action(action, name, data_root)


data_action("fetch", "Download a dataset into the data root, verified; nothing is downloaded unless asked.")
data_action("verify", "Check a dataset's files against their checksums.")
data_action("pack", "Decode a dataset once into uint8 arrays.")


@features.command(name="list")
def features_list(data_root: DataRoot = DATA) -> None:
    """Every feature network and whether its weights are here."""
    from bench.commands import listing

    listing.features_list(data_root)


@features.command(name="fetch")
def features_fetch(
    name: Annotated[str, typer.Argument(help="inception-tf or timm:MODEL.")],
    data_root: DataRoot = DATA,
) -> None:
    """Download a network's weights into the data root's folder weights/, verified."""
    from bench.commands import features as feature_commands

    print(feature_commands.fetch(name, data_root))


@features.command(name="train")
def features_train(
    name: Annotated[str, typer.Argument(help="A dataset that has labels.")],
    data_root: DataRoot = DATA,
    file: Annotated[Path | None, typer.Option("--file", help="Where the weights go; the data root's folder weights/, if not said.")] = None,
) -> None:
    """Train the small classifier whose features measure a dataset's samples."""
    from bench.commands import listing

    listing.features_train(name, data_root, file)
