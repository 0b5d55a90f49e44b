"""What may be measured, or measured against, found out from how the user names it.

samples/ , samples.zip                images of a folder or archive
images.npy , batch.npz , batch.npz:x  an array of images; codes where it has two axes
statistics.npz                        mean and covariance of features (`mu`, `sigma`)
dataset:mnist:test                    a split of a dataset of this project
runs/SUITE/ROW/SEED-KEY               a trained run
model.pt , model.pt2                  an autoencoder as TorchScript or torch.export
file.py:encoder,decoder               one of two functions
vae/                                  one of diffusers, a folder with config.json
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.datasets.dataset import Source
from bench.datasets.storage.image_folder import image_files
from bench.errors import UserError, unknown
from bench.evaluation.feature_networks import FeatureNetworks
from bench.measure import statistics_file
from bench.measure.arrays import ArrayFile, Range, array_file, image_array
from bench.measure.autoencoders import PYTHON, Autoencoder, of_python
from bench.measure.diffusers_folder import PIPELINE, of_diffusers
from bench.measure.image_sets import ImageSet, of_files, prepared
from bench.measure.networks import WEIGHTS
from bench.measure.preparation import AS_IT_IS, Preparation
from bench.measure.statistics_file import Statistics
from bench.measure.torch_files import EXPORTED, SCRIPTS, of_export, of_script
from bench.records.store import RECORD
from bench.registry import Catalogue
from bench.runs.context import read
from metrics.features.pca import IMAGES
from metrics.fixed_subset import subset_indices

DATASET = "dataset:"
SPLITS = ("train", "test", "validation")
ARRAYS = (".npy", ".npz")
BLOCK = 1000  # images of a dataset at a time


class Codes(NamedTuple):
    """Codes of a file."""

    given: str
    rows: Tensor  # (N, D) float32


class RunFolder(NamedTuple):
    """A trained run."""

    path: Path


@dataclass(frozen=True)
class Reading:
    """How subjects are read."""

    known: Catalogue
    data_root: Path
    device: torch.device
    preparation: Preparation = AS_IT_IS
    values: Range | None = None  # None: [0, 1] of arrays and most models, [-1, 1] of diffusers'

    def prepared_as(self, preparation: Preparation) -> "Reading":
        """The same with other preparation of images."""
        return Reading(self.known, self.data_root, self.device, preparation, self.values)


Subject = ImageSet | Codes | Statistics | Autoencoder | RunFolder


def subject(text: str, reading: Reading) -> Subject:
    """What the text names; UserError where it names nothing, or nothing that can be measured."""
    path = Path(text)
    if text.startswith(DATASET):
        return prepared(dataset_split(text, reading), reading.preparation)
    if PYTHON in text:
        return of_python(text, reading.device, reading.values or "unit")
    if path.suffix in ARRAYS or Path(text.rpartition(":")[0]).suffix == ".npz":
        return of_array(text, reading)
    if not path.exists():
        raise UserError(
            f"{text}: no such file or folder; measured are folders and .zip of images, .npy, .npz, {DATASET}NAME:SPLIT, a run's folder, "
            "TorchScript and torch.export files, file.py:encoder,decoder and folders of diffusers"
        )
    if path.suffix in (*SCRIPTS, *EXPORTED) and path.is_file():
        return (of_export if path.suffix in EXPORTED else of_script)(path, reading.device, reading.values or "unit")
    if path.is_dir() and (path / RECORD).exists():
        return RunFolder(path)
    if path.is_dir() and any((path / name).is_file() for name in ("config.json", PIPELINE)):
        return of_diffusers(path, reading.device, reading.values or "symmetric")
    return of_files(text, image_files(path), reading.preparation)


def of_array(text: str, reading: Reading) -> ImageSet | Codes | Statistics:
    """Images, codes or statistics of a .npy or .npz file."""
    path, name = Path(text), ""
    if path.suffix not in ARRAYS:
        place, _, name = text.rpartition(":")
        path = Path(place)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.suffix == ".npz" and not name and statistics_file.is_statistics(path):
        return statistics_file.read(path, reading.device)
    file = array_file(path, name)
    if len(file.head().shape) == 2:
        return codes_of(file)
    return prepared(image_array(file, reading.values or "unit", reading.preparation.flatten), reading.preparation)


def codes_of(file: ArrayFile) -> Codes:
    """Codes, (N, D); UserError for what is none."""
    values = file.whole()
    if values.dtype.kind != "f" or min(values.shape) < 1:
        raise UserError(f"{file} has the shape {values.shape} of {values.dtype}; codes are real numbers, a row an image")
    rows = torch.from_numpy(values.astype(np.float32))
    if bad := int((~rows.isfinite()).any(1).sum()):
        raise UserError(f"{file}: {bad} of {len(rows)} codes have values that are not finite")
    return Codes(str(file), rows)


def factors_of(path: Path, count: int) -> Tensor:
    """Factors of variation, (N, K) whole numbers; UserError for others, or where there are more or fewer than codes."""
    if path.suffix not in ARRAYS or not path.is_file():
        lacking = "" if path.is_file() else "; there is no such file"
        raise UserError(f"--factors {path}: a .npy file of (N, K) whole numbers is expected{lacking}")
    file = array_file(path)
    values = file.whole()
    if values.ndim != 2 or values.dtype.kind not in "biuf" or min(values.shape) < 1:
        raise UserError(f"{file} has the shape {values.shape} of {values.dtype}; factors are (N, K) whole numbers")
    if len(values) != count:
        raise UserError(f"{file} has {len(values):,} rows, there are {count:,} codes")
    whole = values.astype(np.float64)
    if bad := [k for k in range(whole.shape[1]) if not (np.isfinite(whole[:, k]) & (whole[:, k] == np.round(whole[:, k]))).all()]:
        raise UserError(f"{file}: column {bad[0]} has values that are no whole numbers; sort them into bins first")
    return torch.from_numpy(whole.astype(np.int64))


def source_of(text: str, known: Catalogue) -> tuple[Source, str]:
    """The dataset and split of `dataset:NAME:SPLIT`."""
    whole = text.removeprefix(DATASET)
    name, _, split = whole.rpartition(":")
    if name in known.datasets and split not in SPLITS:
        raise UserError(f"{text}: {unknown('split', split, SPLITS)}")
    if split not in SPLITS:
        name, split = whole, "test"
    source: Source = known.get("dataset", name, text)
    if source.values != "unit":
        raise UserError(f"{text}: its values are signals, images are measured")
    return source, split


def dataset_split(text: str, reading: Reading) -> ImageSet:
    """A split as a set."""
    source, split = source_of(text, reading.known)
    dataset = read(source, reading.data_root, split == "validation")
    images = dataset.train if split == "train" else dataset.test

    def blocks() -> Iterator[Tensor]:
        for start in range(0, len(images), BLOCK):
            yield torch.from_numpy(np.array(images[start : start + BLOCK]))

    facts: dict[str, object] = {"split": split, "convention": source.convention}
    return ImageSet(text, "dataset", len(images), source.shape, blocks, dataset.levels, facts=facts)


def networks_of_dataset(text: str, reading: Reading) -> FeatureNetworks:
    """The feature networks of the dataset that `dataset:NAME:SPLIT` is of."""
    source, split = source_of(text, reading.known)
    dataset = read(source, reading.data_root, split == "validation")
    rows = np.array(dataset.train[subset_indices(len(dataset.train), IMAGES).numpy()])  # all that principal components are of
    weights = reading.data_root / WEIGHTS
    return FeatureNetworks(source.name, torch.from_numpy(rows).to(reading.device), dataset.levels, weights, None)


def images_of(text: str, reading: Reading, what: str) -> ImageSet:
    """A subject that must be a set of images."""
    found = subject(text, reading)
    if not isinstance(found, ImageSet):
        kinds = {Codes: "codes", Statistics: "statistics", Autoencoder: "a model", RunFolder: "a run"}
        raise UserError(f"{what} {text} is {kinds[type(found)]}, images are expected")
    return found
