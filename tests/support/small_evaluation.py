"""An evaluation of a small method on made-up images, for tests of all metrics."""

from pathlib import Path
from typing import Any

import torch
from small_methods import DIM, LEVELS, build, noise, pixels
from torch import nn

from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation
from bench.evaluation.feature_networks import FeatureNetworks
from bench.registry import catalogue
from metrics.metric import Metric
from models.parts.density import gaussian
from models.vae import vae_bernoulli

ALL = catalogue().every_metric
FACTORS = {"test": torch.arange(30)[:, None] // torch.tensor([15, 5]), "train": torch.arange(40)[:, None] // torch.tensor([20, 5])}
NEEDS_WEIGHTS = ("inception", "dinov2", "classifier", "fid_", "kid_")


def views_of(metrics: list[Metric], train: int = 40, test: int = 30, density: Any = None) -> Evaluation:
    """A method with a prior and a density, on images with factors and the features of their principal components."""
    method = build(lambda: vae_bernoulli(DIM))
    x, y = pixels(train, seed=1), pixels(test, seed=2)
    density = density or gaussian(DIM)
    if isinstance(density, nn.Module) and hasattr(density, "means"):
        density.fit(torch.randn(50, DIM, generator=noise()), noise())
    networks = FeatureNetworks("made up", x, LEVELS, Path("nowhere"), None)
    factors = {name: rows[: len(x) if name == "train" else len(y)] for name, rows in FACTORS.items()}
    return Evaluation(method, DeviceDataset(x, y, LEVELS, networks=networks, factors=factors), 0, density)
