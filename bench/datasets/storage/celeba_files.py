"""Aligned CelebA images, from their archive or folder to small arrays: cropped, resized, by several processes, in order.

Only the archive's directory grows with the number of images (110 MB for all of CelebA); some 40 MB of blocks are under way.
"""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from bench.datasets.storage.decoding import blocks
from bench.datasets.storage.image_files import Encoded, decoded
from bench.errors import UserError

URL = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
ALIGNED = (178, 218)  # width, height
BLOCK_BYTES = 3 * 2**20  # of decoded images that travel together


class View(NamedTuple):
    """What is taken of an aligned image: a box (left, top, right, bottom), or all of it; and the side it is resized to."""

    box: tuple[int, int, int, int] | None
    side: int

    @property
    def block(self) -> int:
        """Images that are decoded together."""
        return max(1, BLOCK_BYTES // (3 * self.side**2))


class Album(NamedTuple):
    """Image files: where they are, their names, and a function that reads one."""

    path: Path
    names: frozenset[str]
    read: Callable[[str], bytes]

    def encoded(self, name: str) -> Encoded:
        """One file; UserError says which cannot be read."""
        try:
            return Encoded(self.read(name), f"{self.path}: {name}")
        except (OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.path}: {name} cannot be read: {error}; take it again from {URL}") from None


def album(path: Path) -> Album:
    """The archive at `path`, with its images in a folder of its own name or at its root, or the unpacked folder.

    Names are those that `read` reads. UserError for an archive that cannot be opened.
    """
    if path.is_dir():
        return Album(path, frozenset(os.listdir(path)), lambda name: (path / name).read_bytes())
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"{path} is damaged ({path.stat().st_size:,} bytes): {error}; take it again from {URL}") from None
    folder, members = f"{path.stem}/", archive.namelist()
    inside = [name.removeprefix(folder) for name in members if name.startswith(folder)]
    if any(inside):  # more than the folder's own entry
        return Album(path, frozenset(inside), lambda name: archive.read(folder + name))
    return Album(path, frozenset(members), archive.read)


def face(view: View, image: Encoded) -> np.ndarray:
    """One encoded 178 x 218 image -> (3, side, side) uint8; UserError says which file is damaged."""
    upright = decoded(image, f"take it again from {URL}")
    if upright.size != ALIGNED:
        raise UserError(f"{image.where} has (width, height) {upright.size}, the aligned images have {ALIGNED}")
    small = upright.convert("RGB").crop(view.box).resize((view.side, view.side), Image.Resampling.LANCZOS)
    return np.asarray(small).transpose(2, 0, 1)


def faces(view: View, images: Album, names: Sequence[str], words: str, start: int = 0) -> Iterator[np.ndarray]:
    """Blocks (<= view.block, 3, side, side) of the images from number `start` on, in the list's order."""
    return blocks(partial(face, view), images.encoded, names, view.block, words, start)
