"""Image files of a folder or of a zip archive, in the order of their names: listed, looked at, read one by one, never unpacked.

Links are followed, a link that leads back to a folder above it is refused. What is hidden (a name that begins with a dot, or macOS's
`__MACOSX`) and what has no ending of SUFFIXES is left out and counted. Of an archive each name must stay inside it, and nothing is read
beyond MOST_BYTES of a file, whatever the archive says its size is.
"""

import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from bench.datasets.storage.image_files import Encoded, Header, header
from bench.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2")
MOST_BYTES = 2**28  # of one file
UNREADABLE = (OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, ValueError)


class ImageFiles(NamedTuple):
    """Image files by their names."""

    path: Path
    archive: bool  # or a folder
    names: tuple[str, ...]  # relative to it, with /, sorted
    left_out: int  # other files
    file: Callable[[str], tuple[BinaryIO, int]]  # a name -> the file, open, and its size in bytes

    def encoded(self, name: str) -> Encoded:
        """One file's content; UserError where it cannot be read."""
        with self.reading(name) as (file, _):
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{self.where(name)} has more than {MOST_BYTES:,} bytes")
        return Encoded(content, self.where(name))

    def header(self, name: str) -> Header:
        """Size and colour of one image, of whose file the beginning is read; UserError where it is none."""
        with self.reading(name) as (file, size):
            return header(file, size, self.where(name))

    def where(self, name: str) -> str:
        """What to call one file in a message."""
        return f"{self.path}: {name}" if self.archive else str(self.path / name)

    @contextmanager
    def reading(self, name: str) -> Iterator[tuple[BinaryIO, int]]:
        """One file, open, and its size."""
        try:
            file, size = self.file(name)
            with file:
                yield file, size
        except UNREADABLE as error:
            raise UserError(f"{self.where(name)} cannot be read: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """Why a file cannot be read, in a line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def image_files(path: Path) -> ImageFiles:
    """The image files of a folder or zip archive; UserError for what is neither, holds none, or leads out of itself."""
    found = of_folder(path) if path.is_dir() else of_archive(path)
    if not found.names:
        others = f"; it has {found.left_out} other files" if found.left_out else ""
        raise UserError(f"{path}: no images (files that end in {', '.join(SUFFIXES)}){others}")
    return found


def shown(name: str) -> bool:
    """Whether a file is an image by its name."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and name.lower().endswith(SUFFIXES)


def of_folder(path: Path) -> ImageFiles:
    """Those of a folder and the folders in it."""
    every = sorted(below(path))
    names = tuple(name for name in every if shown(name))
    return ImageFiles(path, False, names, len(every) - len(names), partial(regular, path))


def regular(folder: Path, name: str) -> tuple[BinaryIO, int]:
    """A file below a folder, open, and its size in bytes; UserError for a pipe, which would be waited for, or a device without an end."""
    place = folder / name
    found = place.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{place} is no regular file")
    return place.open("rb"), found.st_size


def below(path: Path) -> Iterator[str]:
    """Every file below a folder, relative to it."""
    left = [(path, "", frozenset[tuple[int, int]]())]
    while left:
        folder, name, above = left.pop()
        try:
            about = folder.stat()
            if (about.st_dev, about.st_ino) in above:
                raise UserError(f"{folder} is a link that leads back to a folder above it")
            with os.scandir(folder) as entries:
                for entry in entries:
                    inner = f"{name}{entry.name}"
                    if entry.is_dir():
                        left.append((folder / entry.name, f"{inner}/", above | {(about.st_dev, about.st_ino)}))
                    else:
                        yield inner
        except OSError as error:
            raise UserError(f"{error.filename or folder} cannot be read: {reason(error)}") from None


def of_archive(path: Path) -> ImageFiles:
    """Those of a zip archive."""
    try:
        archive = zipfile.ZipFile(path)
        members = [info for info in archive.infolist() if not info.is_dir()]
    except UNREADABLE as error:
        raise UserError(f"{path} is no zip archive that can be read ({reason(error)}); give a folder or a .zip of images") from None
    inside = {info.filename: info for info in members}
    for name, info in inside.items():
        if name.startswith("/") or "\\" in name or ".." in PurePosixPath(name).parts or ":" in PurePosixPath(name).parts[0]:
            raise UserError(f"{path}: {name!r:.80} leads out of the archive; such an archive is not read")
        if shown(name) and info.flag_bits & 1:
            raise UserError(f"{path}: {name} is encrypted")
        if shown(name) and info.file_size > MOST_BYTES:
            raise UserError(f"{path}: {name} unpacks to {info.file_size:,} bytes, at most {MOST_BYTES:,} are read")
    if len(inside) < len(members):
        raise UserError(f"{path}: {len(members) - len(inside)} files have the name of another in the archive")
    names = tuple(sorted(name for name in inside if shown(name)))

    def file(name: str) -> tuple[BinaryIO, int]:
        info = inside[name]
        return archive.open(info), info.file_size  # type: ignore[return-value]  # a stream that can be sought

    return ImageFiles(path, True, names, len(members) - len(names), file)
