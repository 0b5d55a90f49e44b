"""Small MNIST files in the layout of the real ones, and what is needed to break them."""

import gzip
import hashlib
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.datasets import mnist
from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage import pack

TRAIN, TEST = 12, 5
NAMES = [file.name for file in mnist.MNIST.files]


def idx(values: np.ndarray) -> bytes:
    """The format as its documentation has it: magic 2049 (labels) or 2051 (images), sizes, values."""
    return struct.pack(f">{1 + values.ndim}I", 2048 + values.ndim, *values.shape) + values.tobytes()


def contents() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    sizes = (TRAIN, 28, 28), (TRAIN,), (TEST, 28, 28), (TEST,)
    return {name: random.integers(0, 256 if len(size) == 3 else 10, size, np.uint8) for name, size in zip(NAMES, sizes, strict=True)}


def small_family() -> mnist.Family:
    """MNIST with the checksums of the small files."""
    files = [mnist.Idx(name, values.shape, hashlib.sha256(idx(values)).hexdigest()) for name, values in contents().items()]
    return replace(mnist.MNIST, files=(files[0], files[1], files[2], files[3]))


FAMILY = small_family()


def put(root: Path, suffix: str = ".gz") -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in contents().items():
        whole = idx(values)
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(whole) if suffix else whole)
    return folder


def packed_folder(root: Path) -> Path:
    return pack.places(root, FAMILY.name, FAMILY.convention)[0]


def check(dataset: Dataset) -> None:
    train, train_labels, test, test_labels = contents().values()
    np.testing.assert_array_equal(dataset.train, train[:, None])
    np.testing.assert_array_equal(dataset.test, test[:, None])
    np.testing.assert_array_equal(dataset.train_labels, train_labels.astype(np.int64))
    np.testing.assert_array_equal(dataset.test_labels, test_labels.astype(np.int64))
    assert dataset.train.dtype == np.uint8
    assert dataset.train_labels is not None
    assert dataset.train_labels.dtype == np.int64


def card() -> Source:
    """The card of the small files."""
    return replace(mnist.source(FAMILY), counts={"train": TRAIN, "test": TEST})


class file_size_limit:
    """No file of this process grows beyond `limit` bytes: writes fail as they do on a full disk."""

    def __init__(self, limit: int):
        self.limit, self.before = limit, resource.getrlimit(resource.RLIMIT_FSIZE)

    def __enter__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def other_value(whole: bytes) -> bytes:
    """The last value changed by one."""
    return whole[:-1] + bytes([whole[-1] ^ 1])


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Folders without write permission, for a while."""
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o755)
