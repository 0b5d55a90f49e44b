"""A folder of images as a dataset, `folder:PATH`, with what is said of it behind commas: `folder:photos,image_size=32,crop=squeeze`.

image_size    the side of the square that images become; not said: images of one size of up to 64 × 64 stay as they are, all others become
              64 × 64, or 32 × 32 where the smallest is shorter than 64
crop          `centre`: the central square; `squeeze`: all of the image, whatever its shape
channels      1 or 3, where some images are grey and some in colour

Which files are read, which of them are test images and which classes they have: bench/datasets/storage/folder_files.py.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage import decoding, pack
from bench.datasets.storage.folder_files import SHARE, SPLITS, Album, Crop, File, View, album, array, channels_of
from bench.datasets.storage.image_files import Encoded
from bench.errors import UserError, unknown

PREFIX = "folder:"
SMALLEST, LARGEST, USUAL = 4, 1024, (64, 32)  # sides in pixels
OPTIONS = ("image_size", "crop", "channels")
TOGETHER = 16 * 2**20  # bytes of files, and of small arrays, that are decoded together
ALONE = 64 * 2**20  # bytes of files that one process decodes faster than others start


@dataclass(frozen=True)
class Asked:
    """What a dataset's name says."""

    path: str
    image_size: int | None = None
    crop: Crop = "centre"
    channels: int | None = None


def asked(name: str) -> Asked:
    """The parts of `folder:PATH,option=value`; UserError for an option or a value that is none."""
    path, options = name.removeprefix(PREFIX), dict[str, str]()
    while match := re.fullmatch(r"(.+),(\w+)=([^,/]*)", path):
        path, key, value = match.groups()
        if key not in OPTIONS:
            raise UserError(f"dataset {name}: {unknown('option', key, OPTIONS)}")
        options[key] = value
    if not path:
        raise UserError(f"dataset {name}: it names no folder; write folder:PATH")
    size, crop, channels = options.get("image_size"), options.get("crop", "centre"), options.get("channels")
    if size is not None and not (size.isdecimal() and SMALLEST <= int(size) <= LARGEST):
        raise UserError(f"dataset {name}: image_size must be a whole number from {SMALLEST} to {LARGEST}, not {size!r}")
    if crop not in get_args(Crop):
        raise UserError(f"dataset {name}: crop must be one of {', '.join(get_args(Crop))}, not {crop!r}")
    if channels not in (None, "1", "3"):
        raise UserError(f"dataset {name}: channels must be 1 or 3, not {channels!r}")
    return Asked(path, int(size) if size else None, "squeeze" if crop == "squeeze" else "centre", int(channels) if channels else None)


def source(name: str, base: Path) -> Source:
    """The card of a folder, whose path begins at `base`; every file is read once, none is decoded. UserError for a bad folder."""
    wanted = asked(name)
    try:
        found = album(base / wanted.path)
        view = View(wanted.crop, (wanted.channels or channels_of(found.folder, found.files), *sides(wanted, found)))
    except UserError as error:
        raise UserError(f"dataset {name}: {error}") from None
    words = convention(found, view)
    return Source(
        name=name,
        shape=view.shape,
        counts={split: len(found.splits[split]) for split in SPLITS},
        convention=words,
        kind="real",
        licence="your own",
        url="a folder of yours",
        load=partial(load, name, words, found, view),
        content=found.content,
    )


def sides(wanted: Asked, found: Album) -> tuple[int, int]:
    """Height and width of the images, by the rule above; UserError where the smallest is too small for it."""
    if wanted.image_size:
        return wanted.image_size, wanted.image_size
    sizes = {file.size for file in found.files}
    width, height = next(iter(sizes))
    if len(sizes) == 1 and max(width, height) <= USUAL[0]:
        return height, width
    smallest = min(found.files, key=lambda file: min(file.size))
    for side in USUAL:
        if min(smallest.size) >= side:
            return side, side
    shape = "×".join(map(str, smallest.size))
    raise UserError(f"{smallest.name} has only {shape} pixels, others more; say what all become: image_size={USUAL[1]} behind a comma")


def convention(found: Album, view: View) -> str:
    """What a protocol id says."""
    channels, height, width = view.shape
    resized = any(file.size != (width, height) for file in found.files)
    taken = {"centre": "their central squares", "squeeze": "all of each, squeezed"}[view.crop]
    size = f"{taken} resized to {height}x{width} by Pillow's Lanczos" if resized else f"{height}x{width}"
    split = "split by its subfolders" if found.given else f"one in {SHARE} held out by a hash of its content"
    repeated = f", {found.repeated} repeated left out" if found.repeated else ""
    return f"images of a folder, {'grey' if channels == 1 else 'colour'}, {size}, value/255, {split}{repeated}; content {found.content}"


def load(name: str, words: str, found: Album, view: View, root: Path) -> Dataset:
    """(N, C, H, W) training and test images, values 0..255, with labels where subfolders are classes; packed the first time."""
    return pack.load(root, name=name, convention=words, files=(), read=lambda _: streams(name, found, view))


def streams(name: str, found: Album, view: View) -> dict[str, pack.Stream]:
    """What is packed, decoded as it is asked for."""
    named = {split: stream(name, found, view, split) for split in SPLITS}
    labels = {f"{split}_labels": pack.Stream.of(found.labels(split)) for split in SPLITS if found.classes}
    return named | labels


def stream(name: str, found: Album, view: View, split: str) -> pack.Stream:
    """The images of a split, in the order of their names."""
    files = {file.name: file for file in found.splits[split]}
    large = max(max(file.bytes for file in files.values()), view.shape[0] * view.shape[1] * view.shape[2])
    most = 1 if sum(file.bytes for file in files.values()) < ALONE else None
    decode, size, words = partial(array, view), max(1, TOGETHER // large), f"packing {name}, {split}"
    return pack.Stream.continuable(
        (len(files), *view.shape),
        "|u1",
        lambda start: decoding.blocks(decode, partial(encoded, found, files), list(files), size, words, start, most),
    )


def encoded(found: Album, files: dict[str, File], name: str) -> Encoded:
    """The file of that name."""
    return found.encoded(files[name])
