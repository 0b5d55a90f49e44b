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
from metrics.fixed_subset import subset
from metrics.frechet import distance
from metrics.metric import Metric

CHUNK = 1000  # codes at a time
COMPONENTS, FITTED = 10, 20_000  # of the mixture, and the training codes at most that it is fitted to
FLOOR, STEPS = 1e-6, 1000  # on the diagonals of covariances; of expectation maximisation at most


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


def mixture_draws(codes: Tensor, n: int, noise: torch.Generator) -> Tensor:
    """n draws of the mixture of COMPONENTS fitted to up to FITTED of the codes, from a start by k-means that the generator chooses.

    (N, D) -> (n, D); Unavailable of fewer codes than components
    """
    from sklearn.mixture import GaussianMixture  # a second, for those who ask

    require_rows("codes", codes, COMPONENTS)
    seed = int(torch.randint(2**31, (), generator=noise, device=noise.device))
    em = GaussianMixture(COMPONENTS, reg_covar=FLOOR, max_iter=STEPS, random_state=seed).fit(subset(codes, FITTED).double().cpu().numpy())
    weights, means, covariances = (torch.from_numpy(part).to(codes.device) for part in (em.weights_, em.means_, em.covariances_))
    k = torch.multinomial(weights, n, replacement=True, generator=noise)
    epsilon = torch.randn(n, codes.shape[1], 1, generator=noise, device=codes.device, dtype=torch.float64)
    return (means[k] + (torch.linalg.cholesky(covariances)[k] @ epsilon).squeeze(2)).to(codes.dtype)


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
