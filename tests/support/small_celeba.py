"""CelebA in its official layout, with six images of smooth colour: archive or folder, partition and attribute lists."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bench.datasets import celeba
from bench.datasets.celeba import Convention
from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage import pack

SPLITS = (0, 0, 2, 1, 0, 2)  # of images 1..6, as list_eval_partition.txt has them
NAMES = [convention.name for convention in celeba.CONVENTIONS]
ATTRIBUTES = "5_o_Clock_Shadow Arched_Eyebrows Attractive"


def named(name: str) -> Convention:
    return celeba.CONVENTIONS[NAMES.index(name)]


def small(name: str = "celeba64_140", splits: tuple[int, ...] = SPLITS) -> Convention:
    """A convention with the counts of a small set."""
    n, test = len(splits), splits.count(2)
    whole = named(name)
    train = {"official split": splits.count(0)}.get(whole.split, n - test - (1 if whole.divide is celeba.ladder else 0))
    return replace(whole, counts={"train": train, "test": test}, images=n)


def card(name: str = "celeba64_140", splits: tuple[int, ...] = SPLITS) -> Source:
    return celeba.source(small(name, splits))


def load(root: Path, name: str = "celeba64_140", splits: tuple[int, ...] = SPLITS) -> Dataset:
    return celeba.load(small(name, splits), root)


def packed_folder(root: Path, name: str = "celeba64_140") -> Path:
    return pack.places(root, name, named(name).protocol)[0]


def photo(seed: int) -> Image.Image:
    """218 x 178 of smooth colour that differs everywhere."""
    y, x = np.mgrid[0:218, 0:178]
    waves = [np.sin(x * f + seed) + np.cos(y * g) for f, g in ((0.05, 0.03), (0.11, 0.07), (0.02, 0.13))]
    return Image.fromarray((127 + 60 * np.stack(waves, -1)).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=95)
    return buffer.getvalue()


def names(n: int) -> list[str]:
    return [f"{number:06d}.jpg" for number in range(1, n + 1)]


def put(root: Path, archive: bool = True, images: dict[str, bytes] | None = None, splits: tuple[int, ...] = SPLITS) -> Path:
    """The official layout; returns the archive or the folder. Image n is photo(n - 1) unless `images` has it."""
    folder = root / "celeba"
    folder.mkdir(parents=True)
    listed = names(len(splits))
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {k}\n" for name, k in zip(listed, splits, strict=True)))
    rows = "".join(f"{name}  1 -1 -1\n" for name in listed)
    (folder / "list_attr_celeba.txt").write_text(f"{len(listed)}\n{ATTRIBUTES}\n{rows}")
    given = images or {}
    files = {name: given[name] if name in given else encoded(photo(number)) for number, name in enumerate(listed)}
    if archive:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as out:
            for name, content in files.items():
                out.writestr(f"img_align_celeba/{name}", content)
        return folder / "img_align_celeba.zip"
    (folder / "img_align_celeba").mkdir()
    for name, content in files.items():
        (folder / "img_align_celeba" / name).write_bytes(content)
    return folder / "img_align_celeba"
