"""How many different images a set holds, in effect: the Vendi score, on a classifier's features.

Friedman & Dieng, "The Vendi Score", arXiv:2210.02410, Eq. 2, 4:

    exp( -Σ_i λ_i log λ_i ),      λ the eigenvalues of K/n,   K_ij = x_i·x_j / |x_i| |x_j|

It is 1 for n times one image and n for n images at right angles. It sees diversity alone: noise raises it, and it knows of no reference, so
the test images' own score stands beside it. It grows with the number of images; compare at one count.
"""

from dataclasses import replace

import torch
from torch import Tensor

from metrics.features.scores import SAMPLES, Family
from metrics.finite import require_finite

SOURCE = "arXiv:2210.02410 Eq. 4"
BIAS = "too low for the law that the images are drawn from, and less so with more of them; compare at one count"
WORDS = "exp of the entropy of the eigenvalues of the cosine kernel over n, of "


def vendi(rows: Tensor) -> Tensor:
    """1 to n, in float64; Unavailable where rows are not finite. A row of zeros is like no other and not like itself.   (n, F) -> ()"""
    require_finite("rows of features", rows)
    rows = rows.double()
    unit = rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    spectrum = torch.linalg.svdvals(unit).square() / len(rows)  # of K/n, but for zeros
    return torch.special.entr(spectrum).sum().exp()


FAMILY = Family("classifier", "classifier")
METRICS_ON_REQUEST = [
    *(
        FAMILY.metric(f"vendi_classifier_{of}", vendi, (f"{side}.features",), WORDS + words, SOURCE, better="higher", bias=BIAS)
        for of, (side, words) in SAMPLES.items()
    ),
    replace(
        FAMILY.metric("vendi_classifier_{held_out}", vendi, ("test.features",), WORDS + "{held_out} images", SOURCE, bias=BIAS),
        better=None,
        group="reference",
    ),
]
