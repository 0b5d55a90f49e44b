"""Whether single samples are nearer to training images than any test image is: what a few copies among many good samples change.

The precedence test of Nelson, "Tables for a Precedence Life Test", Technometrics 5 (1963), on distances to the nearest training image.
Of m samples and n test images,

    share     k / m,   k the samples that are nearer to their nearest training image than all test images are to theirs
    P(K ≥ k)  Π_{i<k} (m - i) / (m + n - i)        for samples and test images of one law

It is about 1 / (n + 1) for samples of the law of test images. Other tests of copying compare whole sets of distances (metrics/copies.py).
It is blind where a test image is a training image, too, for nothing is nearer than that.
"""

import torch
from torch import Tensor

from metrics.copies import KINDS, WORDS
from metrics.finite import require_finite
from metrics.metric import Metric


def nearer_than_all(samples: Tensor, test: Tensor) -> Tensor:
    """Share of samples whose distance is below all those of test images.   (m,), (n,) -> ()"""
    require_finite("distances", samples, test)
    return (samples < test.min()).double().mean()


def p_value(samples: Tensor, test: Tensor) -> float:
    """Probability of a share that is as high or higher, of samples and test images of one law.   (m,), (n,) -> value"""
    m, n = len(samples), len(test)
    i = torch.arange(round(float(nearer_than_all(samples, test)) * m), dtype=torch.float64)
    return float(((m - i) / (m + n - i)).prod())


METRICS_ON_REQUEST = [
    Metric(
        name=f"data_copying_nearest_{suffix}",
        fn=nearer_than_all,
        needs=(view.replace(".copies", ".nearest"), "test.nearest"),
        protocol=(
            "share of samples that are nearer to their nearest training image than every {held_out} image is to its own: "
            f"{WORDS} {samples} and {{held_out}} images; copies raise it"
        ),
        source="Nelson, Technometrics 5 (1963)",
        group="generalisation",
        bias=(
            "about 1 / (n + 1) of n {held_out} images without copies; too little variance raises it and noise lowers it; "
            "0 where a {held_out} image is a training image, too"
        ),
    )
    for suffix, (view, samples) in KINDS.items()
]
