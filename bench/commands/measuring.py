"""The command line of `python -m bench measure`. No torch here."""

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import DATA, DataRoot, Device, Threads, check_counts, names_in, path, whole
from bench.errors import UserError, unknown

What = Annotated[
    str | None, typer.Argument(metavar="WHAT", help="A folder or .zip of images, .npy, .npz, a run, a model: docs/measure.md.")
]
Against = Annotated[str | None, typer.Option(help="A folder or .zip of images, .npy, .npz, dataset:NAME:SPLIT, statistics.npz.")]
FILTERS = ("bicubic", "bilinear", "lanczos", "box", "nearest")


def one_of(option: str, text: str | None, allowed: tuple[str, ...]) -> str | None:
    """The text; UserError where it is not allowed."""
    if text is not None and text not in allowed:
        raise UserError(f"{option}: {unknown('value', text, allowed)}")
    return text


def measure(
    what: What = None,
    against: Against = None,
    originals: Annotated[str | None, typer.Option(help="Images whose reconstructions are measured, paired by name.")] = None,
    reconstructions: Annotated[str | None, typer.Option(help="What was made of --originals.")] = None,
    factors: Annotated[
        Path | None, typer.Option(parser=path, metavar="FILE", help="Factors of variation beside codes: a .npy of (N, K) whole numbers.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="Images that what made WHAT was trained on: does it copy them?")] = None,
    networks: Annotated[str | None, typer.Option(help="Only these features: pixels,lite0. All that are here, if not said.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Only these: fid,rec_sse. All, if not said.")] = None,
    count: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help="Images on each side of a distance, at most; a random part of more.")
    ] = 10_000,
    size: Annotated[int | None, typer.Option(parser=whole, metavar="PIXELS", help="Resize images to this height and width.")] = None,
    resize: Annotated[str, typer.Option("--filter", help=f"Of --size: {', '.join(FILTERS)}.")] = "bicubic",
    crop: Annotated[bool, typer.Option("--crop", help="Cut out the largest square in the middle first.")] = False,
    flatten: Annotated[str | None, typer.Option(help="white or black: what shows through transparent pixels, else refused.")] = None,
    values: Annotated[
        str | None, typer.Option("--range", help="unit, [0, 1], or symmetric, [-1, 1]: of real pixels and of a model.")
    ] = None,
    explain: Annotated[str | None, typer.Option(metavar="VALUE", help="Which known variant gives this number? docs/measure.md")] = None,
    record: Annotated[
        Path | None, typer.Option(parser=path, metavar="FILE", help="Append the record to this file, a line of JSON.")
    ] = None,
    save_statistics: Annotated[
        Path | None, typer.Option(parser=path, metavar="FILE", help="Write mean and covariance of WHAT's features: a .npz of mu and sigma.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the record instead of a table.")] = False,
    plugins: Annotated[list[str] | None, typer.Option("--plugin", help="A file with datasets or metrics of your own.")] = None,
    device: Device = None,
    data_root: DataRoot = DATA,
    threads: Threads = 1,
) -> None:
    """Measure images, reconstructions, codes, models or statistics by the protocol of the runs here; nothing is trained."""
    check_counts(threads=threads, count=count, size=size)
    one_of("--filter", resize, FILTERS)
    one_of("--flatten", flatten, ("white", "black"))
    one_of("--range", values, ("unit", "symmetric"))
    from bench.commands import measure as command

    asked = command.Asked(what, against, originals, reconstructions, factors, train, explain, record, json, threads)
    chosen = {
        "networks": names_in("--networks", networks),
        "metrics": names_in("--metrics", metrics),
        "count": count,
        "values": values,
        "data_root": data_root,
        "device": device,
        "plugins": tuple(plugins or ()),
        "save": save_statistics,
    }
    raise typer.Exit(command.measure(asked, chosen, command.preparation(flatten, crop, size, resize)))
