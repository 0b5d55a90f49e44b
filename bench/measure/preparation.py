"""What is done to each image before it is measured: nothing, or what options say, in this order:

the largest square in the middle is cut out; it is resized by Pillow, whose filters average over what they leave out; it is written and
read again as JPEG; its channels are reversed. All on 8-bit pixels, as tools that prepare folders of images do.
"""

import io
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from bench.datasets.storage.image_files import Encoded, Flatten, central_square, decoded

Filter = Literal["bicubic", "bilinear", "lanczos", "box", "nearest", "bilinear without antialiasing", "bicubic without antialiasing"]
FILTERS: tuple[Filter, ...] = get_args(Filter)
PLAIN = " without antialiasing"  # as torch resizes unless told otherwise, and as other libraries do
MOST_SIDE = 4096  # pixels that an image may be resized to


@dataclass(frozen=True)
class Preparation:
    """How the images of a set are prepared."""

    flatten: Flatten | None = None  # what shows through pixels that are not opaque; None: such images are refused
    crop: bool = False  # the largest square in the middle
    size: tuple[int, int] | None = None  # (height, width) that images are resized to
    filter: Filter = "bicubic"
    jpeg: int | None = None  # quality, of Pillow's scale to 95
    reversed_channels: bool = False

    def idle(self, height: int, width: int) -> bool:
        """Whether it changes no pixel of an opaque image of that size."""
        return not self.words(height, width)

    def shape(self, height: int, width: int) -> tuple[int, int]:
        """Of what becomes of an image of that size."""
        side = min(height, width)
        return self.size or ((side, side) if self.crop else (height, width))

    def apply(self, image: Image.Image) -> Image.Image:
        """L or RGB -> the same mode."""
        if self.crop:
            image = central_square(image)
        if self.size and image.size != self.size[::-1]:
            image = resized(image, self.size, self.filter)
        if self.jpeg:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=self.jpeg)
            image = decoded(Encoded(buffer.getvalue(), "a JPEG in memory"))
        if self.reversed_channels and image.mode == "RGB":
            image = Image.merge("RGB", image.split()[::-1])
        return image

    def words(self, height: int, width: int) -> list[str]:
        """What it does to an image of that size, for records."""
        found = ["the largest square in the middle"] * (self.crop and height != width)
        side = min(height, width)
        if self.size and self.size != ((side, side) if self.crop else (height, width)):
            found.append(f"resized to {self.size[0]}×{self.size[1]}, {self.filter}")
        return found + [f"through JPEG of quality {self.jpeg}"] * bool(self.jpeg) + ["channels reversed"] * self.reversed_channels


AS_IT_IS = Preparation()


def resized(image: Image.Image, size: tuple[int, int], by: Filter) -> Image.Image:
    """An image of that height and width."""
    if not by.endswith(PLAIN):
        return image.resize(size[::-1], Image.Resampling[by.upper()])
    values = torch.from_numpy(channels_first(image)[None].copy()).float()
    small = F.interpolate(values, size, mode=by.removesuffix(PLAIN), align_corners=False).clamp(0, 255).round().to(torch.uint8)
    return to_image(small[0].numpy())


def channels_first(image: Image.Image) -> np.ndarray:
    """L or RGB -> (1 or 3, H, W) uint8"""
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def to_image(pixels: np.ndarray) -> Image.Image:
    """(1 or 3, H, W) uint8 -> L or RGB"""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
