"""3D Shapes drawn here: the 480,000 scenes of the official set, each from its index, by ray casting (`bench.datasets.rendering.scene`).

A set of its own, that needs no download and never stands in for the official one. An index means the same factors in both.
What the official order says nothing of is chosen here: with rising orientation the room's far corner comes in from the right.

    python -m bench.datasets.rendering.shapes3d sheet.png

writes 5 x 5 scenes, those of the published picture of examples.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.datasets import shapes3d
from bench.datasets.dataset import Dataset, Source
from bench.datasets.rendering import scene
from bench.datasets.storage import pack
from bench.datasets.storage.progress_bar import bar

NAME, SUBSET = "shapes3d_render", "shapes3d_render_20k"
SUBSET_TRAIN, SUBSET_TEST = 20_000, 2_000
BLOCK = 480  # images drawn at once: all shapes, scales and orientations of one choice of hues
# the 10 hues of the colour circle at full saturation, their red, green and blue in fifths
HUES = ((5, 0, 0), (5, 3, 0), (4, 5, 0), (1, 5, 0), (0, 5, 2), (0, 5, 5), (0, 2, 5), (1, 0, 5), (4, 0, 5), (5, 0, 3))
DRAWN = f"drawn by this project's ray caster, version 1, {scene.SIDE}x{scene.SIDE}, value/255"
CONVENTION = (
    f"3D Shapes {DRAWN}, no split: trained on all {shapes3d.COUNT:,}; "
    f"the test images are {shapes3d.TEST:,} of the same, drawn uniformly with seed {shapes3d.SEED}"
)
SUBSET_CONVENTION = (
    f"3D Shapes {DRAWN}, {SUBSET_TRAIN:,} training and {SUBSET_TEST:,} other test images out of {shapes3d.COUNT:,}, "
    f"drawn uniformly with seed {shapes3d.SEED}"
)
# floor, wall and object hue, scale, shape and orientation of the published picture's examples, row by row
EXAMPLES = (
    ((0, 1, 0, 6, 2, 10), (3, 8, 5, 5, 1, 14), (4, 7, 2, 5, 1, 9), (5, 2, 5, 4, 0, 6), (4, 5, 8, 1, 0, 9)),
    ((6, 2, 4, 4, 2, 14), (8, 3, 9, 5, 0, 4), (3, 2, 0, 7, 2, 7), (2, 8, 8, 0, 2, 10), (0, 0, 3, 5, 3, 8)),
    ((5, 9, 6, 1, 1, 8), (1, 3, 2, 6, 3, 14), (5, 5, 1, 0, 0, 4), (0, 1, 7, 3, 3, 6), (9, 2, 9, 7, 0, 3)),
    ((1, 0, 9, 5, 3, 4), (7, 2, 6, 1, 2, 12), (8, 7, 2, 1, 0, 0), (0, 6, 6, 0, 3, 7), (3, 7, 5, 6, 0, 12)),
    ((4, 7, 4, 7, 1, 11), (2, 8, 9, 7, 3, 11), (3, 3, 2, 1, 1, 13), (5, 5, 7, 2, 1, 8), (4, 4, 1, 1, 1, 8)),
)


def render(index: Tensor) -> Tensor:
    """(B,) int64 positions in the official order -> (B, 3, 64, 64) uint8 on the same device; a position's bytes are always the same."""
    factors = torch.from_numpy(shapes3d.factors(index.cpu().numpy()))
    geometries, which = torch.unique(factors[:, [4, 3, 5]], dim=0, return_inverse=True)
    layers = torch.stack([scene.layers(shape, scale, turn, index.device) for shape, scale, turn in geometries.tolist()])
    # (B, surface, channel): a surface's layers begin at 3, 9 and 15, after the sky's
    strengths = torch.tensor(HUES)[factors[:, :3]] + 3 + scene.STRENGTHS * torch.arange(3)[:, None]
    chosen, which = strengths.to(index.device), which.to(index.device)[:, None]
    grey = layers[which, torch.arange(3, device=index.device)]
    for surface in range(3):
        grey += layers[which, chosen[:, surface]]
    return grey.add_(scene.FRACTION // 2).div_(scene.FRACTION, rounding_mode="floor").clamp_(0, 255).to(torch.uint8)


def blocks(rows: np.ndarray, what: str) -> Iterator[np.ndarray]:
    """Blocks (<= 480, 3, 64, 64) of the scenes at `rows`, on the GPU if there is one, with a progress bar on standard error."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with bar(f"drawing {what}", len(rows), 0, "images") as advance:
        for start in range(0, len(rows), BLOCK):
            block = render(torch.from_numpy(rows[start : start + BLOCK]).to(device)).cpu().numpy()
            advance(len(block))
            yield block


def split(name: str) -> dict[str, np.ndarray]:
    """The rows of each split, sorted."""
    if name == NAME:
        return {"train": np.arange(shapes3d.COUNT), "test": shapes3d.drawn(shapes3d.COUNT, shapes3d.TEST)}
    order = np.random.RandomState(shapes3d.SEED).permutation(shapes3d.COUNT)
    return {"train": np.sort(order[SUBSET_TEST:][:SUBSET_TRAIN]), "test": np.sort(order[:SUBSET_TEST])}


def streams(name: str, root: Path) -> dict[str, pack.Stream]:
    """What is packed, drawn as it is asked for; the data root is not read."""
    shape, rows = (3, scene.SIDE, scene.SIDE), split(name)
    images = {key: pack.Stream((len(of), *shape), "|u1", blocks(of, f"{name}, {key}")) for key, of in rows.items()}
    return images | {f"{key}_factors": pack.Stream.of(shapes3d.factors(of)) for key, of in rows.items()}


def load(name: str, convention: str, root: Path) -> Dataset:
    """The set of that name with its factors, values 0..255; the first call draws and packs it."""
    return pack.load(root, name=name, convention=convention, files=(), read=partial(streams, name))


def sheet(path: Path) -> None:
    """Write the 5 x 5 EXAMPLES as a picture, three times as large."""
    from PIL import Image

    index = np.ravel_multi_index(np.array(EXAMPLES).reshape(-1, 6).T, shapes3d.SIZES)
    tiles = render(torch.from_numpy(index)).reshape(5, 5, 3, scene.SIDE, scene.SIDE)
    framed = torch.nn.functional.pad(tiles, (4, 4, 4, 4), value=255)
    picture = Image.fromarray(framed.permute(0, 3, 1, 4, 2).reshape(5 * (scene.SIDE + 8), -1, 3).numpy())
    picture.resize((3 * picture.width, 3 * picture.height), Image.Resampling.NEAREST).save(path)


def source(name: str, convention: str, train: int, test: int) -> Source:
    """The card of a drawn set."""
    return Source(
        name=name,
        shape=(3, scene.SIDE, scene.SIDE),
        counts={"train": train, "test": test},
        convention=convention,
        kind="rendered",
        licence="Apache 2.0, this project's own; the scenes follow 3D Shapes, Apache 2.0",
        url=shapes3d.URL,
        load=partial(load, name, convention),
        factors=shapes3d.FACTORS,
    )


DATASETS = [source(NAME, CONVENTION, shapes3d.COUNT, shapes3d.TEST), source(SUBSET, SUBSET_CONVENTION, SUBSET_TRAIN, SUBSET_TEST)]

if __name__ == "__main__":
    sheet(Path(sys.argv[1]))
