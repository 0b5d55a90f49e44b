"""dSprites: a white square, ellipse or heart on black in 6 sizes, 40 orientations and 32 x 32 places; all 737,280 images.

Matthey et al., "dSprites: Disentanglement testing Sprites dataset", 2017. `dsprites` is the official archive. `dsprites_render`
draws the same images in the same order. Its measures were fitted to the picture in the official repository, 320 images of the set,
of which it repeats all but 128 pixels. It is another dataset, with a name of its own.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Factor, Source
from bench.datasets.storage import pack, raw
from bench.errors import UserError

URL = "https://github.com/google-deepmind/dsprites-dataset"
FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
FILES = (f"dsprites/{FILE}",)
BLOB = "d98996d3f8ee1550e06b9d4ed78d0beb478910d5"  # of the archive, in the official repository's tree
FACTORS = tuple(map(Factor, ("color", "shape", "scale", "orientation", "posX", "posY"), (1, 3, 6, 40, 32, 32)))  # the last varies fastest
SIZES = tuple(factor.size for factor in FACTORS)
SIDE, COUNT = 64, 737_280
TEST, SEED = 10_000, 0  # of the images that stand for test images, which are training images too
SUBSET, SUBSET_TEST, SUBSET_SEED = 20_000, 2_000, 0
BLOCK = 1024

SQUARE, ELLIPSE, HEART = 9.6, (12.8, 7.2), (9.6, 0.662, -1.435)  # pixels at scale 1: half sides; half width, unit of height, shift
FIRST, LAST = 16.0, 48.0  # pixels, of a centre
REACH = 14  # pixels: no point of a shape is farther from its centre


def factors(indices: np.ndarray, sizes: tuple[int, ...] = SIZES) -> np.ndarray:
    """The index of each factor's value.   (N,) -> (N, 6) int64"""
    return np.stack(np.unravel_index(indices, sizes), 1).astype(np.int64)


def inside(shape: int, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points of a shape's own frame, at scale 1, right and down from its centre, are in it.   (...) x2 -> (...)"""
    if shape == 0:
        return np.maximum(np.abs(u), np.abs(v)) <= SQUARE
    if shape == 1:
        return (u / ELLIPSE[0]) ** 2 + (v / ELLIPSE[1]) ** 2 <= 1
    # x = 16 sin³ t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t: two heights for each |x|, those of cos t of either sign
    width, unit, shift = HEART
    cosine = np.sqrt(np.maximum(1 - np.cbrt(np.square(u / width)), 0))
    square = cosine * cosine
    even, odd = 4 - 2 * square - 8 * square * square, cosine * (19 - 8 * square)
    height = (shift - v) / unit
    return (np.abs(u) <= width) & (height <= even + odd) & (height >= even - odd)


def render(indices: np.ndarray, sizes: tuple[int, ...] = SIZES) -> np.ndarray:
    """The images of those indices.   (N,) -> (N, 1, 64, 64) uint8, 0 or 1"""
    latents = factors(indices, sizes)
    steps = np.maximum(np.array(sizes) - 1, 1)
    _, _, scale, angle, x, y = (latents / steps).T[:, :, None, None]
    scale, angle = 0.5 + 0.5 * scale, 2 * np.pi * angle
    centres = [(FIRST + (LAST - FIRST) * place)[:, 0, 0] for place in (x, y)]
    starts = [np.floor(centre).astype(np.int64) - REACH for centre in centres]
    columns, rows = (start[:, None] + np.arange(2 * REACH + 1) for start in starts)
    right, down = (columns + 0.5 - centres[0][:, None])[:, None, :], (rows + 0.5 - centres[1][:, None])[:, :, None]
    u = (np.cos(angle) * right - np.sin(angle) * down) / scale
    v = (np.sin(angle) * right + np.cos(angle) * down) / scale
    images = np.zeros((len(latents), 1, SIDE, SIDE), np.uint8)
    for shape in np.unique(latents[:, 1]):
        of = np.flatnonzero(latents[:, 1] == shape)
        images[of[:, None, None], 0, rows[of][:, :, None], columns[of][:, None, :]] = inside(int(shape), u[of], v[of])
    return images


def blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    """Rendered images, some at a time."""
    return (render(part) for part in np.split(indices, range(BLOCK, len(indices), BLOCK)))


def held_out(n: int) -> np.ndarray:
    """Indices of the images that stand for test images, rising."""
    return np.sort(np.random.RandomState(SEED).permutation(n)[:TEST])


def rendered(root: Path) -> dict[str, pack.Stream]:
    """Every image, drawn as it is asked for."""
    everything = {"train": np.arange(COUNT), "test": held_out(COUNT)}
    images = {split: pack.Stream((len(of), 1, SIDE, SIDE), "|u1", blocks(of)) for split, of in everything.items()}
    return images | {f"{split}_factors": pack.Stream.of(factors(of)) for split, of in everything.items()}


def load_rendered(root: Path) -> Dataset:
    """(737280, 1, 64, 64) in the official order and (10000, 1, 64, 64) of the same, 0 or 1, on disk; the first call draws them."""
    return replace(pack.load(root, name="dsprites_render", convention=CONVENTION, files=(), read=rendered), levels=1)


def load_subset(root: Path) -> Dataset:
    """(20000, 1, 64, 64) and (2000, 1, 64, 64), drawn in seconds, no image twice; the data root is not read."""
    order = np.random.RandomState(SUBSET_SEED).permutation(COUNT)
    train, test = np.sort(order[:SUBSET]), np.sort(order[SUBSET : SUBSET + SUBSET_TEST])
    images, images_test = (np.concatenate(list(blocks(of))) for of in (train, test))
    return Dataset(images, images_test, levels=1, train_factors=factors(train), test_factors=factors(test))


class Archive:
    """The official archive, read as it is needed: 3 GB of images in 26 MB. What is wrong with it is a UserError."""

    def __init__(self, root: Path, sizes: tuple[int, ...]):
        (self.path,) = raw.require("dsprites", root, FILES, URL)
        self.sizes, self.count = sizes, int(np.prod(sizes))

    def rows(self, member: str, dtype: str, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """An array of the archive that must have that type and shape, BLOCK rows at a time."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{member}.npy") as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                found = read(file)
                if found != (shape, False, np.dtype(dtype)):
                    said = f"{member} is {found[2]} of {found[0]}, {np.dtype(dtype)} of {shape} expected"
                    raise UserError(f"{self.path}: {said}; {self.again()}")
                size = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
                for start in range(0, shape[0], BLOCK):
                    n = min(BLOCK, shape[0] - start)
                    data = file.read(n * size)
                    if len(data) != n * size:
                        raise EOFError(f"{member} ends at row {start + len(data) // size}")
                    yield np.frombuffer(data, dtype).reshape(n, *shape[1:])
                if file.read(1):
                    raise EOFError(f"{member} goes on after its last row")
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.path} is damaged ({self.path.stat().st_size:,} bytes): {error}; {self.again()}") from None

    def again(self) -> str:
        """The way out."""
        return f"take it again from {URL}"

    def images(self, of: np.ndarray) -> Iterator[np.ndarray]:
        """The images of rising indices.   -> (n, 1, 64, 64) uint8, 0 or 1"""
        start = 0
        for block in self.rows("imgs", "|u1", (self.count, SIDE, SIDE)):
            if block.max() > 1:
                raise UserError(f"{self.path}: imgs has values up to {block.max()}, 0 and 1 expected; {self.again()}")
            chosen = of[(of >= start) & (of < start + len(block))] - start
            start += len(block)
            yield block[chosen][:, None]

    def streams(self) -> dict[str, pack.Stream]:
        """What is packed: UserError where the images are not in the official order."""
        expected = factors(np.arange(self.count), self.sizes)
        latents = np.concatenate(list(self.rows("latents_classes", "<i8", expected.shape)))
        if not np.array_equal(latents, expected):
            first = int((latents != expected).any(1).argmax())
            raise UserError(f"{self.path}: row {first} of latents_classes is {latents[first]}, {expected[first]} expected; {self.again()}")
        splits = {"train": np.arange(self.count), "test": held_out(self.count)}
        images = {split: pack.Stream((len(of), 1, SIDE, SIDE), "|u1", self.images(of)) for split, of in splits.items()}
        return images | {f"{split}_factors": pack.Stream.of(expected[of]) for split, of in splits.items()}


def load_official(root: Path, sizes: tuple[int, ...] = SIZES) -> Dataset:
    """(737280, 1, 64, 64) in the official order and (10000, 1, 64, 64) of the same, 0 or 1, on disk; the first call unpacks them."""
    read = lambda root: Archive(root, sizes).streams()
    return replace(pack.load(root, name="dsprites", convention=OFFICIAL, files=FILES, read=read), levels=1)


def verify(root: Path, blob: str = BLOB) -> None:
    """The archive against the hash by which the official repository knows it."""
    (path,) = raw.require("dsprites", root, FILES, URL)
    digest = raw.digest(path, "sha1", b"blob %d\0" % path.stat().st_size)
    if digest != blob:
        found = f"{path.stat().st_size:,} bytes with the git blob hash {digest}, expected {blob}"
        raise UserError(f"{path} is damaged: {found}; delete it and take it again from {URL}")


def fetch(root: Path) -> None:
    """Download the archive with torchvision's downloader and check it."""

    def arrive(temporary: Path) -> None:
        from torchvision.datasets.utils import download_url

        download_url(f"{URL}/raw/master/{FILE}", temporary / "dsprites", FILE)
        verify(temporary)

    raw.download("dsprites", root, "dsprites", URL, arrive)


ALL = f"all {COUNT:,} images train, and {TEST:,} of them, drawn with seed {SEED}, stand for test images"
DRAWN = "dSprites drawn by this program, 64x64, 0 or 1"
CONVENTION, OFFICIAL = f"{DRAWN}; {ALL}", f"dSprites, official archive, 64x64, 0 or 1; {ALL}"


def source(name: str, convention: str) -> Source:
    """The card of the rendered set, under another name and convention."""
    return Source(
        name=name,
        shape=(1, SIDE, SIDE),
        counts={"train": COUNT, "test": TEST},
        convention=convention,
        kind="rendered",
        licence="Apache-2.0, as this program",
        url=URL,
        load=load_rendered,
        factors=FACTORS,
    )


DATASETS = [
    source("dsprites_render", CONVENTION),
    replace(
        source(
            "dsprites_render_20k",
            f"{DRAWN}; {SUBSET:,} and {SUBSET_TEST:,} of the {COUNT:,} images, drawn with seed {SUBSET_SEED}, none twice",
        ),
        counts={"train": SUBSET, "test": SUBSET_TEST},
        load=load_subset,
    ),
    replace(
        source("dsprites", OFFICIAL),
        licence="Apache-2.0; made with LÖVE, zlib licence",
        load=load_official,
        files=FILES,
        fetch=fetch,
        verify=verify,
    ),
]
