"""One pass over images: what is kept of each for the metrics, while the images themselves go by.

It is what evaluation keeps of the images of a run (bench/evaluation/evaluate.py), by the same functions: rows of pixels, features of
networks, sharpness, and errors of pairs. Distances are of up to `count` images, the same random ones as in an evaluation of that many;
errors are of all.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bench.environment import release_freed_memory
from bench.errors import UserError
from bench.measure.image_sets import ImageSet, joined, regrouped
from bench.measure.networks import PIXELS, Chosen, features_of
from metrics import similarity
from metrics.features.network import eight_bit
from metrics.fixed_subset import subset_indices
from metrics.frechet import pixel_features
from metrics.metric import Unavailable
from metrics.reconstruction import Errors, errors
from metrics.sharpness import sharpness

SHARPNESS = "sharpness"  # beside the names of networks


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
        self.start, self.done, self.waiting = 0, 0, list[Tensor]()
        self.found = dict[str, Tensor]()  # rows of all `among` images, of which the first `done` are written

    def add(self, block: Tensor) -> None:
        """The next images.   (b, C, H, W) in [0, 1]"""
        kept = self.kept[self.start : self.start + len(block)]
        self.start += len(block)
        self.waiting.append(block if kept.all() else block[kept])
        if sum(map(len, self.waiting)) >= self.size:
            blocks, self.waiting = self.waiting, []
            for part in regrouped(iter(blocks), self.size):
                if len(part) == self.size:
                    self.keep(part)
                else:
                    self.waiting.append(part)

    def keep(self, x: Tensor) -> None:
        """Write what is kept of images to its place: in parts, it would be there twice when all are joined.   (b, C, H, W)"""
        for name, rows in self.rows(x.to(self.device)):
            if name not in self.found:
                self.found[name] = rows.new_empty((self.among, *rows.shape[1:]))
            self.found[name][self.done : self.done + len(rows)] = rows
        self.done += len(x)

    def rows(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """What is kept of images, by the name of a network, PIXELS or SHARPNESS.   (b, C, H, W) -> (b, ...) each"""
        if self.chosen.pixels:
            yield PIXELS, pixel_features(x)
        small = eight_bit(x)
        try:
            for name, network in self.chosen.networks.items():
                yield name, features_of(network, small, self.among)
        except Unavailable as reason:
            raise UserError(f"{self.given}: {reason}; choose others with --networks") from None
        yield SHARPNESS, sharpness(x) if x.shape[1] in (1, 3) else torch.full((len(x),), torch.nan)

    def collected(self) -> Collected:
        """All of it."""
        if any(map(len, self.waiting)):
            self.keep(joined(self.waiting))
        features = {name: self.found[name] for name in self.chosen.networks}
        return Collected(self.among, self.found.get(PIXELS), self.found[SHARPNESS], features)


def collect(images: ImageSet, chosen: Chosen, count: int, device: torch.device) -> Found:
    """A set passes once."""
    keeper, digest = Keeper(images, chosen, count, device), hashlib.sha256()
    for block in images.passing(digest.update):
        keeper.add(block)
        release_freed_memory()
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
    """What is kept of pairs of blocks, compared on the device.   pairs: (b, C, H, W) in [0, 1] x2"""
    keepers = [Keeper(images, chosen, count, device) for images in (originals, reconstructions)]
    found, psnrs, ssims, why = list[Errors](), list[Tensor](), list[Tensor](), ""
    for x, y in ((x.to(device), y.to(device)) for x, y in pairs):
        found += [errors(a, b) for a, b in zip(x.split(similarity.PART), y.split(similarity.PART), strict=True)]
        a, b = eight_bit(x), eight_bit(y)
        psnrs.append(similarity.psnr(a, b))
        try:
            ssims.append(similarity.ssim(a, b))
        except Unavailable as reason:
            why = str(reason)
        for keeper, block in zip(keepers, (x, y), strict=True):
            keeper.add(block)
        release_freed_memory()
    one, other = (Found(keeper.collected(), hexdigest()) for keeper, hexdigest in zip(keepers, hashes, strict=True))
    sse, l1, bce = (torch.cat(field).cpu() for field in zip(*found, strict=True))
    return Pairs(one, other, Errors(sse, l1, bce), torch.cat(psnrs).cpu(), why or torch.cat(ssims).cpu())
