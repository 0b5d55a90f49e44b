"""What runs of one process share: catalogue, store, device, and each dataset, read once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from bench.datasets.dataset import Dataset, Values
from bench.environment import default_device, set_up
from bench.errors import UserError, in_a_line
from bench.evaluation.evaluate import baselines_of
from bench.evaluation.feature_networks import FeatureNetworks
from bench.processes import default_jobs
from bench.records.store import Store
from bench.registry import Catalogue, catalogue
from bench.runs.settings import Settings
from bench.suites.schema import Run
from metrics.kernels.backends import backend_of
from metrics.reconstruction import Baselines


def kernels_on(device: torch.device) -> str:
    """The backend of the regulariser kernels there; UserError for a LATENTBENCH_KERNELS that is none or cannot run."""
    try:
        return backend_of(device)
    except ValueError as error:
        raise UserError(str(error)) from None


@dataclass(frozen=True)
class Images:
    """A dataset on the device, with what is computed once for it."""

    train: Tensor  # (N, C, H, W) uint8, or float32 for signals
    test: Tensor
    levels: int
    values: Values
    sha256: str
    baselines: Callable[[int], Baselines]
    networks: FeatureNetworks | None  # None for signals
    factors: dict[str, Tensor]  # by split, (N, K) int64, of a dataset that has factors of variation


@dataclass
class Context:
    """What runs of one process share."""

    catalogue: Catalogue
    store: Store
    device: torch.device
    settings: Settings
    images: dict[tuple[str, str], Images] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """How many runs there may be at a time, in all processes."""
        return self.settings.jobs or 1

    def data(self, run: Run) -> Images:
        """The run's dataset, loaded when first asked for."""
        key = (run.dataset, run.held_out)
        if key not in self.images:
            dataset = self.read(run)
            splits = (np.require(split, requirements="W") for split in (dataset.train, dataset.test))  # a packed set is read-only
            train_images, test_images = (torch.from_numpy(split).to(self.device) for split in splits)
            baselines = baselines_of(train_images, test_images, dataset.levels)
            values = self.catalogue.get("dataset", run.dataset).values
            cache = self.settings.cache or self.store.out / "runs" / ".features"
            weights = self.settings.data_root / "weights"
            networks = FeatureNetworks(run.dataset, train_images, dataset.levels, weights, cache) if values == "unit" else None
            columns = {"train": dataset.train_factors, "test": dataset.test_factors}
            factors = {split: torch.from_numpy(rows) for split, rows in columns.items() if rows is not None}
            self.images[key] = Images(train_images, test_images, dataset.levels, values, dataset.sha256(), baselines, networks, factors)
        return self.images[key]

    def read(self, run: Run) -> Dataset:
        """The run's dataset as its source has it; UserError where it is not what its card says."""
        source = self.catalogue.get("dataset", run.dataset)
        try:
            dataset = source.load(self.settings.data_root)
            if not isinstance(dataset, Dataset):
                raise UserError(f"dataset {run.dataset}: load() must return a bench.datasets.dataset.Dataset, not {type(dataset).__name__}")
            if run.held_out == "validation":
                dataset = dataset.with_validation()
            mismatch = source.mismatch(dataset)
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # a plugin's
            raise UserError(f"dataset {run.dataset} cannot be read: {in_a_line(error)}") from error
        if mismatch:
            raise UserError(f"dataset {run.dataset}: {mismatch}")
        return dataset


def context_of(settings: Settings, suite: str, plugins: tuple[str, ...]) -> Context:
    """What the runs of a suite share in this process; UserError for a device or a backend of kernels that cannot be."""
    device = set_up(settings.device or default_device(), settings.threads)
    kernels_on(device)
    return Context(catalogue(plugins), Store(settings.out, suite), device, settings)


def with_jobs(settings: Settings, runs: int) -> Settings:
    """The settings with as many jobs as they ask for, or as there is room for, and no more than there are runs."""
    jobs = settings.jobs or default_jobs(settings.device or default_device(), settings.threads)
    return replace(settings, jobs=min(jobs, runs))
