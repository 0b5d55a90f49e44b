"""A set of images that passes once, in blocks: what is measured, or what it is measured against.

Sets of any size are measured in bounded memory: nobody holds more of one than a block and what is kept of each image.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.datasets.batches import scaled
from bench.datasets.storage.image_files import decoded_and_said
from bench.datasets.storage.image_folder import ImageFiles
from bench.errors import UserError
from bench.measure.preparation import Preparation, channels_first, to_image

BLOCK_VALUES = 2**22  # pixels of all channels that are under way at a time, 16 MiB as float32
# images at a time at most, as evaluation takes them; smaller blocks are multiples of what networks take at a time
BLOCK, ROUND = 1000, 100
READ = 50  # files that are decoded at a time


@dataclass(frozen=True)
class ImageSet:
    """Images of one size, in an order."""

    given: str  # as the user named it
    kind: str  # folder, archive, array, dataset, model
    count: int
    shape: tuple[int, int, int]  # C, H, W
    blocks: Callable[[], Iterator[Tensor]]  # (b, C, H, W): uint8 in 0..levels, or float32 in [0, 1]; anew each time
    levels: int = 255
    bounded: bool = True  # whether real pixels must be in [0, 1]; what a model makes may be beyond
    names: tuple[str, ...] | None = None  # of its images, where they have some
    facts: dict[str, object] = field(default_factory=dict)  # what a record says besides
    conversions: Counter[str] = field(default_factory=Counter)  # how many images each was made of, counted while they pass

    def about(self, sha256: str) -> dict[str, object]:
        """What a record says of the set, once it has passed."""
        made = {"conversions": dict(sorted(self.conversions.items()))} if self.conversions else {}
        return {
            "given": self.given,
            "kind": self.kind,
            "count": self.count,
            "shape": list(self.shape),
            "sha256": sha256,
            **self.facts,
            **made,
        }

    def block_size(self) -> int:
        """How many images are taken together."""
        size = min(BLOCK, BLOCK_VALUES // int(np.prod(self.shape)))
        return max(1, size // ROUND * ROUND or size)

    def passing(self, update: Callable[[Any], object] | None = None) -> Iterator[Tensor]:
        """Every image as a network or a metric sees it, in blocks of `block_size`.   -> (b, C, H, W) float32 in [0, 1]

        update: of a hash, that of shape and values. UserError for values that are not finite or outside [0, 1], and for missing images.
        """
        if update:
            update(f"{(self.count, *self.shape)}".encode())
        self.conversions.clear()
        seen = 0
        for block in regrouped(self.blocks(), self.block_size()):
            if update:
                update(block.contiguous().numpy().data)
            if block.is_floating_point():
                check_unit(block, self.given, seen, self.bounded)
            seen += len(block)
            yield scaled(block, self.levels)
        if seen != self.count:
            raise UserError(f"{self.given}: {seen} images came, {self.count} were announced")


def regrouped(blocks: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in blocks of one size, the last of them smaller: batches of a network must not depend on how a set comes."""
    waiting, rows = list[Tensor](), 0
    for block in blocks:
        waiting.append(block)
        rows += len(block)
        if rows >= size:
            parts, rows = joined(waiting).split(size), rows % size
            yield from parts[:-1] if rows else parts
            waiting = [parts[-1].clone()] if rows else []  # a view would hold all that it was cut from
    if rows:
        yield joined(waiting)


def joined(blocks: list[Tensor]) -> Tensor:
    """Blocks as one; a single one as it is, not copied."""
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def check_unit(block: Tensor, given: str, start: int, bounded: bool) -> None:
    """UserError for real pixels that are none.   (b, ...)"""
    good = ((block >= 0) & (block <= 1)) if bounded else block.isfinite()
    bad = (~good).flatten(1).any(1)  # NaN too
    if bad.any():
        row = int(bad.nonzero()[0])
        low, high = float(block[row].min()), float(block[row].max())
        raise UserError(
            f"{given}: image {start + row} has values from {low:g} to {high:g}; real pixels must be in [0, 1], "
            "or with --range symmetric in [-1, 1]"
        )


def of_files(given: str, files: ImageFiles, preparation: Preparation) -> ImageSet:
    """Image files as a set: of one size after preparation, colour if one of them is. UserError names the first that does not fit."""
    sizes, grey = Counter[tuple[int, int]](), True
    first = dict[tuple[int, int], str]()
    for name in files.names:
        header = files.header(name)
        size = preparation.shape(*header.size[::-1])
        sizes[size] += 1
        first.setdefault(size, name)
        grey &= header.grey
    if len(sizes) > 1:
        (common, _), (other, _) = sizes.most_common(2)
        named = f"{first[common]} {common[0]}×{common[1]}, {first[other]} {other[0]}×{other[1]}"
        raise UserError(f"{given}: its images have {len(sizes)} sizes ({named}); resize them with --size, squares are cut out with --crop")
    ((height, width),) = sizes
    conversions = Counter[str]()

    def one(name: str) -> np.ndarray:
        image, made = decoded_and_said(files.encoded(name), flatten=preparation.flatten)
        if not grey and image.mode == "L":
            image, made = image.convert("RGB"), (*made, "grey to colour")
        made = (*made, *preparation.words(image.height, image.width))
        pixels = channels_first(preparation.apply(image))
        if pixels.shape != (1 if grey else 3, height, width):
            raise UserError(f"{files.where(name)} is {pixels.shape}, its header said {(1 if grey else 3, height, width)}")
        conversions.update(made)
        return pixels

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(files.names), READ):
            yield torch.from_numpy(np.stack([one(name) for name in files.names[start : start + READ]]))

    kind, left = "archive" if files.archive else "folder", {"left_out": files.left_out} if files.left_out else {}
    shape = (1 if grey else 3, height, width)
    return ImageSet(given, kind, len(files.names), shape, blocks, names=files.names, facts=dict(left), conversions=conversions)


def prepared(images: ImageSet, preparation: Preparation) -> ImageSet:
    """A set that comes from no files, prepared image by image as 8-bit pixels; itself where there is nothing to do."""
    channels, height, width = images.shape
    if preparation.idle(height, width):
        return images
    made = images.conversions

    def blocks() -> Iterator[Tensor]:
        for block in images.blocks():
            pixels = (scaled(block, images.levels).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
            made.update(preparation.words(height, width) * len(block))
            yield torch.from_numpy(np.stack([channels_first(preparation.apply(to_image(image))) for image in pixels]))

    shape = (channels, *preparation.shape(height, width))
    return ImageSet(images.given, images.kind, images.count, shape, blocks, names=images.names, facts=images.facts, conversions=made)


def chosen(images: ImageSet, rows: Tensor) -> ImageSet:
    """Some images of a set, by their numbers in rising order.   rows: (n,) int64"""
    kept = torch.zeros(images.count, dtype=torch.bool)
    kept[rows] = True

    def blocks() -> Iterator[Tensor]:
        start = 0
        for block in images.blocks():
            yield block[kept[start : start + len(block)]]
            start += len(block)

    names = tuple(name for name, keep in zip(images.names, kept.tolist(), strict=True) if keep) if images.names else None
    return ImageSet(
        images.given, images.kind, len(rows), images.shape, blocks, images.levels, images.bounded, names, images.facts, images.conversions
    )
