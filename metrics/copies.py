"""Tests of whether samples are copies of training images: a z of distances, the same cell by cell, and authenticity.

Meehan et al., "A Non-Parametric Test to Detect Data-Copying in Generative Models", arXiv:2004.05675, section 3, 4; Alaa et al., "How
Faithful is your Synthetic Data?", arXiv:2102.08921, section 3.3. With d the distance to the nearest training image, of m samples and n
test images,

    Z_U            (U - nm/2) / (nm (n + m + 1)/12)^½,     U the pairs in which the sample is farther than the test image, ties half
    C_T            Σ_π P(π) Z_U(π) / Σ_π P(π)              over cells π of the training images, P(π) the share of test images in it
    authenticity   share of samples that are farther from their nearest training image than that one is from its own nearest

Z_U is standard normal where samples are as far from the training images as test images are, and far below 0 for copies; but below it for
samples of too little variance too, and far above it for noise: a z is no proof of either. Of few copies among good samples it moves
little, for it is of all of them. C_T is a mean of Z_U, of a smaller variance than 1. Authenticity has no value of its own for a generator
that copies nothing; that is `authenticity_{held_out}`, the same of test images. docs/copies.md has their power and false alarms where
copies were planted.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from metrics.finite import require_finite
from metrics.metric import Metric, Unavailable
from metrics.neighbours import IMAGES, data_copying

CELLS, FITTED = 10, 10_000  # cells of k-means, and the training images at most that they are fitted to
LEAST = 20  # samples of a cell that counts


class Copies(NamedTuple):
    """How images lie among the training images."""

    distance: Tensor  # (n,) to the nearest training image, float64
    own: Tensor  # (n,) from that one to its nearest other training image, float64
    cell: Tensor  # (n,) the cell that they are in, as float64


def two_nearest(queries: Tensor, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Distances to the two nearest rows of all batches, float64, NaN where any row is not finite; and the nearest row itself.

    (n, F), batches of (B, F) -> (n, 2), (n, F)

    They are found from expanded squares; their distances are those of differences, so that a copy is at 0.
    """
    best = torch.full((len(queries), 2), torch.inf, dtype=torch.float64, device=queries.device)
    rows, finite = queries.clone(), queries.isfinite().all()
    centre = queries.mean(0, dtype=torch.float64)
    near = (queries - centre).to(queries.dtype)
    for batch in batches:
        moved = (batch - centre).to(batch.dtype)
        index = (moved.square().sum(1) - 2 * near @ moved.T).topk(min(2, len(batch)), largest=False).indices
        distance = (queries[:, None] - batch[index]).double().norm(dim=2)
        finite = finite & batch.isfinite().all()
        rows = torch.where((distance[:, 0] < best[:, 0])[:, None], batch[index[:, 0]], rows)
        best = torch.cat([best, distance], 1).sort(1).values[:, :2]
    return torch.where(finite, best, torch.nan), rows


def centres(train: Tensor) -> Tensor:
    """Of cells by k-means from a fixed start.   (N, F) -> (CELLS, F); Unavailable of fewer images"""
    from sklearn.cluster import KMeans  # a second, for those who ask

    if len(train) < CELLS:
        raise Unavailable(f"{len(train)} training images are too few for {CELLS} cells")
    found = KMeans(CELLS, n_init=1, random_state=0).fit(train.double().cpu().numpy()).cluster_centers_
    return torch.from_numpy(found).to(train.device)


def copies(queries: Tensor, batches: Callable[[], Iterable[Tensor]], cells: Tensor) -> Copies:
    """How images lie among the training images; those come twice.   (n, F), -> batches of (B, F), (CELLS, F)"""
    distance, rows = two_nearest(queries, batches())
    own, _ = two_nearest(rows, batches())
    centre = cells.mean(0)  # of small numbers the expanded squares of many rows lose least
    return Copies(distance[:, 0], own[:, 1], torch.cdist(queries.double() - centre, cells - centre).argmin(1).double())


def z_u(samples: Tensor, test: Tensor) -> float:
    """Z_U of distances.   (m,), (n,) -> value"""
    m, n = len(samples), len(test)
    return (0.5 - data_copying(samples, test)) * n * m / math.sqrt(n * m * (n + m + 1) / 12)


def c_t(samples: Copies, test: Copies) -> float:
    """C_T over the cells of LEAST samples or more; Unavailable where none has so many, or such have no test image."""
    require_finite("distances", *samples, *test)
    found = list[tuple[float, float]]()
    for cell in test.cell.unique():
        ours, theirs = samples.distance[samples.cell == cell], test.distance[test.cell == cell]
        if len(ours) >= LEAST:
            found.append((len(theirs) / len(test.cell), z_u(ours, theirs)))
    if not found:
        raise Unavailable(f"no cell with test images has {LEAST} samples")
    return sum(share * z for share, z in found) / sum(share for share, _ in found)


def authenticity(images: Copies) -> Tensor:
    """Share of images that are farther from their nearest training image than that one is from any other.   -> ()"""
    require_finite("distances", *images)
    return (images.distance > images.own).double().mean()


WORDS = f"pixels (area-averaged to at most 32×32), up to {IMAGES} random"
KINDS = {
    "pz": ("samples.copies", "decoded prior draws"),
    "qz": ("density_samples.copies", "decoded draws of the density fitted to its codes"),
}
Z_BIAS = (
    "none where samples are as near the training images as {held_out} images are, N(0, 1) then; "
    "too little variance lowers it and noise raises it"
)


def of(suffix: str) -> list[Metric]:
    """The three tests of one set of samples."""
    view, samples = KINDS[suffix]
    z = Metric(
        name=f"data_copying_z_{suffix}",
        fn=lambda samples, test: z_u(samples.distance, test.distance),
        needs=(view, "test.copies"),
        protocol=(
            f"Z_U of distances to the nearest of all training images: {WORDS} {samples} and {{held_out}} images; copies lie far below 0"
        ),
        source="arXiv:2004.05675 section 3",
        group="generalisation",
        bias=Z_BIAS,
    )
    cells = Metric(
        name=f"data_copying_cells_{suffix}",
        fn=c_t,
        needs=(view, "test.copies"),
        protocol=(
            f"C_T: mean of Z_U over {CELLS} cells by k-means of up to {FITTED:,} training images, seed 0, weighted by {{held_out}} images; "
            f"cells of {LEAST} samples or more; nearest of all training images; {WORDS} {samples} and {{held_out}} images"
        ),
        source="arXiv:2004.05675 section 4",
        group="generalisation",
        bias=f"{Z_BIAS}; its variance is below 1, as that of a mean",
    )
    real = Metric(
        name=f"authenticity_{suffix}",
        fn=authenticity,
        needs=(view,),
        protocol=(
            "share of samples farther from their nearest training image than that one is from any other: "
            f"{WORDS} {samples}; good near authenticity_{{held_out}}"
        ),
        source="arXiv:2102.08921 section 3.3",
        group="generalisation",
        bias=(
            "too little variance lowers it and noise raises it, copies or not; "
            "the value of a generator without copies is authenticity_{held_out}"
        ),
    )
    return [z, cells, real]


METRICS_ON_REQUEST = [
    *(metric for suffix in KINDS for metric in of(suffix)),
    Metric(
        name="authenticity_{held_out}",
        fn=authenticity,
        needs=("test.copies",),
        protocol=f"share of {WORDS} {{held_out}} images farther from their nearest training image than that one is from any other",
        source="arXiv:2102.08921 section 3.3",
        group="reference",
    ),
]
