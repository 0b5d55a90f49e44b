"""Mean and covariance of a network's features in a .npz file: arrays `mu` and `sigma`, as the common FID tools read and write them.

What this project writes says besides, as texts, the network's protocol and the count of images, so that what is compared with it later
was made in the same way; other tools pass over those.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.errors import UserError
from bench.files import write
from bench.measure.arrays import ArrayFile, members
from metrics.frechet import Gaussian

MEAN, COVARIANCE, PROTOCOL, COUNT = "mu", "sigma", "protocol", "count"
SYMMETRIC = 1e-4  # relative; of covariances that were written as float32


@dataclass(frozen=True)
class Statistics:
    """A Gaussian and where it is from."""

    given: str
    gaussian: Gaussian
    protocol: str | None  # of the network; None: the file does not say
    count: int | None


def is_statistics(path: Path) -> bool:
    """Whether a .npz file holds statistics."""
    return {MEAN, COVARIANCE} <= members(path).keys()


def read(path: Path, device: torch.device) -> Statistics:
    """Statistics of a file, on the device; UserError where they are none of a Gaussian."""
    found = members(path)
    mean, covariance = (ArrayFile(path, name).whole() for name in (MEAN, COVARIANCE))
    dim = len(mean)
    if mean.ndim != 1 or covariance.shape != (dim, dim) or mean.dtype.kind != "f" or covariance.dtype.kind != "f":
        raise UserError(f"{path}: mu has the shape {mean.shape}, sigma {covariance.shape}; (D,) and (D, D) of real numbers are expected")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{path}: mu or sigma have values that are not finite")
    scale = np.abs(covariance).max(initial=0.0)
    if np.abs(covariance - covariance.T).max(initial=0.0) > SYMMETRIC * scale or (np.diag(covariance) < 0).any():
        raise UserError(f"{path}: sigma is no covariance: it is not symmetric, or has a variance below 0")
    m, C = (torch.from_numpy(array.astype(np.float64)).to(device) for array in (mean, covariance))
    words = text_of(path, PROTOCOL) if PROTOCOL in found else None
    count = text_of(path, COUNT) if COUNT in found else None
    return Statistics(str(path), Gaussian(m, C, None), words, int(count) if count and count.isdecimal() else None)


def text_of(path: Path, name: str) -> str:
    """A text of a .npz file."""
    with ArrayFile(path, name).opened() as (file, (shape, dtype)):
        values = np.frombuffer(file.read(dtype.itemsize), dtype)
    return str(values[0]) if len(values) and not shape else ""


def save(path: Path, gaussian: Gaussian, protocol: str, count: int) -> None:
    """Write statistics."""
    covariance = gaussian.factor @ gaussian.factor.T if gaussian.covariance is None else gaussian.covariance
    buffer = io.BytesIO()
    np.savez(
        buffer, mu=gaussian.mean.cpu().numpy(), sigma=covariance.cpu().numpy(), protocol=np.array(protocol), count=np.array(str(count))
    )
    write(path, buffer.getvalue())
