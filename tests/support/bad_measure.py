"""What `python -m bench measure` is given that it must refuse: an input, the command that meets it, the one line that a user gets.

Every command is given in a folder that holds `good/`, four images of 12×12, `codes.npy`, `factors.npy`, and `model.py` with functions.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from small_images import encoded, folder_of, pictures

Make = Callable[[Path], object]
PIXELS = "--networks pixels"
AGAINST = f"--against good {PIXELS}"
MODEL = """
import torch
from torch import nn

class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), float("nan")))
    def forward(self, x):
        return x

nan = Bad()
same = lambda x: x
flat = lambda x: x.flatten(1)
half = lambda x: x[..., ::2]
numbers = lambda x: x.numpy()
pair = lambda x: (x, x)
fewer = lambda x: x[:-1]
infinite = lambda x: x / 0
number = 3
def raises(x):
    raise ValueError("of no use")
def ends(x):
    raise RuntimeError("two\\nlines")
"""


class Bomb:
    """What would write a file if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


class BadMeasurement(NamedTuple):
    """An input, the command, and what its line begins with or holds; `…` stands for any text."""

    shown: str
    make: Make
    arguments: str
    says: str


def fill(folder: Path) -> None:
    """What is in the folder of every command."""
    folder_of(folder / "good", pictures(4, 0, 12))
    np.save(folder / "codes.npy", np.random.RandomState(0).randn(40, 3))
    np.save(folder / "factors.npy", np.arange(80).reshape(40, 2) % 4)
    (folder / "model.py").write_text(MODEL, encoding="utf-8")


def png(image: np.ndarray) -> bytes:
    return encoded(image)


GOOD = pictures(5, 0, 12)
ONE = png(GOOD[4])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claims(width: int, height: int) -> bytes:
    """A small PNG that says it is that large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def moving() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(image) for image in GOOD[:2]]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def of_mode(image: Image.Image, kind: str = "TIFF") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def clear() -> bytes:
    image = Image.fromarray(GOOD[4]).convert("RGBA")
    image.putpixel((1, 1), (0, 0, 0, 9))
    return of_mode(image, "PNG")


def archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files:
            file.writestr(name, content)


def nothing(folder: Path) -> None:
    """The folder as it is."""


def with_files(*files: tuple[str, bytes]) -> Make:
    """A folder of those files."""

    def make(folder: Path) -> None:
        for name, content in files:
            (folder / "bad" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "bad" / name).write_bytes(content)

    return make
