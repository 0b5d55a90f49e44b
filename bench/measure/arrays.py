"""Arrays in .npy and .npz files: images, codes, factors and the statistics of other tools. Nothing that is pickled is ever read.

An array is read in blocks of rows, also from a compressed .npz, so that it may be larger than memory. Images are (N, H, W), (N, H, W, C)
or (N, C, H, W) with C of 1, 3 or 4, values 8 bits, 16 bits (value / 257, rounded), truth values, or real numbers in [0, 1].
"""

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.datasets.storage.image_files import MAX_PIXELS, Flatten
from bench.errors import UserError, unknown
from bench.measure.image_sets import ImageSet

ROWS_BYTES = 2**24  # of a file that are read at a time
WHOLE_BYTES = 2**30  # of an array that is read at once, such as codes
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    SyntaxError,
)
Range = Literal["unit", "symmetric"]  # of real pixels: [0, 1], or [-1, 1]


class Head(NamedTuple):
    """What an array is."""

    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class ArrayFile:
    """One array of a .npy file, or of a .npz file by its name."""

    path: Path
    name: str = ""  # in a .npz

    def __str__(self) -> str:
        return f"{self.path}:{self.name}" if self.name else str(self.path)

    @contextmanager
    def opened(self) -> Iterator[tuple[IO[bytes], Head]]:
        """The file after its header, and the header; UserError where it is no array, or one of Python objects."""
        try:
            with self.stream() as (file, size):
                found = head(file)
                if size - file.tell() < (needed := math.prod(found.shape) * found.dtype.itemsize):
                    raise ValueError(f"{found.shape} of {found.dtype} takes {needed:,} bytes, it has {size - file.tell():,}")
                yield file, found
        except UNREADABLE as error:
            raise UserError(f"{self} is no array that can be read: {' '.join(str(error).split()) or type(error).__name__}") from None

    @contextmanager
    def stream(self) -> Iterator[tuple[IO[bytes], int]]:
        """The bytes of the .npy file, and how many there are."""
        if not self.name:
            if not self.path.is_file():
                raise OSError("no such file, or no regular one")
            with self.path.open("rb") as file:
                yield file, self.path.stat().st_size
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.name}.npy") as member:
                yield member, archive.getinfo(f"{self.name}.npy").file_size

    def head(self) -> Head:
        """What the array is."""
        with self.opened() as (_, found):
            return found

    def rows(self) -> Iterator[np.ndarray]:
        """Blocks of rows, in order."""
        with self.opened() as (file, (shape, dtype)):
            row = math.prod(shape[1:]) * dtype.itemsize
            size = max(1, ROWS_BYTES // max(1, row))
            for start in range(0, shape[0], size):
                n = min(size, shape[0] - start)
                content = file.read(n * row)
                if len(content) < n * row:
                    raise ValueError(f"it ends after {start + len(content) // max(1, row):,} of {shape[0]:,} rows")
                yield np.frombuffer(content, dtype).reshape(n, *shape[1:])

    def whole(self) -> np.ndarray:
        """All of it; UserError for more than fits."""
        found = self.head()
        if math.prod(found.shape) * found.dtype.itemsize > WHOLE_BYTES:
            raise UserError(f"{self} has {math.prod(found.shape):,} values, which are more than are read at once")
        if not found.shape:
            raise UserError(f"{self} is a single number, an array is expected")
        return np.concatenate([np.zeros((0, *found.shape[1:]), found.dtype), *self.rows()])


def head(file: IO[bytes]) -> Head:
    """Reads the header of a .npy file; ValueError for an array of objects, or of another order than C's."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format is not known")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if dtype.fields or dtype.kind not in "biufU":
        raise ValueError(f"its values are {dtype}, numbers are expected")
    if fortran and len(shape) > 1:
        raise ValueError("it is in Fortran's order; save np.ascontiguousarray(array)")
    return Head(tuple(map(int, shape)), dtype)


def members(path: Path) -> dict[str, Head]:
    """The arrays of a .npz file; UserError where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except UNREADABLE as error:
        raise UserError(f"{path} is no .npz file that can be read: {' '.join(str(error).split())}") from None
    return {name: ArrayFile(path, name).head() for name in names}


def array_file(path: Path, name: str = "") -> ArrayFile:
    """The array of a .npy file; of a .npz its only one that has rows, or that of the name. UserError where it is not clear."""
    if path.suffix == ".npy":
        return ArrayFile(path)
    found = members(path)
    if name and name not in found:
        raise UserError(f"{path}: {unknown('array', name, found)}")
    large = [key for key, of in found.items() if len(of.shape) >= 2]
    if not name and len(large) != 1:
        ways = f"name one of its arrays, {path}:{large[0]}; it has {', '.join(large)}" if large else "none of its arrays has rows"
        raise UserError(f"{path}: {ways}")
    return ArrayFile(path, name or large[0])


def image_array(file: ArrayFile, values: Range, flatten: Flatten | None) -> ImageSet:
    """The images of an array; UserError says what is wrong with its shape or values."""
    shape, dtype = file.head()
    convert = of_layout(file, shape)
    n, channels, height, width = convert.shape
    to_pixels = of_type(file, dtype, values)
    if min(n, height, width) < 1:
        raise UserError(f"{file} has the shape {shape}: there is no image in it")
    if height * width > MAX_PIXELS:
        raise UserError(f"{file} has the shape {shape}: images of more than {MAX_PIXELS:,} pixels are not read")

    def blocks() -> Iterator[Tensor]:
        start = 0
        for rows in file.rows():
            pixels = opaque(convert.apply(to_pixels(rows)), file, start, flatten)
            yield torch.from_numpy(np.array(pixels, order="C"))  # a copy, for rows of a file cannot be written
            start += len(rows)

    return ImageSet(str(file), "array", n, (3 if channels == 4 else channels, height, width), blocks, facts={"dtype": str(dtype)})


class Layout(NamedTuple):
    """An array's shape with channels second, and how to get there."""

    shape: tuple[int, int, int, int]
    apply: Callable[[np.ndarray], np.ndarray]


def of_layout(file: ArrayFile, shape: tuple[int, ...]) -> Layout:
    """Where an array's channels are; UserError for one that is no array of images, or where that is not clear."""
    if len(shape) == 3:
        return Layout((shape[0], 1, *shape[1:]), lambda rows: rows[:, None])
    if len(shape) == 4:
        last, second = shape[3] in (1, 3, 4), shape[1] in (1, 3)
        if last and second:
            raise UserError(f"{file} has the shape {shape}: which axis are the channels? images of 1, 3 or 4 pixels a side are not read")
        if last:
            return Layout((shape[0], shape[3], shape[1], shape[2]), lambda rows: rows.transpose(0, 3, 1, 2))
        if second:
            return Layout((shape[0], shape[1], shape[2], shape[3]), lambda rows: rows)
    raise UserError(
        f"{file} has the shape {shape}; images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1, 3 or 4 (last), codes (N, D)"
    )


def of_type(file: ArrayFile, dtype: np.dtype, values: Range) -> Callable[[np.ndarray], np.ndarray]:
    """From an array's values to uint8, or float32 in [0, 1]; UserError for a type whose white is not known."""
    if dtype == np.uint8:
        return lambda rows: rows
    if dtype == np.bool_:
        return lambda rows: rows.astype(np.uint8) * np.uint8(255)
    if dtype.kind == "u" and dtype.itemsize == 2:
        return lambda rows: ((rows.astype(np.int64) + 128) // 257).astype(np.uint8)
    if dtype.kind == "f":
        shift = (lambda rows: rows) if values == "unit" else (lambda rows: (rows + 1) / 2)
        return lambda rows: shift(rows.astype(np.float32))
    raise UserError(f"{file} has values of type {dtype}; save images as uint8, uint16, or float in [0, 1]")


def opaque(pixels: np.ndarray, file: ArrayFile, start: int, flatten: Flatten | None) -> np.ndarray:
    """Without a fourth channel, which must be opaque unless it is said what shows through.   (n, C, H, W) -> (n, 1 or 3, H, W)"""
    if pixels.shape[1] != 4:
        return pixels
    most = 255 if pixels.dtype == np.uint8 else 1
    colour, alpha = pixels[:, :3], pixels[:, 3:] / most
    clear = (alpha < 1).reshape(len(pixels), -1).any(1)
    if clear.any() and not flatten:
        raise UserError(
            f"{file}: image {start + int(clear.argmax())} has pixels that are not opaque; say what shows through: --flatten white"
        )
    laid = colour * alpha + (1 - alpha) * (most if flatten == "white" else 0)
    mixed: np.ndarray = laid.round().astype(np.uint8) if pixels.dtype == np.uint8 else laid.astype(np.float32)
    return mixed if clear.any() else colour
