"""What runs of one process share: catalogue, store, device, and each dataset, read once."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.datasets.dataset import Dataset, Source
from bench.environment import default_device, set_up
from bench.errors import FOREIGN, UserError, in_a_line
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.feature_networks import FeatureNetworks
from bench.processes import default_jobs
from bench.records.store import Store
from bench.registry import Catalogue, catalogue
from bench.runs.settings import Settings
from bench.suites.schema import Run
from bench.training.team import Team
from metrics.kernels.backends import backend_of

NOT_IN_NAMES = re.compile(r"[^\w.-]+")
BLOCK = 2**26  # bytes of a split that are copied to a GPU at a time
HOST = torch.device("cpu")


def kernels_on(device: torch.device) -> str:
    """The backend of the regulariser kernels there; UserError for a LATENTBENCH_KERNELS that is none or cannot run."""
    try:
        return backend_of(device)
    except ValueError as error:
        raise UserError(str(error)) from None


def read(source: Source, root: Path, validation: bool) -> Dataset:
    """A dataset as its source has it; UserError where it is not what its card says.   validation: held out in place of the test split"""
    try:
        dataset = source.load(root)
        if not isinstance(dataset, Dataset):
            raise UserError(f"dataset {source.name}: load() must return a bench.datasets.dataset.Dataset, not {type(dataset).__name__}")
        if validation:
            dataset = dataset.with_validation()
        mismatch = source.mismatch(dataset)
    except UserError:
        raise
    except FOREIGN as error:  # a plugin's
        raise UserError(f"dataset {source.name} cannot be read: {in_a_line(error)}") from error
    if mismatch:
        raise UserError(f"dataset {source.name}: {mismatch}")
    return dataset


def features_of(cache: Path, device: torch.device) -> Path:
    """Where features that were computed on a device are kept: each kind of GPU has a folder of its own in that of the CPU.

    Eigenvectors differ between libraries of linear algebra in sign, and by a rotation where eigenvalues are close; features in two bases
    of PCA do not compare.
    """
    return cache / NOT_IN_NAMES.sub("-", torch.cuda.get_device_name(device)) if device.type == "cuda" else cache


def on_host(split: np.ndarray) -> Tensor:
    """A split as a tensor; one of a pack is copied, for it is read-only, which tensors are not.   (N, ...) -> (N, ...)"""
    return torch.from_numpy(np.require(split, requirements="W"))


def in_blocks(split: np.ndarray, device: torch.device) -> Tensor:
    """A split on the device, without a copy of all of it on the host: a pack has gigabytes.   (N, ...) -> (N, ...)"""
    placed = torch.empty(split.shape, dtype=on_host(split[:0]).dtype, device=device)
    rows = max(1, BLOCK // max(1, split[:1].nbytes))
    for start in range(0, len(split), rows):
        placed[start : start + rows] = on_host(split[start : start + rows])
    return placed


@dataclass
class Context:
    """What runs of one process share."""

    catalogue: Catalogue
    store: Store
    device: torch.device
    settings: Settings
    datasets: dict[tuple[str, str], DeviceDataset] = field(default_factory=dict)
    team: Team | None = None  # of several processes that train one run together

    @property
    def jobs(self) -> int:
        """How many runs there may be at a time, in all processes."""
        return self.settings.jobs or 1

    def data(self, run: Run) -> DeviceDataset:
        """The run's dataset, loaded when first asked for."""
        key = (run.dataset, run.held_out)
        if key not in self.datasets:
            self.datasets[key] = self.on_device(self.read(run), self.catalogue.get("dataset", run.dataset))
        return self.datasets[key]

    def on_device(self, dataset: Dataset, source: Source) -> DeviceDataset:
        """A dataset with its splits on the device, and the feature networks that see it."""
        splits = dataset.train, dataset.test
        train, test = (on_host(split) if self.device == HOST else in_blocks(split, self.device) for split in splits)
        cache = features_of(self.settings.cache or self.store.out / "runs" / ".features", self.device)
        weights = self.settings.data_root / "weights"
        networks = FeatureNetworks(source.name, train, dataset.levels, weights, cache) if source.values == "unit" else None
        columns = {"train": dataset.train_factors, "test": dataset.test_factors}
        factors = {split: torch.from_numpy(rows) for split, rows in columns.items() if rows is not None}
        return DeviceDataset(train, test, dataset.levels, source.values, dataset.held_out, networks, factors, dataset.sha256())

    def read(self, run: Run) -> Dataset:
        """The run's dataset as its source has it; UserError where it is not what its card says."""
        return read(self.catalogue.get("dataset", run.dataset), self.settings.data_root, run.held_out == "validation")


def context_of(settings: Settings, suite: str, plugins: tuple[str, ...]) -> Context:
    """What the runs of a suite share in this process; UserError for a device or a backend of kernels that cannot be."""
    device = set_up(settings.device or default_device(), settings.threads)
    kernels_on(device)
    return Context(catalogue(plugins), Store(settings.out, suite), device, settings)


def with_jobs(settings: Settings, runs: int) -> Settings:
    """The settings with as many jobs as they ask for, or as there is room for, and no more than there are runs."""
    jobs = settings.jobs or default_jobs(settings.device or default_device(), settings.threads)
    return replace(settings, jobs=min(jobs, runs))
