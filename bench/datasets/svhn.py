"""SVHN: house number digits, 32 x 32 x 3, train + extra = 604,388 images and 26,032 test images (SPEC 2).

scipy.io reads a variable of a .mat file whole: packing takes the memory of the largest file's images, 1.63 GB for the extra
ones, whatever the size of the pack; the pack itself stays on disk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage import download, pack, raw
from bench.datasets.storage.progress_bar import bar
from bench.errors import UserError

FOLDER, URL = "svhn", "http://ufldl.stanford.edu/housenumbers/"
SHAPE, BLOCK = (3, 32, 32), 1024


@dataclass(frozen=True)
class Mat:
    """One official file: images `X` (32, 32, 3, N) uint8 and labels `y` (N, 1), 10 for the digit 0."""

    name: str
    images: int
    md5: str  # torchvision's

    @property
    def path(self) -> str:
        """Relative to the data root."""
        return f"{FOLDER}/{self.name}"


@dataclass(frozen=True)
class House:
    """The set: the files whose images are for training, in order, and the file of the test images."""

    name: str
    train: tuple[Mat, ...]
    test: Mat

    @property
    def files(self) -> tuple[Mat, ...]:
        """All of them."""
        return (*self.train, self.test)

    @property
    def paths(self) -> tuple[str, ...]:
        """Relative to the data root."""
        return tuple(file.path for file in self.files)


SVHN = House(
    "svhn",
    (
        Mat("train_32x32.mat", 73_257, "e26dedcc434d2e4c54c9b2d4a06d8373"),
        Mat("extra_32x32.mat", 531_131, "a93ce644f1a588dc4d68dda5feec44a7"),
    ),
    Mat("test_32x32.mat", 26_032, "eb5a983be6a315427106f1b164d9cef3"),
)
CONVENTION = "SVHN cropped digits 32x32, value/255, train + extra, standard test"
BYTES = 182_040_794 + 1_329_278_602 + 64_275_384


def variable(path: Path, name: str) -> np.ndarray:
    """One variable of a .mat file, whole in memory; UserError says what is wrong with the file."""
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(path, variable_names=[name])
    except MemoryError:
        raise
    except Exception as error:  # scipy raises ValueError, TypeError, NotImplementedError, zlib.error and its own for damaged files
        raise UserError(f"{path} is damaged ({path.stat().st_size:,} bytes): {' '.join(str(error).split())}") from None
    if name not in found:
        raise UserError(f"{path} has no variable {name} ({path.stat().st_size:,} bytes): it is cut short or not one of the files of {URL}")
    return np.asarray(found[name])


def images(path: Path, count: int) -> np.ndarray:
    """(N, 3, 32, 32) uint8, a view of what scipy read; UserError if it is anything else."""
    found = variable(path, "X")
    if found.shape != (32, 32, 3, count) or found.dtype != np.uint8:
        raise UserError(f"{path}: X is {found.shape} {found.dtype}, expected (32, 32, 3, {count}) uint8")
    return found.transpose(3, 2, 0, 1)


def labels(path: Path, count: int) -> np.ndarray:
    """(N,) int64, the digits 0..9."""
    found = variable(path, "y")
    if found.size != count or not np.isin(found, np.arange(1, 11)).all():
        raise UserError(f"{path}: y is not {count} labels from 1 to 10")
    return found.ravel().astype(np.int64) % 10


def blocks(root: Path, files: Sequence[Mat], words: str, start: int = 0) -> Iterator[np.ndarray]:
    """Blocks (<= 1024, 3, 32, 32) of the files' images one after another, from number `start` on; one file in memory at a time."""
    with bar(words, sum(file.images for file in files), start, "images") as advance:
        for file in files:
            if start < file.images:
                whole = images(root / file.path, file.images)
                for row in range(start, file.images, BLOCK):
                    block = np.ascontiguousarray(whole[row : row + BLOCK])  # a copy: a view would hold the whole file in memory
                    advance(len(block))
                    yield block
                del whole  # before the next one comes
            start = max(0, start - file.images)


def streams(house: House, root: Path) -> dict[str, pack.Stream]:
    """What is packed: images as they are read, and labels; UserError for a missing or damaged file before any work."""
    verify(house, root)
    found: dict[str, pack.Stream] = {}
    for split, files in (("train", house.train), ("test", (house.test,))):
        count, words = sum(file.images for file in files), f"packing {house.name}, {split}"
        found[split] = pack.Stream.continuable((count, *SHAPE), "|u1", partial(blocks, root, files, words))
        found[f"{split}_labels"] = pack.Stream.of(np.concatenate([labels(root / file.path, file.images) for file in files]))
    return found


def load(house: House, root: Path) -> Dataset:
    """(604388, 3, 32, 32) and (26032, 3, 32, 32), values 0..255, with labels; on disk."""
    return pack.load(root, name=house.name, convention=CONVENTION, files=house.paths, read=partial(streams, house))


def verify(house: House, root: Path) -> None:
    """The md5 of each file; UserError for the first that is missing or another."""
    how = f"replace it: {raw.instructions(house.name, root, FOLDER, URL)}"
    for path, file in zip(raw.require(house.name, root, house.paths, URL), house.files, strict=True):
        raw.check_md5(path, file.md5, how)


def fetch(house: House, root: Path) -> None:
    """Download what is missing or damaged from the official page."""
    files = [download.File(file.path, (URL + file.name,), file.md5) for file in house.files]
    names = ", ".join(file.name for file in house.files)
    download.fetch(house.name, root, files, f"take {names} (Format 2, {BYTES / 1e9:.1f} GB) from {URL}")


def source(house: House) -> Source:
    """What the harness knows of SVHN before its files are read."""
    return Source(
        name=house.name,
        shape=SHAPE,
        counts={"train": sum(file.images for file in house.train), "test": house.test.images},
        convention=CONVENTION,
        kind="real",
        licence="non-commercial use only",
        url=URL,
        load=partial(load, house),
        files=house.paths,
        fetch=partial(fetch, house),
        verify=partial(verify, house),
        raw_bytes=BYTES,
    )


DATASETS = [source(SVHN)]
