"""Whether samples are copies of training images: distances to the nearest training image, against those of test images.

Meehan et al., "A Non-Parametric Test to Detect Data-Copying in Generative Models", arXiv:2004.05675, section 3; VCAE Fig. 7; SPEC F12:

    data copying   P( d(sample) < d(test image) ),   d the Euclidean distance to the nearest training image

is ½ for samples that are as far from the training images as new images are, towards 1 for copies and for blur, towards 0 for
samples that are like no image. Distances are those of pixels.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from metrics.finite import or_nan
from metrics.metric import Metric

IMAGES = 1000  # of samples and of test images


def nearest(queries: Tensor, batches: Iterable[Tensor]) -> Tensor:
    """Euclidean distance of each query to the nearest row of any batch, float64; NaN where a row is not finite.

    (N, F), batches of (B, F) -> (N,)

    The nearest row is found from the expanded square; its distance is that of the differences, so that a copy is at 0.
    """
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64, device=queries.device)
    centre = queries.mean(0, dtype=torch.float64)
    near = (queries - centre).to(queries.dtype)
    for batch in batches:
        moved = (batch - centre).to(batch.dtype)  # small numbers, of which the expanded square loses least
        index = (moved.square().sum(1) - 2 * near @ moved.T).argmin(1)
        distance = (queries - batch[index]).double().norm(dim=1)
        best = torch.minimum(best, or_nan(distance, queries, batch))  # argmin would pass over infinite rows
    return best


def data_copying(samples: Tensor, test: Tensor) -> float:
    """Share of the pairs in which the sample is nearer to its training image than the test image to its own; ties count half.

    (N,), (M,) distances -> value; NaN where one is not finite
    """
    if not (samples.isfinite().all() and test.isfinite().all()):
        return math.nan  # which a search among sorted values would place somewhere
    samples, test = samples.contiguous(), test.sort().values
    nearer = len(test) - torch.searchsorted(test, samples, right=True)
    tied = len(test) - torch.searchsorted(test, samples) - nearer
    return float((nearer + 0.5 * tied).double().mean() / len(test))


WORDS = f"nearest of all training images, pixels (area-averaged to at most 32×32), up to {IMAGES} random"
KINDS = {
    "pz": ("samples.nearest", "decoded prior draws"),
    "qz": ("density_samples.nearest", "decoded draws of the density fitted to its codes"),
}
METRICS = [
    Metric(
        name="nn_distance_{held_out}",
        fn=lambda distances: distances.mean(),
        needs=("test.nearest",),
        protocol=f"mean Euclidean distance to the {WORDS} {{held_out}} images",
        source="SPEC F12",
        group="reference",
    ),
    *(
        Metric(
            name=f"nn_distance_{suffix}",
            fn=lambda distances: distances.mean(),
            needs=(view,),
            protocol=f"mean Euclidean distance to the {WORDS} {words}; good near nn_distance_{{held_out}}",
            source="VCAE Fig. 7; SPEC F12",
            group="generalisation",
        )
        for suffix, (view, words) in KINDS.items()
    ),
    *(
        Metric(
            name=f"data_copying_{suffix}",
            fn=data_copying,
            needs=(view, "test.nearest"),
            protocol=(
                "share of pairs in which the sample is nearer than the {held_out} image: "
                f"{WORDS} {words} and {{held_out}} images; good near ½"
            ),
            source="arXiv:2004.05675 section 3",
            group="generalisation",
            bias="none: a share of pairs; ½ where samples are as near the training images as {held_out} images are",
        )
        for suffix, (view, words) in KINDS.items()
    ),
]
