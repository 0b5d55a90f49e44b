"""One pass over images: what is kept of each for the metrics, while the images themselves go by.

It is what evaluation keeps of the images of a run (bench/evaluation/evaluate.py), by the same functions: rows of pixels, features of
networks, sharpness, and errors of pairs. Distances are of up to `count` images, the same random ones as in an evaluation of that many;
errors are of all.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bench.errors import UserError
from bench.measure.image_sets import ImageSet, regrouped
from bench.measure.networks import Chosen, features_of
from metrics import similarity
from metrics.features.network import eight_bit
from metrics.fixed_subset import subset_indices
from metrics.frechet import pixel_features
from metrics.metric import Unavailable
from metrics.reconstruction import Errors, errors
from metrics.sharpness import sharpness


@dataclass(frozen=True)
class Collected:
    """Of the images of a set that distances are of."""

    count: int
    pixels: Tensor | None  # (n, F) rows of pixels
    sharpness: Tensor  # (n,)
    features: dict[str, Tensor]  # (n, D), by network

    def __len__(self) -> int:
        return self.count


class Found(NamedTuple):
    """A set that has passed, and the hash of its content."""

    collected: Collected
    sha256: str


class Keeper:
    """Takes blocks of a set and keeps what is wanted of up to `count` random images."""

    def __init__(self, images: ImageSet, chosen: Chosen, count: int, device: torch.device):
        self.kept = torch.zeros(images.count, dtype=torch.bool)
        self.kept[subset_indices(images.count, count)] = True
        self.among, self.size = int(self.kept.sum()), images.block_size()
        self.chosen, self.device, self.given = chosen, device, images.given
        self.start, self.waiting = 0, list[Tensor]()
        self.parts: list[tuple[Tensor | None, Tensor, dict[str, Tensor]]] = []

    def add(self, block: Tensor) -> None:
        """The next images.   (b, C, H, W) in [0, 1]"""
        shown = block[self.kept[self.start : self.start + len(block)]]
        self.start += len(block)
        self.waiting.append(shown)
        if sum(map(len, self.waiting)) >= self.size:
            *whole, rest = regrouped_with_rest(self.waiting, self.size)
            self.waiting = [rest]
            self.parts += map(self.rows, whole)

    def rows(self, x: Tensor) -> tuple[Tensor | None, Tensor, dict[str, Tensor]]:
        """What is kept of images.   (b, C, H, W)"""
        x = x.to(self.device)
        pixels, small = (pixel_features(x) if self.chosen.pixels else None), eight_bit(x)
        try:
            features = {name: features_of(network, small, self.among) for name, network in self.chosen.networks.items()}
        except Unavailable as reason:
            raise UserError(f"{self.given}: {reason}; choose others with --networks") from None
        sharp = sharpness(x) if x.shape[1] in (1, 3) else torch.full((len(x),), torch.nan)
        return pixels, sharp, features

    def collected(self) -> Collected:
        """All of it."""
        if left := [block for block in self.waiting if len(block)]:
            self.parts.append(self.rows(torch.cat(left)))
        pixels = [part[0] for part in self.parts if part[0] is not None]
        features = {name: torch.cat([part[2][name] for part in self.parts]) for name in self.chosen.networks}
        return Collected(self.among, torch.cat(pixels) if pixels else None, torch.cat([part[1] for part in self.parts]), features)


def regrouped_with_rest(blocks: list[Tensor], size: int) -> list[Tensor]:
    """Blocks of that size, and what is left, which may be nothing."""
    whole = torch.cat(blocks)
    cut = len(whole) // size * size
    return [*regrouped(iter([whole[:cut]]), size), whole[cut:]]


def collect(images: ImageSet, chosen: Chosen, count: int, device: torch.device) -> Found:
    """A set passes once."""
    keeper, digest = Keeper(images, chosen, count, device), hashlib.sha256()
    for block in images.passing(digest.update):
        keeper.add(block)
    return Found(keeper.collected(), digest.hexdigest())


class Pairs(NamedTuple):
    """Originals and reconstructions that have passed side by side."""

    originals: Found
    reconstructions: Found
    errors: Errors  # of all pairs
    psnr: Tensor  # (N,)
    ssim: Tensor | str  # (N,), or why there is none


def collect_pairs(originals: ImageSet, reconstructions: ImageSet, chosen: Chosen, count: int, device: torch.device) -> Pairs:
    """Two sets of one size and order pass side by side."""
    digests = hashlib.sha256(), hashlib.sha256()
    pairs = zip(originals.passing(digests[0].update), reconstructions.passing(digests[1].update), strict=True)
    return collected_pairs(originals, reconstructions, pairs, chosen, count, device, [digest.hexdigest for digest in digests])


def collected_pairs(
    originals: ImageSet,
    reconstructions: ImageSet,
    pairs: Iterable[tuple[Tensor, Tensor]],
    chosen: Chosen,
    count: int,
    device: torch.device,
    hashes: list[Callable[[], str]],
) -> Pairs:
    """What is kept of pairs of blocks.   pairs: (b, C, H, W) in [0, 1] x2"""
    keepers = [Keeper(images, chosen, count, device) for images in (originals, reconstructions)]
    found, psnrs, ssims, why = list[Errors](), list[Tensor](), list[Tensor](), ""
    for x, y in pairs:
        found += [errors(a, b) for a, b in zip(x.split(similarity.PART), y.split(similarity.PART), strict=True)]
        a, b = eight_bit(x), eight_bit(y)
        psnrs.append(similarity.psnr(a, b))
        try:
            ssims.append(similarity.ssim(a, b))
        except Unavailable as reason:
            why = str(reason)
        for keeper, block in zip(keepers, (x, y), strict=True):
            keeper.add(block)
    one, other = (Found(keeper.collected(), hexdigest()) for keeper, hexdigest in zip(keepers, hashes, strict=True))
    sse, l1, bce = (torch.cat(field) for field in zip(*found, strict=True))
    return Pairs(one, other, Errors(sse, l1, bce), torch.cat(psnrs), why or torch.cat(ssims))
