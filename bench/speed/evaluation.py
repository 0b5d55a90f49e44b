"""Evaluation and reading in `python -m bench speed`: Fréchet distances, Inception features and epochs of batches beside others.

Weights of Inception are random, for the real ones cannot be had everywhere; what is computed with them is the same.
"""

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from bench.processes import cores
from bench.speed import reading
from bench.speed.timing import Timed, quiet, ratio, timed_alternately
from metrics.features import inception
from metrics.features.network import verified
from metrics.frechet import frechet_distance, moments

OURS, FIDELITY, SQRTM = "latentbench", "torch-fidelity", "scipy.linalg.sqrtm"
FOLDED, COMPILED = "latentbench, folded", "latentbench, compiled"

Implementation = Callable[[], Tensor | None]  # None: its values are compared by the tests alone


@dataclass(frozen=True)
class Sizes:
    """How much of each."""

    dim: int = 2048  # of Inception's features
    rows: int = 10_000  # that statistics are taken of
    images: int = 32
    files: int = 2000
    rounds: int = 5
    slow_rounds: int = 3  # of distances
    compiled: bool = True  # compiling takes a minute or two


QUICK = Sizes(dim=128, rows=1000, images=2, files=200, rounds=1, slow_rounds=1, compiled=False)


@dataclass(frozen=True)
class Comparison:
    """Ways to the same values."""

    title: str
    note: str  # what exactly is done, for the page
    implementations: Mapping[str, Implementation]
    reference: str  # the implementation that others are compared with
    rounds: int
    images: int | None = None  # that a call works on, where implementations are compared by images per second

    def measured(self, device: torch.device) -> dict[str, Any]:
        """Every implementation's times, as JSON has them."""
        values = dict[str, Tensor | None]()

        def keep(name: str, implementation: Implementation) -> None:
            values[name] = implementation()

        found = quiet(
            timed_alternately(
                {name: partial(keep, name, implementation) for name, implementation in self.implementations.items()}, self.rounds, device
            )
        )
        rows = {name: self.row(timed, found[self.reference], values[name], values[self.reference]) for name, timed in found.items()}
        facts = {"title": self.title, "note": self.note, "reference": self.reference, "images": self.images}
        return {**facts, "rounds": len(found[self.reference].seconds), "implementations": rows}

    def row(self, timed: Timed, reference: Timed, value: Tensor | None, expected: Tensor | None) -> dict[str, Any]:
        """An implementation's numbers; times: how many times as fast the reference is, or, where images are counted, the implementation."""
        return {
            "seconds": timed.median,
            "images_per_second": None if self.images is None else self.images / timed.median,
            "times": ratio(timed, reference) if self.images is None else ratio(reference, timed),
            "difference": None if value is None or expected is None else apart(value.double(), expected.double()),
            "waited": statistics.median(timed.waits),
        }


def apart(value: Tensor, expected: Tensor) -> float:
    """|value - expected| / |expected|."""
    return ((value - expected).norm() / expected.norm()).item()


def features(seed: int, n: int, dim: int) -> Tensor:
    """Correlated rows that are as positive and skewed as a network's pooled features.   -> (n, dim) float32"""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(0)) / dim**0.5
    return (torch.randn(n, dim, generator=generator) @ mixing + 0.1 * seed).relu()


def distances(rows: int, dim: int, device: torch.device) -> dict[str, Implementation]:
    """The Fréchet distance of two sets of rows, given means and covariances, by each implementation.   each -> () float64"""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric  # imports for seconds

    one, other = (tuple(part.to(device) for part in moments(features(seed, rows, dim))) for seed in (1, 2))
    (m1, C1), (m2, C2) = ([part.cpu().numpy() for part in side] for side in (one, other))

    def sqrtm() -> Tensor:
        root = scipy.linalg.sqrtm(C1 @ C2)
        return torch.tensor(((m1 - m2) ** 2).sum() + np.trace(C1 + C2 - 2 * root.real))

    def fidelity() -> Tensor:
        found = fid_statistics_to_metric({"mu": m1, "sigma": C1}, {"mu": m2, "sigma": C2}, verbose=False)
        return torch.tensor(found[KEY_METRIC_FID], dtype=torch.float64)

    return {OURS: lambda: frechet_distance(*one, *other).cpu(), FIDELITY: fidelity, SQRTM: sqrtm}


def random_inception(folder: Path, seed: int = 0) -> str:
    """Random weights in torch-fidelity's own format, under the name of the real ones' file in that folder; -> its sha256."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # imports for seconds

    class Blank(FeatureExtractorInceptionV3):
        """torch-fidelity's graph with the values it is built with, for it insists on a file and would read it."""

        def load_state_dict(self, *_: object, **__: object) -> None:
            """The state stays."""

    def noise(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / inception.FILE
    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        graph = Blank("blank", ["2048"], feature_extractor_weights_path=str(path))
    for module in graph.modules():
        if isinstance(module, nn.Conv2d):  # or activations would shrink from layer to layer
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=noise(seed))
        if isinstance(module, nn.BatchNorm2d):  # as training leaves them
            for name, low, high in (("weight", 0.7, 1.4), ("bias", -0.3, 0.3), ("running_mean", -0.3, 0.3)):
                nn.init.uniform_(module.state_dict()[name], low, high, generator=noise(seed))
            nn.init.uniform_(module.state_dict()["running_var"], 0.5, 1.5, generator=noise(seed + 1))
    torch.save(graph.state_dict(), path)
    return verified(path, None)


def networks(images: Tensor, compiled: bool) -> dict[str, Implementation]:
    """Inception's features of those images by each implementation.   (B, 3, H, W) uint8 -> each (B, 2048) float32"""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # imports for seconds

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        expected = random_inception(folder)
        theirs = FeatureExtractorInceptionV3("plain", ["2048"], feature_extractor_weights_path=str(folder / inception.FILE))
        ours = inception.inception(folder, images.device, expected)
    theirs.to(images.device)
    forms: dict[str, Callable[[Tensor], Tensor]] = {FIDELITY: lambda x: theirs(x)[0], FOLDED: ours.rows}
    if compiled and ours.compiled:
        forms[COMPILED] = ours.compiled
    return {name: partial(torch.no_grad()(form), images) for name, form in forms.items()}


def of_distances(sizes: Sizes, device: torch.device) -> Comparison:
    """Of Fréchet distances."""
    return Comparison(
        f"Fréchet distance at {sizes.dim:,} dimensions",
        f"Of means and covariances, in float64, of {sizes.rows:,} synthetic correlated rows; torch-fidelity and scipy compute on the CPU.",
        distances(sizes.rows, sizes.dim, device),
        OURS,
        sizes.slow_rounds,
    )


def of_networks(sizes: Sizes, device: torch.device) -> Comparison:
    """Of Inception's features."""
    images = torch.randint(0, 256, (sizes.images, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Comparison(
        f"Inception features of {sizes.images} images of 64×64",
        "Layer 2048, float32, enlarged to 299×299 within the network. Weights are random: the operations are the same, and nothing need be "
        "downloaded. Folded: batch norms in the convolutions, channels last. Compiled: that by "
        "torch.compile, as for sets of 3,000 images and more; the minute or two of compiling is not counted, and where there is no "
        "compiler it is the folded network.",
        networks(images.to(device), sizes.compiled),
        FIDELITY,
        sizes.rounds,
        sizes.images,
    )


def of_reading(sizes: Sizes, device: torch.device, folder: Path) -> Comparison:
    """Of epochs of batches; files go into `folder`."""
    epochs = reading.epochs(folder, sizes.files, device)
    return Comparison(
        f"An epoch of {sizes.files:,} CelebA-like images",
        f"Shuffled batches of {reading.BATCH}, 3×64×64, float32 in [0, 1]. The DataLoader decodes, crops and resizes synthetic JPEGs of "
        f"178×218, a process for each core ({cores()}); packed images are uint8. Files have been read before: no disk is waited for.",
        {name: partial(drain, epoch) for name, epoch in epochs.items()},
        reading.DECODED,
        sizes.rounds,
        sizes.files,
    )


def drain(epoch: reading.Epoch) -> None:
    """Take all batches, holding one at a time."""
    deque(epoch(), maxlen=0)


def evaluation(sizes: Sizes, device: torch.device, threads: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """All comparisons, as JSON has them; numpy's and scipy's own threads are as many as torch's."""
    started, found = time.monotonic(), list[dict[str, Any]]()
    with threadpool_limits(threads, user_api="blas"), tempfile.TemporaryDirectory() as folder:
        makers: dict[str, Callable[[], Comparison]] = {
            "Fréchet distances": partial(of_distances, sizes, device),
            "Inception features": partial(of_networks, sizes, device),
            "reading images": partial(of_reading, sizes, device, Path(folder)),
        }
        for what, make in makers.items():
            tell(f"evaluation: {what}")
            found.append(make().measured(device))
    versions = {name: version(name) for name in ("torch-fidelity", "scipy", "pillow")}
    return {"versions": versions, "comparisons": found, "seconds": time.monotonic() - started}
