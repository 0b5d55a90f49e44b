"""Folders of small colour images that look a little like photographs: smooth shades, an edge and some noise."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def pictures(n: int, seed: int, side: int = 24, width: int | None = None, grain: float = 12.0) -> np.ndarray:
    """-> (n, side, width or side, 3) uint8"""
    random, width = np.random.RandomState(seed), width or side
    y, x = np.mgrid[0:side, 0:width] / side
    found = []
    for _ in range(n):
        shade = 128 + sum(
            random.normal(0, 40, 3) * np.cos(2 * np.pi * (a * x + b * y + random.rand()))[..., None]
            for a, b in random.randint(0, 3, (4, 2))
        )
        edge = (x * random.normal() + y * random.normal() > random.normal(0, 0.3))[..., None] * random.normal(0, 50, 3)
        found.append(shade + edge + random.normal(0, grain, (side, width, 1)))
    return np.stack(found).clip(0, 255).round().astype(np.uint8)


def folder_of(folder: Path, images: np.ndarray, kind: str = "png", **options: object) -> Path:
    """Files 000.png ... of images.   (n, H, W, 3) or (n, H, W) uint8"""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03d}.{kind}", **options)
    return folder


def encoded(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """A file's content.   (H, W, 3) or (H, W) uint8"""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()
