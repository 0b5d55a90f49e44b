"""What a dataset is to the harness: uint8 images or real-valued signals in named splits, and the facts that freeze them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

VALIDATION_SHARE, VALIDATION_SEED = 0.1, 20
Split = Literal["train", "test", "validation"]
Values = Literal["unit", "real"]


@dataclass(frozen=True)
class Dataset:
    """Images as integers 0..levels, (N, C, H, W) uint8: a pixel in [0, 1] is value / levels; or signals, float32 as they are."""

    train: np.ndarray
    test: np.ndarray
    train_labels: np.ndarray | None = None  # (N,) int64
    test_labels: np.ndarray | None = None
    levels: int = 255  # 1 for signals
    held_out: Split = "test"
    train_factors: np.ndarray | None = None  # (N, K) int64, index of each factor's value; columns in the order of Source.factors
    test_factors: np.ndarray | None = None
    train_groups: np.ndarray | None = None  # (N,) int64; images of one group share pixels, so none of them is held out without the others

    def with_validation(self) -> "Dataset":
        """The same set without its test images: 10 % of the training images, seeded, are held out instead.

        Whatever is selected (a weight, a stopping time) is selected on these; they do not overlap with training.
        """
        draws, groups = np.random.RandomState(VALIDATION_SEED), self.train_groups
        order = draws.permutation(len(self.train)) if groups is None else np.argsort(ranks(groups, draws), kind="stable")
        cut = round(VALIDATION_SHARE * len(order))
        if groups is not None and groups[order[cut - 1]] == groups[order[cut]]:
            raise ValueError(f"{cut} images of {len(order)} cannot be held out without dividing a group")
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
            train_groups=chosen(groups, kept),
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


def ranks(groups: np.ndarray, draws: np.random.RandomState) -> np.ndarray:
    """The place of each image's group in a random order of the groups.   (N,) -> (N,)"""
    names, which = np.unique(groups, return_inverse=True)
    return draws.permutation(len(names))[which]


class Factor(NamedTuple):
    """One factor of variation of a rendered or labelled set."""

    name: str
    size: int  # values 0 .. size - 1


@dataclass(frozen=True)
class Source:
    """A dataset by name: its card, and how to get it. Nothing is read before `load` is called."""

    name: str
    shape: tuple[int, int, int]  # C, H, W; 1, 1, L for signals
    counts: dict[str, int]  # images per split
    convention: str  # what a protocol id says: crop, resize, split, range
    kind: Literal["real", "rendered", "generated"]
    licence: str
    url: str
    load: Callable[[Path], Dataset]  # data root -> Dataset; raises UserError that says which files are missing
    values: Values = "unit"  # images with pixels in [0, 1], or signals: real numbers, whose outputs pass through no sigmoid
    factors: tuple[Factor, ...] = ()  # of variation, in the order of the columns of Dataset.train_factors
    files: tuple[str, ...] = ()  # relative to the data root; () for one that needs none
    fetch: Callable[[Path], None] | None = None  # downloads `files` into the data root, verified
    verify: Callable[[Path], None] | None = None  # reads `files` and their checksums; raises UserError
    raw_bytes: int = 0  # of the official files, as they are downloaded
    content: str = ""  # a hash of the user's own files, which may change: other files train another run

    def __post_init__(self) -> None:
        """ValueError for a card that cannot be."""
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"dataset {self.name}: shape must be (channels, height, width), not {self.shape}")
        if not {"train", "test"} <= self.counts.keys():
            raise ValueError(f"dataset {self.name}: counts must say how many images train and test have, not {self.counts}")
        if self.values not in get_args(Values):
            raise ValueError(f"dataset {self.name}: values must be one of {', '.join(get_args(Values))}, not {self.values!r}")

    def mismatch(self, dataset: Dataset) -> str | None:
        """In what a loaded dataset, its validation split held out or not, is not what this card says; None where it is."""
        counts = {"train": self.train_count(dataset.held_out)}
        if dataset.held_out == "test":
            counts["test"] = self.counts["test"]
        kind, levels = ("float32", 1) if self.values == "real" else ("uint8", dataset.levels)
        for split, count in counts.items():
            images, factors = getattr(dataset, split), getattr(dataset, f"{split}_factors")
            name = {"train": "training", "test": "test"}[split]
            if images.shape != (count, *self.shape):
                return f"its {name} images have the shape {images.shape}, its card says {(count, *self.shape)}"
            if (images.dtype, dataset.levels) != (kind, levels):
                found = f"{images.dtype} of {dataset.levels} levels"
                return f"its {name} images are {found}, its card says {self.values} values, which are {kind} of {levels}"
            if (None if factors is None else factors.shape) != ((count, len(self.factors)) if self.factors else None):
                return f"its {name} images have {'no' if factors is None else factors.shape[1]} factors, its card says {len(self.factors)}"
        return None

    def held_out_count(self, held_out: Split) -> int:
        """How many images a run is measured on."""
        return self.counts["test"] if held_out == "test" else round(VALIDATION_SHARE * self.counts["train"])

    def train_count(self, held_out: Split) -> int:
        """How many images a run trains on."""
        n = self.counts["train"]
        return n if held_out == "test" else n - round(VALIDATION_SHARE * n)
