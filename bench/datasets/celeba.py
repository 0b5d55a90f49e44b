"""CelebA faces in the three conventions of SPEC 2, and with WAE's split: four datasets from one archive.

celeba64_140      central 140 x 140 to 64 x 64, official split (WAE, VCAE, StackedWAE)
celeba64_140_wae  the same images, split as WAE's code does
celeba64_178      central 178 x 178 to 64 x 64, official split (WiSE-ALE; it states none)
celeba128         all of the image squeezed to 128 x 128, 180,000 + 20,000 drawn at random (LaDDer; its seed is not known)
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage import download, pack, raw
from bench.datasets.storage.celeba_files import URL, View, album, faces
from bench.errors import UserError

FOLDER, ARCHIVE, PARTITION = "celeba", "img_align_celeba.zip", "list_eval_partition.txt"
FILES = (f"{FOLDER}/{ARCHIVE}", f"{FOLDER}/{PARTITION}")
BYTES = 1_443_490_838 + 2_836_386
DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
WAE_SEED, LADDER_SEED = 123, 0

Lists = Mapping[str, list[str]]  # file names by split
Divide = Callable[[Lists, Mapping[str, int]], Lists]  # the official lists and the counts wanted -> train and test


def official(lists: Lists, counts: Mapping[str, int]) -> Lists:
    """The official training and test images; those of the validation split are not used."""
    return {split: lists[split] for split in counts}


def wae(lists: Lists, counts: Mapping[str, int]) -> Lists:
    """The last 20,000 of all file names, shuffled as WAE's code does, are test (datahandler.py of tolstikhin/wae).

    Its Python 2 draws j = int(random() * (i + 1)); Python 3's own shuffle draws otherwise.
    """
    names, generator = sorted(name for split in lists.values() for name in split), random.Random(WAE_SEED)
    for i in reversed(range(1, len(names))):
        j = int(generator.random() * (i + 1))
        names[i], names[j] = names[j], names[i]
    cut = len(names) - counts["test"]
    return {"train": sorted(names[:cut]), "test": sorted(names[cut:])}


def ladder(lists: Lists, counts: Mapping[str, int]) -> Lists:
    """20,000 test images and 180,000 others, drawn without replacement; 2,599 are not used, as in LaDDer's code."""
    names = sorted(name for split in lists.values() for name in split)
    drawn = [names[row] for row in np.random.RandomState(LADDER_SEED).permutation(len(names))]
    cut = counts["test"]
    return {"train": sorted(drawn[cut : cut + counts["train"]]), "test": sorted(drawn[:cut])}


@dataclass(frozen=True)
class Convention:
    """Which part of an image, at which size, and which images."""

    name: str
    view: View
    crop: str  # in words, as `split` is
    split: str
    divide: Divide
    counts: Mapping[str, int]
    images: int = 202_599  # that the partition file lists

    @property
    def protocol(self) -> str:
        """What a protocol id says."""
        side = self.view.side
        return f"CelebA aligned, {self.crop} {side}x{side} by Pillow's Lanczos, value/255, {self.split}"


def cropped(name: str, box: tuple[int, int, int, int], split: str, divide: Divide, counts: Mapping[str, int]) -> Convention:
    """One of the conventions that crop, to 64 x 64."""
    return Convention(name, View(box, 64), f"crop box {box},", split, divide, counts)


CROP_140, CROP_178, OFFICIAL = (19, 39, 159, 179), (0, 20, 178, 198), {"train": 162_770, "test": 19_962}
CONVENTIONS = (
    cropped("celeba64_140", CROP_140, "official split", official, OFFICIAL),
    cropped(
        "celeba64_140_wae",
        CROP_140,
        f"WAE's split: Python 2's random.shuffle with seed {WAE_SEED}, the last 20,000 are test",
        wae,
        {"train": 182_599, "test": 20_000},
    ),
    cropped("celeba64_178", CROP_178, "official split", official, OFFICIAL),
    Convention(
        "celeba128",
        View(None, 128),
        "all of 178x218 squeezed to",
        f"20,000 test and 180,000 train images drawn with numpy's RandomState({LADDER_SEED})",
        ladder,
        {"train": 180_000, "test": 20_000},
    ),
)


def partition(path: Path) -> dict[str, list[str]]:
    """File names of the train (0), validation (1) and test (2) images, in the official list's order."""
    splits: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise UserError(f"{path}, line {number}: {line[:60]!r} is not a file name and 0, 1 or 2; take it from {URL}")
        splits[list(splits)[int(words[1])]].append(words[0])
    return splits


def chosen(convention: Convention, listing: Path) -> Lists:
    """File names of the training and test images; UserError if the partition file is not the whole one."""
    lists = partition(listing)
    names = [name for split in lists.values() for name in split]
    if len(names) != convention.images or len(set(names)) != len(names):
        found = f"lists {len(set(names)):,} different images in {len(names):,} lines, the official one {convention.images:,}"
        raise UserError(f"{listing} {found}: it is cut short or another list; take it again from {URL}")
    divided = convention.divide(lists, convention.counts)
    for split, count in convention.counts.items():
        if len(divided[split]) != count:
            raise UserError(f"{listing} gives {len(divided[split]):,} {split} images, {count:,} expected; take it again from {URL}")
    return divided


def streams(convention: Convention, root: Path) -> dict[str, pack.Stream]:
    """What is packed, decoded as it is asked for; UserError, before any work, when files or images are missing."""
    path, listing = raw.require(convention.name, root, FILES, URL)
    lists, images, view = chosen(convention, listing), album(path), convention.view
    absent = [name for names in lists.values() for name in names if name not in images.names]
    if absent:
        raise UserError(
            f"{path}: {len(absent):,} listed images are missing, such as {absent[0]} of {listing.name}; take it again from {URL}"
        )
    return {
        split: pack.Stream.continuable(
            (len(names), 3, view.side, view.side),
            "|u1",
            partial(faces, view, images, names, f"packing {convention.name}, {split}"),
        )
        for split, names in lists.items()
    }


def load(convention: Convention, root: Path) -> Dataset:
    """(N, 3, side, side) training and test images, values 0..255, on disk; the first call decodes for minutes."""
    read = partial(streams, convention)
    return pack.load(root, name=convention.name, convention=convention.protocol, files=FILES, read=read)


def checksums() -> dict[str, tuple[str, str]]:
    """torchvision's list: file name -> (its id on Google Drive, md5)."""
    from torchvision.datasets import CelebA

    return {name: (key, md5) for key, md5, name in CelebA.file_list}


def verify(convention: Convention, root: Path) -> None:
    """The official md5 of the list and the archive; of an unpacked folder, that every listed image is there."""
    for path in raw.require(convention.name, root, FILES, URL):
        if path.is_dir():
            streams(convention, root)
        else:
            raw.check_md5(path, checksums()[path.name][1], f"delete it and take it again from {URL}")


def fetch(convention: Convention, root: Path) -> None:
    """Download archive and list from the authors' Google Drive, which often refuses, and check them."""
    by_hand = f"take {ARCHIVE} (1.4 GB, under Align&Cropped Images) and {PARTITION} (under Train/Val/Test Partitions) from {URL}"
    files = [
        download.File(f"{FOLDER}/{name}", (DRIVE.format(checksums()[name][0]),), checksums()[name][1]) for name in (PARTITION, ARCHIVE)
    ]
    download.fetch(convention.name, root, files, by_hand)


def source(convention: Convention) -> Source:
    """The card of a convention."""
    return Source(
        name=convention.name,
        shape=(3, convention.view.side, convention.view.side),
        counts=dict(convention.counts),
        convention=convention.protocol,
        kind="real",
        licence="non-commercial research only",
        url=URL,
        load=partial(load, convention),
        files=FILES,
        fetch=partial(fetch, convention),
        verify=partial(verify, convention),
        raw_bytes=BYTES,
    )


DATASETS = [source(convention) for convention in CONVENTIONS]
