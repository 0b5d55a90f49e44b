"""Image files of a user's folder: which they are, what each is, which train and which test, and each as a small array.

Read are files whose names end as images do, in the folder and those below it; hidden ones are not. With subfolders `train` and `test`
these are the two splits and nothing else is read. Without, every fifth image is a test image, by a hash of its content, so that images
that come or go move no others but a few at the cut; an image whose content has been there already is left out. Where every image of
the splits lies in a subfolder, and there are several, the subfolders are classes, numbered by name.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from bench.datasets.storage.image_files import Encoded, central_square, decoded, header
from bench.datasets.storage.image_folder import ImageFiles, regular
from bench.datasets.storage.progress_bar import bar
from bench.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm")
SPLITS = ("train", "test")
SHARE, FEWEST = 5, 10  # one image of so many is a test image; images at least, where none are marked as such

Crop = Literal["centre", "squeeze"]


class View(NamedTuple):
    """What is taken of an image: its central square, or all of it squeezed; and the shape that it is resized to."""

    crop: Crop
    shape: tuple[int, int, int]  # C, H, W


@dataclass(frozen=True)
class File:
    """An image file as it was when it was looked at."""

    name: str  # below the folder, with /
    bytes: int
    sha256: str
    size: tuple[int, int]  # width, height, upright
    channels: int  # 1 or 3


@dataclass(frozen=True)
class Album:
    """The images of a folder by split, with their classes where they have any."""

    folder: Path
    splits: Mapping[str, tuple[File, ...]]  # train and test, each by name
    classes: tuple[str, ...] = ()
    given: bool = False  # whether the splits are subfolders
    repeated: int = 0  # files left out, for others have the same content

    @property
    def files(self) -> list[File]:
        """All of them."""
        return [file for split in SPLITS for file in self.splits[split]]

    @property
    def content(self) -> str:
        """A hash of every image's name and content, 12 hexadecimal digits."""
        return hashlib.sha256("".join(f"{file.name}\0{file.sha256}\n" for file in self.files).encode()).hexdigest()[:12]

    def labels(self, split: str) -> np.ndarray:
        """The number of each image's class.   -> (N,) int64"""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number[class_of(file.name, self.given)] for file in self.splits[split]], np.int64)

    def encoded(self, file: File) -> Encoded:
        """A file's content; UserError where it is not what it was when it was looked at."""
        image = read(self.folder, file.name)
        if hashlib.sha256(image.data).hexdigest() != file.sha256:
            raise UserError(f"{image.where} was changed while it was read; start again")
        return image


def album(folder: Path) -> Album:
    """The images of a folder; one line of UserError for a folder that none can be taken of."""
    names = sorted(image_names(folder))
    files = list[File]()
    with bar(f"reading {folder}", len(names), 0, "images") as advance:
        for name in names:
            files.append(looked_at(read(folder, name), name))
            advance(1)
    given = any(file.name.startswith(f"{split}/") for split in SPLITS for file in files)
    splits = by_folder(folder, files) if given else by_content(folder, files)
    kept = [file for split in SPLITS for file in splits[split]]
    classes = sorted({class_of(file.name, given) for file in kept})
    named = len(classes) > 1 and "" not in classes
    return Album(folder, splits, tuple(classes) if named else (), given, 0 if given else len(files) - len(kept))


def class_of(name: str, given: bool) -> str:
    """The subfolder that an image lies in, the first below its split's; "" where there is none."""
    parts = name.split("/")[given:]
    return parts[0] if len(parts) > 1 else ""


def image_names(folder: Path) -> list[str]:
    """The images in a folder and below, by their paths from there; UserError where there are none, or a link leads back."""
    if not folder.is_dir():
        there = "a file, no folder" if folder.is_file() else "no such folder"
        raise UserError(f"{folder}: {there}; a relative path begins where the suite file is")
    found, others = list[str](), Counter[str]()
    for path in walked(folder, ()):
        if path.suffix.lower() in ENDINGS:
            found.append(path.relative_to(folder).as_posix())
        else:
            others[path.suffix.lower() or "no ending"] += 1
    if not found:
        there = ", ".join(f"{count} {ending}" for ending, count in others.most_common(3)) or "nothing"
        raise UserError(f"{folder}: no images; it has {there}; read are {' '.join(ENDINGS)}")
    return found


def walked(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Files below a folder that are not hidden; links are followed."""
    try:
        place, entries = folder.resolve(), sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from None
    if place in above:
        raise UserError(f"{folder}: a link to a folder that it lies in; remove it")
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if os.path.islink(entry) and not entry.exists():
            raise UserError(f"{entry}: a link that leads nowhere; remove it")
        if entry.is_dir():
            yield from walked(entry, (*above, place))
        else:
            yield entry


def read(folder: Path, name: str) -> Encoded:
    """A file's content; UserError where it cannot be read."""
    return ImageFiles(folder, False, (name,), 0, partial(regular, folder)).encoded(name)


def looked_at(image: Encoded, name: str) -> File:
    """Size and channels by the file's head; UserError where Pillow sees no image."""
    found = header(io.BytesIO(image.data), len(image.data), image.where)
    return File(name, len(image.data), hashlib.sha256(image.data).hexdigest(), found.size, 1 if found.grey else 3)


def by_folder(folder: Path, files: Sequence[File]) -> dict[str, tuple[File, ...]]:
    """Images of the subfolders train and test; UserError where one is missing, or an image is in both."""
    splits = {split: tuple(file for file in files if file.name.startswith(f"{split}/")) for split in SPLITS}
    for split, own in splits.items():
        if len(own) < 2:
            other = SPLITS[split == "train"]
            raise UserError(f"{folder}: {len(own)} images in {split}/ beside those in {other}/; at least 2, or leave both folders out")
    first = {file.sha256: file.name for file in splits["train"]}
    for file in splits["test"]:
        if file.sha256 in first:
            raise UserError(f"{folder}: {first[file.sha256]} and {file.name} are the same image; take one of them away")
    return splits


def by_content(folder: Path, files: Sequence[File]) -> dict[str, tuple[File, ...]]:
    """Every content once, one in SHARE a test image, by a hash of the content; UserError where there are too few."""
    different = {file.sha256: file for file in reversed(files)}  # the first by name stays
    if len(different) < FEWEST:
        raise UserError(f"{folder}: {len(different)} different images are too few; at least {FEWEST}")
    ranked = sorted(different, key=lambda content: hashlib.sha256(f"test {content}".encode()).digest())
    held_out = set(ranked[: round(len(ranked) / SHARE)])
    kept = sorted(different.values(), key=lambda file: file.name)
    return {split: tuple(file for file in kept if (file.sha256 in held_out) == (split == "test")) for split in SPLITS}


def channels_of(folder: Path, files: Iterable[File]) -> int:
    """1 or 3, as all images have; UserError where some are grey and some in colour."""
    kinds: dict[int, list[str]] = {1: [], 3: []}
    for file in files:
        kinds[file.channels].append(file.name)
    if kinds[1] and kinds[3]:
        grey, colour = (f"{len(kinds[n]):,} {word} ({kinds[n][0]})" for n, word in ((1, "grey"), (3, "in colour")))
        raise UserError(f"{folder}: {grey} and {colour} images; say which all become: channels=1 or channels=3 behind a comma")
    return 1 if kinds[1] else 3


def array(view: View, image: Encoded) -> np.ndarray:
    """One image as the view has it.   -> (C, H, W) uint8; UserError says which file is damaged"""
    channels, height, width = view.shape
    upright = decoded(image).convert("L" if channels == 1 else "RGB")
    if upright.size != (width, height):
        if view.crop == "centre":
            upright = central_square(upright)
        upright = upright.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(upright)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
