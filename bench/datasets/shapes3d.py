"""3D Shapes (Burgess and Kim 2018): 480,000 pictures 64 x 64 of all combinations of six factors, from the official file (SPEC 2)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.datasets.dataset import Dataset, Factor, Source
from bench.datasets.storage import pack, raw
from bench.datasets.storage.progress_bar import bar
from bench.errors import UserError

if TYPE_CHECKING:
    import h5py

NAME, URL = "shapes3d", "https://github.com/google-deepmind/3d-shapes"
FOLDER, ARCHIVE = "shapes3d", "3dshapes.h5"
FILES = (f"{FOLDER}/{ARCHIVE}",)
DOWNLOAD = f"https://storage.googleapis.com/3d-shapes/{ARCHIVE}"
SHA256 = "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785"  # as TensorFlow Datasets has it; 267,573,662 bytes
FACTORS = (
    Factor("floor_hue", 10),
    Factor("wall_hue", 10),
    Factor("object_hue", 10),
    Factor("scale", 8),
    Factor("shape", 4),  # cube, cylinder, sphere, capsule
    Factor("orientation", 15),  # from -30 to 30 degrees
)
SIZES = tuple(factor.size for factor in FACTORS)
SIDE, COUNT, TEST, SEED = 64, 480_000, 10_000, 0
CONVENTION = (
    f"3D Shapes {SIDE}x{SIDE}, value/255, no split: trained on all {COUNT:,}; "
    f"the test images are {TEST:,} of the same, drawn uniformly with seed {SEED}"
)
ROWS = 32_768  # of a block at most, 400 MB: the file's chunks span many images each, and a chunk should be unpacked once


def factors(index: np.ndarray) -> np.ndarray:
    """(N,) positions in the official order, the last factor varying fastest -> (N, 6) int64 indices of the factors' values."""
    return np.stack(np.unravel_index(index, SIZES), axis=1).astype(np.int64)


def drawn(count: int, test: int) -> np.ndarray:
    """The sorted rows of the test images."""
    return np.sort(np.random.RandomState(SEED).permutation(count)[:test])


def damaged(path: Path, what: object) -> UserError:
    """With the way out."""
    return UserError(f"{path} is damaged ({path.stat().st_size:,} bytes): {' '.join(str(what).split())}; take it again from {URL}")


@contextmanager
def opened(path: Path) -> Iterator[tuple["h5py.Dataset", "h5py.Dataset"]]:
    """The file's images and labels, of the shapes and types they must have; UserError says what is wrong."""
    import h5py  # only those who have the file need it

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise damaged(path, error) from None
    with file:
        for name, shape, dtype in (("images", (COUNT, SIDE, SIDE, 3), np.uint8), ("labels", (COUNT, len(FACTORS)), np.float64)):
            found = file.get(name)
            if found is None:
                raise UserError(f"{path} has no {name!r}, only {sorted(file)}: it is not {ARCHIVE}; take it from {URL}")
            if (found.shape, found.dtype) != (shape, dtype):
                raise UserError(f"{path}: {name} is {found.dtype} {found.shape}, {np.dtype(dtype)} {shape} expected; take it from {URL}")
        yield file["images"], file["labels"]


def ranked(labels: np.ndarray, path: Path) -> np.ndarray:
    """(N, 6) values -> (N, 6) int64 indices: a value's rank in its column. UserError where that is not the official order."""
    found = np.stack([np.unique(column.round(6), return_inverse=True)[1] for column in labels.T], axis=1)
    wrong = np.argwhere(found != factors(np.arange(len(found))))
    if len(wrong):
        row, column = wrong[0]
        raise UserError(
            f"{path}: label {row:,} has {FACTORS[column].name} {labels[row, column]}, not as in the official order; from {URL}?"
        )
    return found.astype(np.int64)


def blocks(path: Path, rows: np.ndarray, split: str) -> Iterator[np.ndarray]:
    """Blocks (n, 3, 64, 64) of the images at the sorted `rows`, with a progress bar on standard error."""
    with opened(path) as (images, _), bar(f"packing {NAME}, {split}", len(rows), 0, "images") as advance:
        step = min(max(images.chunks[0] if images.chunks else 0, 256), ROWS)
        for start in range(0, len(images), step):
            wanted = rows[(rows >= start) & (rows < start + step)] - start
            try:
                block = images[start : start + step][wanted].transpose(0, 3, 1, 2)
            except OSError as error:
                raise damaged(path, error) from None
            advance(len(block))
            yield block


def streams(root: Path) -> dict[str, pack.Stream]:
    """What is packed: all images, the test images among them, and the factors of both."""
    (path,) = raw.require(NAME, root, FILES, URL)
    with opened(path) as (_, labels):
        try:
            every = ranked(labels[:], path)
        except OSError as error:
            raise damaged(path, error) from None
    rows = {"train": np.arange(COUNT), "test": drawn(COUNT, TEST)}
    images = {split: pack.Stream((len(of), 3, SIDE, SIDE), "|u1", blocks(path, of, split)) for split, of in rows.items()}
    return images | {f"{split}_factors": pack.Stream.of(every[of]) for split, of in rows.items()}


def load(root: Path) -> Dataset:
    """(480000, 3, 64, 64) and (10000, 3, 64, 64), values 0..255, on disk (6 GB), with factors; the first call unpacks for minutes."""
    return pack.load(root, name=NAME, convention=CONVENTION, files=FILES, read=streams)


def verify(root: Path) -> None:
    """The file's sha256; UserError when it differs."""
    (path,) = raw.require(NAME, root, FILES, URL)
    digest = raw.digest(path, "sha256")
    if digest != SHA256:
        raise damaged(path, f"sha256 {digest}, expected {SHA256}")


def fetch(root: Path) -> None:
    """Download the file (268 MB) and check it before it enters the data root."""

    def arrive(temporary: Path) -> None:
        from torchvision.datasets.utils import download_url

        download_url(DOWNLOAD, temporary / FOLDER, ARCHIVE)
        verify(temporary)

    raw.download(NAME, root, FOLDER, f"{URL} ({ARCHIVE})", arrive)


DATASETS = [
    Source(
        name=NAME,
        shape=(3, SIDE, SIDE),
        counts={"train": COUNT, "test": TEST},
        convention=CONVENTION,
        kind="rendered",
        licence="Apache 2.0",
        url=URL,
        load=load,
        factors=FACTORS,
        files=FILES,
        fetch=fetch,
        verify=verify,
    )
]
