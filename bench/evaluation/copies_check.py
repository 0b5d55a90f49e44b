"""How often tests of copied training images speak up, where the share of copies is known: the table of docs/copies.md.

Real digits are parted at random into training images, test images and new images. New images are what an ideal generator draws; a worse one
is made of them by shrinking or noise. A share of the samples is then replaced by training images, as they are or with noise. Each test is
asked for copies at 5 %.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bench.datasets import digits
from bench.markdown import replace_between, table
from metrics.copies import Copies, authenticity, c_t, centres, copies, z_u
from metrics.nearest_copies import p_value

TRAIN, TEST, SAMPLES = 1000, 350, 350  # images of each kind; there are 1,797
SHARES = (0.0, 0.01, 0.05, 0.2)  # of copies
LEVELS = 16  # of a digit's values
SHRINK, NOISE = 0.1, 0.1  # share of the way to the mean; deviation of the noise on pixels in [0, 1]
LEVEL, CRITICAL = 0.05, 1.645  # of a one-sided test, and its quantile of N(0, 1)
COMMAND = "copies-check"


def as_they_are(images: Tensor, noise: torch.Generator) -> Tensor:
    """An ideal generator's draws: new images."""
    return images


def shrunk(images: Tensor, noise: torch.Generator) -> Tensor:
    """A tenth of the way to their mean, as a generator of too little variance draws.   (N, 1, 8, 8) -> (N, 1, 8, 8)"""
    return images + SHRINK * (images.mean(0) - images)


def noisy(images: Tensor, noise: torch.Generator) -> Tensor:
    """With independent noise on every pixel.   (N, 1, 8, 8) -> (N, 1, 8, 8)"""
    return images + NOISE * torch.randn(images.shape, generator=noise)


class Generator(NamedTuple):
    """How samples are made of new images, and copies of training images."""

    new: Callable[[Tensor, torch.Generator], Tensor]
    copied: Callable[[Tensor, torch.Generator], Tensor] = as_they_are


GENERATORS = {
    "new images": Generator(as_they_are),
    "new images, shrunk to their mean": Generator(shrunk),
    "new images with noise": Generator(noisy),
    "new images, noise on copies": Generator(as_they_are, noisy),
}


def fewer_authentic(samples: Copies, test: Copies) -> float:
    """z of two shares: how much less authentic samples are than test images; 0 where all or none are."""
    a, b = float(authenticity(samples)), float(authenticity(test))
    m, n = len(samples.distance), len(test.distance)
    both = (m * a + n * b) / (m + n)
    spread = math.sqrt(both * (1 - both) * (1 / m + 1 / n))
    return (b - a) / spread if spread else 0.0


TESTS: dict[str, Callable[[Copies, Copies], bool]] = {
    "Z_U": lambda samples, test: z_u(samples.distance, test.distance) < -CRITICAL,
    "C_T": lambda samples, test: c_t(samples, test) < -CRITICAL,
    "authenticity": lambda samples, test: fewer_authentic(samples, test) > CRITICAL,
    "nearest": lambda samples, test: p_value(samples.distance, test.distance) < LEVEL,
}


class Cell(NamedTuple):
    """Shares of the trials of one generator and share of copies in which each test says that there are copies."""

    generator: str
    share: float
    said: tuple[float, ...]  # in the order of TESTS


class Parted(NamedTuple):
    """The digits of one trial, at random."""

    train: Tensor  # (TRAIN, 1, 8, 8)
    test: Tensor  # (TEST, 1, 8, 8)
    new: Tensor  # (SAMPLES, 1, 8, 8)
    chosen: Tensor  # (SAMPLES,) indices of the training images that are copied, the first of them where few are
    noise: torch.Generator  # goes on from here


def parted(images: Tensor, seed: int) -> Parted:
    """(N, 1, 8, 8) in [0, 1]"""
    noise = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=noise)
    train, test, new = images[order[: TRAIN + TEST + SAMPLES]].split([TRAIN, TEST, SAMPLES])
    return Parted(train, test, new, torch.randint(TRAIN, (SAMPLES,), generator=noise), noise)


def planted(share: float) -> Tensor:
    """Which samples are copies.   -> (SAMPLES,)"""
    return torch.arange(SAMPLES) < round(share * SAMPLES)


def trial(images: Tensor, seed: int) -> dict[tuple[str, float], list[bool]]:
    """What each test says of each generator and share of copies, on one parting of the images.   (N, 1, 8, 8) in [0, 1]"""
    train, test, new, chosen, noise = parted(images, seed)
    rows = train.flatten(1)
    cells = centres(rows)

    def measured(queries: Tensor) -> Copies:
        return copies(queries.flatten(1), lambda: [rows], cells)

    real, found = measured(test), {}
    for name, generator in GENERATORS.items():
        own, copied = measured(generator.new(new, noise)), measured(generator.copied(train[chosen], noise))
        for share in SHARES:
            mixed = Copies(*(torch.where(planted(share), a, b) for a, b in zip(copied, own, strict=True)))
            found[name, share] = [test_of(mixed, real) for test_of in TESTS.values()]
    return found


def all_digits() -> Tensor:
    """-> (1797, 1, 8, 8) in [0, 1]"""
    data = digits.load(Path())
    return torch.cat([torch.from_numpy(part) for part in (data.train, data.test)]).float() / LEVELS


def check(trials: int, seed: int = 0) -> list[Cell]:
    """Every generator and share of copies, over so many partings of the digits."""
    images = all_digits()
    said = [trial(images, seed + i) for i in range(trials)]
    return [
        Cell(name, share, tuple(sum(one[name, share][i] for one in said) / trials for i in range(len(TESTS))))
        for name in GENERATORS
        for share in SHARES
    ]


def report(cells: Sequence[Cell]) -> str:
    """A table in per cent, a line for each generator and share of copies."""
    rows = [[cell.generator, f"{100 * cell.share:g}", *(f"{100 * said:.1f}" for said in cell.said)] for cell in cells]
    return table(["samples", "copies (%)", *TESTS], rows)


def publish(page: Path, cells: Sequence[Cell], trials: int, seed: int) -> None:
    """Replace the table of a page, between its two markers; UserError where the page or a marker is missing."""
    error = math.sqrt(LEVEL * (1 - LEVEL) / trials)
    said = f"{trials:,} trials a number: a share of 5 % has a standard error of {100 * error:.1f} %."
    replace_between(page, COMMAND, f"--trials {trials} --seed {seed}", f"{report(cells)}\n\n{said}")
