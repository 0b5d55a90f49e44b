"""MNIST, 600 of its images, and Fashion-MNIST: 28 x 28 idx files as torchvision lays them out (SPEC 2)."""

import gzip
import hashlib
import tempfile
import zlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage import download, pack, raw
from bench.errors import UserError

SUBSET, SUBSET_SEED = 600, 0


@dataclass(frozen=True)
class Idx:
    """One idx file: 0, 0, 8 (uint8), number of axes; each axis as a big-endian uint32; then the values."""

    name: str  # without .gz
    shape: tuple[int, ...]
    sha256: str  # of the unpacked file: archives differ with the program that packed them, their content does not

    def header(self) -> bytes:
        """The bytes before the values."""
        return bytes([0, 0, 8, len(self.shape)]) + b"".join(size.to_bytes(4, "big") for size in self.shape)


@dataclass(frozen=True)
class Family:
    """Four idx files (train images, train labels, test images, test labels) and the torchvision class that fetches them."""

    name: str
    folder: str  # the class's name too
    url: str
    licence: str
    raw_bytes: int  # of the four archives
    files: tuple[Idx, Idx, Idx, Idx]

    @property
    def paths(self) -> tuple[str, ...]:
        """Relative to the data root."""
        return tuple(f"{self.folder}/raw/{file.name}.gz" for file in self.files)

    @property
    def convention(self) -> str:
        """What a protocol id says."""
        return f"{self.name} 28x28, value/255, not binarised, standard split"


def four(train_images: str, train_labels: str, test_images: str, test_labels: str) -> tuple[Idx, Idx, Idx, Idx]:
    """60,000 + 10,000 images and labels with these hashes."""
    return (
        Idx("train-images-idx3-ubyte", (60_000, 28, 28), train_images),
        Idx("train-labels-idx1-ubyte", (60_000,), train_labels),
        Idx("t10k-images-idx3-ubyte", (10_000, 28, 28), test_images),
        Idx("t10k-labels-idx1-ubyte", (10_000,), test_labels),
    )


MNIST = Family(
    name="mnist",
    folder="MNIST",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    licence="CC BY-SA 3.0",
    raw_bytes=11_594_722,
    files=four(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
FASHION = Family(
    name="fashion_mnist",
    folder="FashionMNIST",
    url="https://github.com/zalandoresearch/fashion-mnist#get-the-data",
    licence="MIT",
    raw_bytes=30_878_645,
    files=four(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)


def unpacked(path: Path) -> bytes:
    """The idx bytes of `path`, which may be a .gz; UserError if it cannot be read or unpacked."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged: {path.stat().st_size:,} bytes that do not unpack ({error})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def mismatch(data: bytes, file: Idx) -> str | None:
    """What is wrong with the bytes of an idx file, or None."""
    header, size = file.header(), len(file.header()) + int(np.prod(file.shape))
    if len(data) < len(header):
        return f"{len(data):,} bytes, {size:,} expected"
    if data[:4] != header[:4]:
        return f"magic number {int.from_bytes(data[:4], 'big')}, {int.from_bytes(header[:4], 'big')} expected"
    if data[: len(header)] != header:
        found = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, len(header), 4))
        return f"its header says {found}, {file.shape} expected"
    if len(data) != size:
        return f"{len(data):,} bytes, {size:,} expected"
    digest = hashlib.sha256(data).hexdigest()
    return None if digest == file.sha256 else f"sha256 {digest}"


def checked(family: Family, root: Path) -> list[bytes]:
    """The four unpacked files; UserError names all that are missing, or the first damaged one, and the way out."""
    contents = []
    for path, file in zip(raw.require(family.name, root, family.paths, family.url), family.files, strict=True):
        how = f"replace it: {raw.instructions(family.name, root, f'{family.folder}/raw', family.url)}"
        try:
            data = unpacked(path)
        except UserError as error:
            raise UserError(f"{error}; expected sha256 (unpacked) {file.sha256}; {how}") from None
        wrong = mismatch(data, file)
        if wrong:
            found = f"{path} is damaged ({path.stat().st_size:,} bytes on disk); unpacked: {wrong}"
            raise UserError(f"{found}; expected sha256 (unpacked) {file.sha256}; {how}")
        contents.append(data)
    return contents


def decoded(data: bytes) -> np.ndarray:
    """An idx file's values by torchvision's readers: images (N, 28, 28) uint8, or labels (N,) int64."""
    from torchvision.datasets.mnist import read_image_file, read_label_file  # takes seconds: not at import

    reader = read_image_file if data[3] == 3 else read_label_file
    try:
        with tempfile.NamedTemporaryFile() as file:  # they want an unpacked file, and the data root may be read-only
            file.write(data)
            file.flush()
            return reader(file.name).numpy()
    except OSError as error:
        raise UserError(f"cannot unpack into {tempfile.gettempdir()}: {error.strerror}; set TMPDIR") from None


def streams(family: Family, root: Path) -> dict[str, pack.Stream]:
    """What is packed: images (N, 1, 28, 28) and labels."""
    train, train_labels, test, test_labels = map(decoded, checked(family, root))
    named = {"train": train[:, None], "test": test[:, None], "train_labels": train_labels, "test_labels": test_labels}
    return {name: pack.Stream.of(array) for name, array in named.items()}


def load(family: Family, root: Path) -> Dataset:
    """(60000, 1, 28, 28) and (10000, 1, 28, 28), values 0..255, with labels."""
    read = partial(streams, family)
    return pack.load(root, name=family.name, convention=family.convention, files=family.paths, read=read)


def load_reduced(root: Path) -> Dataset:
    """600 training images, a seeded uniform subset, and all 10,000 test images (VCAE B.3; SPEC 2)."""
    whole = load(MNIST, root)
    kept = np.sort(np.random.RandomState(SUBSET_SEED).permutation(len(whole.train))[:SUBSET])
    labels = whole.train_labels
    return replace(whole, train=whole.train[kept], train_labels=None if labels is None else labels[kept])


def verify(family: Family, root: Path) -> None:
    """Read every raw file against its checksum; UserError for the first that is missing or damaged."""
    checked(family, root)


def fetch(family: Family, root: Path) -> None:
    """Download the archives that are missing or damaged from torchvision's mirrors, with its md5s, and compare them with our hashes."""
    import torchvision

    known = getattr(torchvision.datasets, family.folder)
    files = [
        download.File(f"{family.folder}/raw/{name}", tuple(f"{mirror}{name}" for mirror in known.mirrors), md5)
        for name, md5 in known.resources
    ]
    download.fetch(family.name, root, files, f"take them from {family.url}")
    checked(family, root)


def source(family: Family) -> Source:
    """The card of a family."""
    return Source(
        name=family.name,
        shape=(1, 28, 28),
        counts={"train": 60_000, "test": 10_000},
        convention=family.convention,
        kind="real",
        licence=family.licence,
        url=family.url,
        load=partial(load, family),
        files=family.paths,
        fetch=partial(fetch, family),
        verify=partial(verify, family),
        raw_bytes=family.raw_bytes,
    )


DATASETS = [
    source(MNIST),
    replace(
        source(MNIST),
        name="reduced_mnist",
        counts={"train": SUBSET, "test": 10_000},
        convention=f"{MNIST.convention}, {SUBSET} training images drawn uniformly with seed {SUBSET_SEED}",
        load=load_reduced,
    ),
    source(FASHION),
]
