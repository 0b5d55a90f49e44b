"""How the codes' law fits the prior: E log p(z), the rate, and distances between codes and prior draws.

Lin & Clark, "LaDDer", arXiv:2009.00088, section 4.2 and Table 2; Hoffman & Johnson, "ELBO surgery", NIPS workshop 2016; SPEC 5.7:

    cross-entropy   1/N Σ_n E_{q(z|x_n)} log p(z)                     the higher the better, but it grows as q(z|x) narrows
    rate            1/N Σ_n E_{q(z|x_n)} [log q(z|x_n) - log p(z)]    minus (cross-entropy + entropy of q)

log p(z) is exact for N(0, s² I), mixtures and VampPrior. A prior with latents of its own (a hierarchy, LaDDer) has a bound from
below and an importance-weighted estimate, which lies between the bound and log p(z) in the mean; they are metrics of their own.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metrics.divergences import gaussian_kl
from metrics.fixed_subset import subset
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.latent import CHUNK, Codes, has_closed_form
from metrics.metric import Metric, Unavailable

DRAWS = 100  # of q(z|x) for each image
INNER = 100  # importance samples of the prior's own latents for each code
IMAGES = 1000  # of which log p(z) is estimated by importance sampling
DIRECTIONS = 128  # of the sliced distance
LOG_2PI = math.log(2 * math.pi)


def exact_log_prior(prior: Any, codes: Codes, noise: torch.Generator) -> Tensor:
    """E_{q(z|x)} log p(z), nats: in closed form where the prior has `mean_log_prob`, else by DRAWS draws of a Gaussian q; at the
    one draw of any other q. float64.   -> (N,)

    Unavailable for a prior that has no density, or only a bound of one.
    """
    if hasattr(prior, "importance_log_prob"):
        raise Unavailable("its prior has latents of its own: there is a bound of log p(z) and an estimate, no exact value")
    if not hasattr(prior, "log_prob"):
        raise Unavailable("its prior has draws but no density")
    if codes.log_variance is None:
        return chunked(prior.log_prob, codes.z)
    if has_closed_form(prior, "mean_log_prob"):
        closed: Tensor = prior.mean_log_prob(codes.mean.double(), codes.log_variance.double().exp())
        return closed
    std = (0.5 * codes.log_variance).exp()
    total = torch.zeros(len(std), dtype=torch.float64, device=std.device)
    for _ in range(DRAWS):  # the noise of a draw is that of all images, so that chunks do not change it
        epsilon = torch.randn(std.shape, generator=noise, device=std.device, dtype=std.dtype)
        total += chunked(prior.log_prob, codes.mean + std * epsilon)
    return total / DRAWS


def bound_log_prior(prior: Any, codes: Codes) -> Tensor:
    """A bound from below of log p(z) at the codes, one draw of the prior's own latents, nats, float64.   -> (N,)"""
    nested(prior)
    return chunked(prior.log_prob, codes.z)


def weighted_log_prior(prior: Any, codes: Codes, noise: torch.Generator) -> Tensor:
    """log 1/K Σ_k p(z|t_k) p(t_k) / q(t_k|z), K = INNER, at IMAGES of the codes, nats, float64.   -> (n,)"""
    nested(prior)
    return chunked(lambda z: prior.importance_log_prob(z, INNER, noise), subset(codes.z, IMAGES))


def nested(prior: Any) -> None:
    """Unavailable for a prior without latents of its own."""
    if not hasattr(prior, "importance_log_prob"):
        raise Unavailable("its prior has no latents of its own: see the exact value, if it has a density")


def chunked(log_prob: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """float64, CHUNK codes at a time.   (N, D) -> (N,)"""
    return torch.cat([log_prob(part).double() for part in z.split(CHUNK)])


def mean_log_q(codes: Codes) -> Tensor:
    """E_{q(z|x)} log q(z|x), minus the entropy, in closed form for a Gaussian; log q at the draw for another density; nats, float64.

    -> (N,)
    """
    if codes.log_variance is not None:
        return -0.5 * (codes.log_variance.double() + LOG_2PI + 1).sum(1)
    if codes.log_q is None:
        raise Unavailable("q(z|x) has no density")
    return codes.log_q.double()


def rate(codes: Codes, log_prior: Tensor) -> Tensor:
    """E log q(z|x) - E log p(z) over the images that log_prior has; nats.   -> ()"""
    return (subset(mean_log_q(codes), len(log_prior)) - log_prior).mean()


def kl_sample(codes: Codes) -> Tensor:
    """Mean KL(q(z|x) || N(0, I)), nats per image (WiSE-ALE Eq. 26).   -> ()"""
    if codes.log_variance is None:
        raise Unavailable("q(z|x) is no diagonal Gaussian")
    return gaussian_kl(codes.mean.double(), codes.log_variance.double()).mean()


def sliced_wasserstein(p: Tensor, q: Tensor, directions: Tensor) -> Tensor:
    """(mean over directions of W_2² of the projections)^½, in float64 (Bonneel et al., 2015, J. Math. Imaging Vis. 51).

    (N, D), (N, D), (L, D) of unit length -> ()
    """
    return squared_sliced_wasserstein(p.double(), q.double(), directions.double()).sqrt()


def sliced_to_prior(codes: Codes, prior: Tensor) -> Tensor:
    """Between as many codes as there are prior draws and those.   -> ()"""
    return sliced_wasserstein(subset(codes.z, len(prior)), prior, unit_vectors(DIRECTIONS, prior.shape[1]).to(prior.device))


KINDS = {
    "": (
        "test.log_prior",
        "log p(z) exact; all {held_out} images; N(0, s² I): closed form; "
        f"mixtures: {DRAWS} draws of q(z|x) each (one where q is no Gaussian)",
    ),
    "_bound": ("test.log_prior.bound", "log p(z) replaced by its bound from below, one draw of z and t; all {held_out} images"),
    "_iw": (
        "test.log_prior.weighted",
        f"log p(z) by {INNER} importance samples of t, in the mean too low; up to {IMAGES} random {{held_out}} images, one draw of z each",
    ),
}
BIAS = {  # of log p(z)
    "": "none: the closed form, or a mean over draws",
    "_bound": "a bound: log p(z) too low by KL(q(t|z) || p(t|z)), so the cross-entropy is too low and the rate too high",
    "_iw": "log p(z) too low in the mean, less with more importance samples, so the cross-entropy is too low and the rate too high",
}


def of_kind(suffix: str) -> list[Metric]:
    """Cross-entropy and rate with log p(z) taken in one way."""
    view, words = KINDS[suffix]
    bias = {"": "", "_bound": ": an upper bound", "_iw": ": in the mean too high"}[suffix]
    return [
        Metric(
            name=f"agg_posterior_cross_entropy{suffix}",
            fn=lambda log_prior: log_prior.mean(),
            needs=(view,),
            protocol=f"E log p(z); {words}",
            source="LaDDer Table 2; SPEC 5.7",
            unit="nats",
            better="higher",
            group="aggregate posterior",
            bias=BIAS[suffix],
        ),
        Metric(
            name=f"rate{suffix}",
            fn=rate,
            needs=("test.codes", view),
            protocol=f"E log q(z|x) - E log p(z), minus the entropy-corrected cross-entropy{bias}; {words}",
            source="SPEC 5.7",
            unit="nats",
            group="aggregate posterior",
            bias=BIAS[suffix],
        ),
    ]


METRICS = [
    *(metric for suffix in KINDS for metric in of_kind(suffix)),
    Metric(
        name="kl_sample",
        fn=kl_sample,
        needs=("test.codes",),
        protocol=(
            "mean KL(q(z|x) || N(0, I)) in closed form, all {held_out} images, whatever prior is trained; of a hierarchy its top level"
        ),
        source="WiSE-ALE Eq. 26; SPEC 5.1, 5.8",
        unit="nats",
        group="aggregate posterior",
        bias="none: the closed form; against N(0, I) even where another prior was trained",
    ),
    Metric(
        name="sliced_wasserstein_prior",
        fn=sliced_to_prior,
        needs=("test.codes", "prior.codes"),
        protocol=(
            f"sliced W_2, {DIRECTIONS} seeded directions; up to 10,000 {{held_out}} codes with one noise draw against as many prior draws; "
            "two samples of one law give more than 0, of order (1/n)^½"
        ),
        source="Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3",
        better="lower",
        group="aggregate posterior",
        bias="too high: above 0 even for two samples of one law, by an order of (1/n)^½",
    ),
]
