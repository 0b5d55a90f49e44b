"""Folders of small images that tests make: smooth colours, no two alike."""

from pathlib import Path

import numpy as np
from PIL import Image


def image(seed: int, size: tuple[int, int] = (40, 36), mode: str = "RGB") -> Image.Image:
    """A smooth image of its seed's own.   size: width, height"""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def folder(path: Path, count: int = 12, size: tuple[int, int] = (40, 36), mode: str = "RGB", first: int = 0) -> Path:
    """A folder of so many images, `00.png` and on."""
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image(first + number, size, mode).save(path / f"{number:02}.png")
    return path
