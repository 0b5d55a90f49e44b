"""Subjects of figures whose every code and image is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.datasets.dataset import Values
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation
from bench.figures.subject import Subject
from models.interfaces import Draw


class Identity:
    """A method whose code is the image itself, and whose decoder gives it back. The drawn code is the mean + 0.25."""

    def __init__(self, shape: tuple[int, int, int], log_variance: float | None = None, prior: Any = None):
        self.shape, self.dim, self.log_variance, self.prior = shape, int(np.prod(shape)), log_variance, prior

    def eval(self) -> None:
        """It has no training mode."""

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """A draw that is no mean."""
        mean = x.flatten(1)
        logs = None if self.log_variance is None else torch.full_like(mean, self.log_variance)
        return Draw(mean + 0.25, mean, logs, noise)

    def decode(self, z: Tensor) -> Tensor:
        """The code as an image."""
        return z.reshape(-1, *self.shape)

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        """Draws of the prior, where there is one."""
        return None if self.prior is None else self.decode(self.prior.sample(n, noise))


class Law:
    """A density with the log_prob that it is given; its draws are constant, 0, 1/n ... of n."""

    def __init__(self, dim: int, log_prob: Callable[[Tensor], Tensor] = lambda z: -z.square().sum(1)):
        self.dim, self.log_prob = dim, log_prob

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """In order."""
        return (torch.arange(n) / n)[:, None].expand(-1, self.dim)

    def __str__(self) -> str:
        return "a planted law"


def subject(train: np.ndarray, test: np.ndarray, *, levels: int = 255, density: Any = None, labels: Any = None, **options: Any) -> Subject:
    """Of images as integers, or of signals as floats."""
    values: Values = "real" if test.dtype == np.float32 else "unit"
    data = DeviceDataset(torch.from_numpy(train), torch.from_numpy(test), levels, values)
    curve, method = options.pop("curve", ()), Identity(test.shape[1:], **options)
    tensor = None if labels is None else torch.as_tensor(labels)
    return Subject(Evaluation(method, data, 0, density), "planted on data, seed 0, 5 steps", tensor, curve, "identity")  # type: ignore[arg-type]


def images(n: int, shape: tuple[int, int, int] = (1, 2, 2), seed: int = 0) -> np.ndarray:
    """Any images, no two alike."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)
