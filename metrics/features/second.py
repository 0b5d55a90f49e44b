"""How good samples would be from any density of the codes: interpolated latents, and a mixture that is fitted to them.

Xu et al., "Making Reconstruction FID Predictive of Diffusion Generation FID", arXiv:2603.05630 (iFID): the midpoint of every test
image's code and the nearest other one's is decoded, and these images are compared with the test images. Ghosh et al., "From Variational
to Deterministic Autoencoders", arXiv:1903.12436, section 4 (ex-post density estimation): ten Gaussians of full covariance are fitted to
the training codes by expectation maximisation, and their draws are decoded. Both exist for every method whose codes are continuous, with
a prior or without.
"""

import torch
from torch import Tensor

from metrics.features import inception
from metrics.features.scores import FRECHET, Family
from metrics.finite import require_rows
from metrics.frechet import distance
from metrics.metric import Metric

CHUNK = 1000  # codes at a time
COMPONENTS, FITTED = 10, 20_000  # of the mixture, and the training codes at most that it is fitted to


def midpoints(codes: Tensor) -> Tensor:
    """Of each code and the nearest other one; Unavailable of a single code.   (N, D) -> (N, D)"""
    require_rows("codes", codes)
    nearest = []
    for start in range(0, len(codes), CHUNK):
        part = codes[start : start + CHUNK].double()
        distances = torch.cdist(part, codes.double(), compute_mode="donot_use_mm_for_euclid_dist")
        here = torch.arange(len(part), device=codes.device)
        distances[here, start + here] = torch.inf
        nearest.append(distances.argmin(1))
    return 0.5 * (codes + codes[torch.cat(nearest)])


KINDS = {
    "interpolated": "decoded midpoints of each {held_out} image's mean code and the nearest other one's",
    "mixture": (
        f"decoded draws of a mixture of {COMPONENTS} Gaussians of full covariance, fitted to up to {FITTED:,} training codes, "
        "one noise draw each"
    ),
}


def frechet(family: Family) -> list[Metric]:
    """Fréchet distances of both sets to the test images, on one network's features."""
    words = "Fréchet distance of {held_out} images and "
    return [
        family.metric(family.frechet_name(kind), distance, ("test.gaussian", f"{kind}.gaussian"), words + against, source)
        for (kind, against), source in zip(KINDS.items(), ("arXiv:2603.05630", f"arXiv:1903.12436 section 4; {FRECHET}"), strict=True)
    ]


FAMILIES = (Family("classifier", "classifier"), Family("pca", "pca"), Family(inception.NAME, "inception"))
METRICS_ON_REQUEST = [metric for family in FAMILIES for metric in frechet(family)]
