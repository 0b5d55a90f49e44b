"""docs/datasets.md: a card for each dataset, made from the registry, with a picture of those whose images are here.

`python -m bench.docs.datasets_page docs --data-root DATA` writes the page and the pictures anew.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from bench.datasets.dataset import Source
from bench.errors import UserError
from bench.figures.pictures import drawing, png, sheet
from bench.registry import catalogue

PAGE, PICTURES = "datasets.md", "datasets"
SHOWN = 20  # images of a picture
LARGE = 200_000  # images; of a larger set that is not packed yet no picture is made
HEAD = """# Datasets

Written from the registry by `python -m bench.docs.datasets_page docs`; what a record calls its `convention` is the line of that name here.
`python -m bench data list` says which of them are on your machine. A picture shows training images spread over the whole split; there
is none of a set whose files were not at hand. That of `shapes3d` is the picture of examples published with the set (Apache 2.0),
that of `shapes3d_render` the same scenes as this project draws them.
"""


def card(source: Source, folder: Path) -> str:
    """Markdown about one dataset; its picture where `folder` has one."""
    values = {"unit": "[0, 1], from uint8", "real": "real numbers, float32"}[source.values]
    facts = {
        "shape": "×".join(map(str, source.shape)) + " (channels, height, width)",
        "values": values,
        "images": ", ".join(f"{count:,} {split}" for split, count in source.counts.items()),
        "kind": source.kind,
        "convention": source.convention,
        "factors": ", ".join(f"{factor.name} ({factor.size})" for factor in source.factors),
        "files": ", ".join(f"`{file}`" for file in source.files) or "none, it comes with latentbench or its packages",
        "licence": source.licence,
        "source": source.url,
    }
    lines = [f"* {name}: {fact}" for name, fact in facts.items() if fact]
    picture = folder / PICTURES / f"{source.name}.png"
    shown = ["", f"![{source.name}]({PICTURES}/{picture.name})"] if picture.exists() else []
    return "\n".join([f"## {source.name}", "", *lines, *shown, ""])


def page(sources: Iterable[Source], folder: Path) -> str:
    """The whole page."""
    return "\n".join([HEAD, *(card(source, folder) for source in sources)])


def picture(source: Source, root: Path) -> bytes | None:
    """Training images spread over the split, as PNG; None where the files are missing or the set is too large to make now."""
    if source.counts["train"] > LARGE and not source.files:
        return None
    try:
        dataset = source.load(root)
    except UserError:
        return None
    rows = np.linspace(0, len(dataset.train) - 1, SHOWN).astype(int)
    images = torch.from_numpy(np.stack([dataset.train[row] for row in rows])).float() / dataset.levels
    shown, columns = drawing(source.values, images)
    return png(sheet(shown(images), columns))


def main(folder: Path, data_root: Annotated[Path, typer.Option(envvar="LATENTBENCH_DATA")] = Path("data")) -> None:
    """Write FOLDER/datasets.md and the pictures beside it."""
    sources = [source for _, source in sorted(catalogue().datasets.items())]
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    for source in sources:
        if found := picture(source, data_root):
            (folder / PICTURES / f"{source.name}.png").write_bytes(found)
    (folder / PAGE).write_text(page(sources, folder), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
