"""CelebA faces, 64 x 64 from the central 140 x 140 of the aligned images, official split (SPEC 2, `celeba64_140`)."""

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from bench.datasets import pack, raw
from bench.datasets.dataset import Dataset, Source
from bench.errors import UserError

NAME, URL = "celeba64_140", "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
FOLDER, ARCHIVE, PARTITION = "celeba", "img_align_celeba.zip", "list_eval_partition.txt"
FILES = (f"{FOLDER}/{ARCHIVE}", f"{FOLDER}/{PARTITION}")
ALIGNED, BOX, SIDE = (178, 218), (19, 39, 159, 179), 64  # width, height; left, top, right, bottom
CONVENTION = f"CelebA aligned, crop box {BOX}, {SIDE}x{SIDE} by Pillow's Lanczos, value/255, official split"
BLOCK = 256  # images in memory at once while packing


def partition(path: Path) -> dict[str, list[str]]:
    """File names of the train (0), validation (1) and test (2) images, in the official list's order."""
    splits: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise UserError(f"{path}, line {number}: {line[:60]!r} is not a file name and 0, 1 or 2; take it from {URL}")
        splits[list(splits)[int(words[1])]].append(words[0])
    for split, names in splits.items():
        if not names and split != "validation":
            raise UserError(f"{path} lists no {split} image: it is cut short; take it again from {URL}")
    return splits


def opener(path: Path) -> tuple[set[str], Callable[[str], bytes]]:
    """What image files `path`, the archive or its unpacked folder, has, and a function that reads one."""
    if path.is_dir():
        return set(os.listdir(path)), lambda name: (path / name).read_bytes()
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is damaged ({path.stat().st_size:,} bytes): {error}; take it again from {URL}") from None
    folder = f"{path.stem}/"
    return {name.removeprefix(folder) for name in archive.namelist()}, lambda name: archive.read(folder + name)


def face(data: bytes, where: str) -> np.ndarray:
    """One encoded 178 x 218 image -> (3, 64, 64) uint8; UserError says which file is damaged."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.size != ALIGNED:
                raise UserError(f"{where} has (width, height) {image.size}, the aligned images have {ALIGNED}")
            small = image.convert("RGB").crop(BOX).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{where} is damaged ({len(data):,} bytes): {error}; take it again from {URL}") from None
    return np.asarray(small).transpose(2, 0, 1)


def faces(names: list[str], split: str, path: Path, fetch: Callable[[str], bytes]) -> Iterator[np.ndarray]:
    """Blocks (<= 256, 3, 64, 64) of the images in the list's order, with a progress bar on standard error."""
    block: list[np.ndarray] = []
    for name in track(names, f"packing {NAME}, {split}", console=Console(stderr=True)):
        try:
            data = fetch(name)
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{path}: {name} cannot be read: {error}; take it again from {URL}") from None
        block.append(face(data, f"{path}: {name}"))
        if len(block) == BLOCK:
            yield np.stack(block)
            block = []
    if block:
        yield np.stack(block)


def streams(root: Path) -> dict[str, pack.Stream]:
    """What is packed, decoded as it is asked for; UserError, before any work, when files or images are missing."""
    images, listing = raw.require(NAME, root, FILES, URL)
    splits, (there, fetch) = partition(listing), opener(images)
    wanted = {split: splits[split] for split in ("train", "test")}
    absent = [name for names in wanted.values() for name in names if name not in there]
    if absent:
        raise UserError(f"{images}: {len(absent):,} listed images are missing, such as {absent[0]}; take it again from {URL}")
    return {split: pack.Stream((len(names), 3, SIDE, SIDE), "|u1", faces(names, split, images, fetch)) for split, names in wanted.items()}


def load(root: Path) -> Dataset:
    """(162770, 3, 64, 64) and (19962, 3, 64, 64), values 0..255, on disk; the first call decodes for minutes."""
    return pack.load(root, name=NAME, convention=CONVENTION, files=FILES, read=streams)


def official() -> dict[str, tuple[str, str]]:
    """torchvision's list: file name -> (its id on Google Drive, md5)."""
    from torchvision.datasets import CelebA

    return {name: (key, md5) for key, md5, name in CelebA.file_list}


def verify(root: Path) -> None:
    """The official md5 of the list and the archive; of an unpacked folder, that every listed image is there."""
    for path in raw.require(NAME, root, FILES, URL):
        if path.is_dir():
            streams(root)
            continue
        with path.open("rb") as file:
            digest, expected = hashlib.file_digest(file, "md5").hexdigest(), official()[path.name][1]
        if digest != expected:
            found = f"{path.stat().st_size:,} bytes with md5 {digest}, expected {expected}"
            raise UserError(f"{path} is damaged: {found}; delete it and take it again from {URL}")


def fetch(root: Path) -> None:
    """Download archive and list with torchvision's downloader (it needs the package gdown), and check them."""

    def arrive(temporary: Path) -> None:
        from torchvision.datasets.utils import download_file_from_google_drive

        for name in (PARTITION, ARCHIVE):
            key, md5 = official()[name]
            download_file_from_google_drive(key, temporary / FOLDER, name, md5)

    by_hand = f"{URL} ({ARCHIVE}, 1.4 GB, and {PARTITION}, under Align&Cropped Images and Train/Val/Test Partitions)"
    raw.download(NAME, root, FOLDER, by_hand, arrive)


DATASETS = [
    Source(
        name=NAME,
        shape=(3, SIDE, SIDE),
        counts={"train": 162_770, "test": 19_962},
        convention=CONVENTION,
        kind="real",
        licence="non-commercial research only",
        url=URL,
        load=load,
        files=FILES,
        fetch=fetch,
        verify=verify,
    )
]
