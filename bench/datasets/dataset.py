"""What a dataset is to the harness: uint8 images in named splits, and the facts that freeze them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

VALIDATION_SHARE, VALIDATION_SEED = 0.1, 20
Split = Literal["train", "test", "validation"]


@dataclass(frozen=True)
class Dataset:
    """Images as integers 0..levels, (N, C, H, W) uint8; a pixel in [0, 1] is value / levels."""

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None  # (N,) int64
    test_labels: np.ndarray | None = None
    levels: int = 255
    held_out: Split = "test"
    train_factors: np.ndarray | None = None  # (N, K) int64, index of each factor's value; columns in the order of Source.factors
    test_factors: np.ndarray | None = None

    def with_validation(self) -> "Dataset":
        """The same set without its test images: 10 % of the training images, seeded, are held out instead.

        Whatever is selected (a weight, a stopping time) is selected on these; they do not overlap with training.
        """
        order = np.random.RandomState(VALIDATION_SEED).permutation(len(self.train))
        cut = round(VALIDATION_SHARE * len(order))
        out, kept = np.sort(order[:cut]), np.sort(order[cut:])

        def chosen(of: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
            return None if of is None else of[rows]

        return replace(
            self,
            train=self.train[kept],
            test=self.train[out],
            train_labels=chosen(self.train_labels, kept),
            test_labels=chosen(self.train_labels, out),
            train_factors=chosen(self.train_factors, kept),
            test_factors=chosen(self.train_factors, out),
            held_out="validation",
        )

    def sha256(self) -> str:
        """Hash of both splits' shapes, values and the number of levels."""
        digest = hashlib.sha256(f"{self.train.shape} {self.test.shape} {self.levels}".encode())
        for split in (self.train, self.test):
            for start in range(0, len(split), 4096):  # blocks: a packed set may be larger than memory
                digest.update(np.ascontiguousarray(split[start : start + 4096]).data)
        return digest.hexdigest()


class Factor(NamedTuple):
    """One factor of variation of a rendered or labelled set."""

    name: str
    size: int  # values 0 .. size - 1


@dataclass(frozen=True)
class Source:
    """A dataset by name: its card, and how to get it. Nothing is read before `load` is called."""

    name: str
    shape: tuple[int, int, int]  # C, H, W
    counts: dict[str, int]  # images per split
    convention: str  # what a protocol id says: crop, resize, split, range
    kind: Literal["real", "rendered", "generated"]
    licence: str
    url: str
    load: Callable[[Path], Dataset]  # data root -> Dataset; raises UserError that says which files are missing
    factors: tuple[Factor, ...] = ()  # of variation, in the order of the columns of Dataset.train_factors
    files: tuple[str, ...] = ()  # relative to the data root; () for one that needs none
    fetch: Callable[[Path], None] | None = None  # downloads `files` into the data root, verified
    verify: Callable[[Path], None] | None = None  # reads `files` and their checksums; raises UserError
    raw_bytes: int = 0  # of the official files, as they are downloaded

    def train_count(self, held_out: Split) -> int:
        """How many images a run trains on."""
        n = self.counts["train"]
        return n if held_out == "test" else n - round(VALIDATION_SHARE * n)
