"""What a trained model says of images in nats: bounds of log p(x) with all constants, the distortion, and how many latents it uses.

Kingma & Welling, arXiv:1312.6114, Eq. 3; Burda et al., "Importance Weighted Autoencoders", arXiv:1509.00519, Eq. 8, section 4;
Alemi et al., "Fixing a Broken ELBO", arXiv:1711.00464, section 2; SPEC 1.8, 5.1, 5.8:

    ELBO        E_{q(z|x)} log p(x|z)  -  E [log q(z|x) - log p(z)]   =  -(distortion + rate)
    L_K         E log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x),             ELBO <= L_K <= log p(x)

A Bernoulli, a Gaussian and a Laplace likelihood are different kinds of number and have metrics of their own (SPEC T37).
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metrics.aggregate_posterior import LOG_2PI, mean_log_q
from metrics.finite import require_finite
from metrics.latent import Codes
from metrics.metric import Metric, Unavailable

IMPORTANCE = 50  # K
IMAGES = 1000  # of the importance-weighted bound
ACTIVE = 0.01  # variance of a mean code above which a latent is used

KINDS = {
    "bernoulli": "real-valued targets as they are, no normalising constant for them",
    "gaussian": "with D/2 log 2πσ_G²",
    "laplace": "with D log 2b, b = max(|b'|, mean absolute error on training images)",
}


class OfKind(NamedTuple):
    """Numbers under one kind of likelihood."""

    kind: str
    values: Tensor

    def under(self, kind: str) -> Tensor:
        """The numbers; Unavailable if they are of another kind."""
        if self.kind != kind:
            raise Unavailable(f"its likelihood is {self.kind}")
        return self.values


def likelihood_of(method: Any) -> str:
    """The kind of the method's p(x|z); Unavailable if it has none."""
    kind: str | None = getattr(method, "likelihood", None)
    if kind is None:
        raise Unavailable("its cost is no likelihood")
    return kind


def log_likelihoods(method: Any, batches: Iterable[Tensor], codes: Codes) -> OfKind:
    """log p(x|z) at the codes' draws, nats, float64.   batches of (B, C, H, W) -> (N,)"""
    kind, start, parts = likelihood_of(method), 0, list[Tensor]()
    for x in batches:
        parts.append(method.log_likelihood(x, codes.z[start : start + len(x)]).double())
        start += len(x)
    return OfKind(kind, torch.cat(parts))


def log_weights(method: Any, prior: Any, batches: Iterable[Tensor], noise: torch.Generator, draws: int = IMPORTANCE) -> OfKind:
    """log p(x|z_k) p(z_k) / q(z_k|x) of so many draws of q(z|x) each, nats, float64.   batches of (B, C, H, W) -> (N, K)

    A prior with latents t of its own is drawn from jointly, p(z|t) p(t) / q(t|z) instead of p(z): L_K is a bound all the same.
    """
    kind = likelihood_of(method)
    if not hasattr(prior, "log_prob"):
        raise Unavailable("its prior has draws but no density")
    images = list(batches)
    columns = [torch.cat([log_weight(method, prior, x, noise) for x in images]) for _ in range(draws)]  # batches do not order the noise
    return OfKind(kind, torch.stack(columns, 1))


def log_weight(method: Any, prior: Any, x: Tensor, noise: torch.Generator) -> Tensor:
    """Of one draw, float64.   (B, C, H, W) -> (B,)"""
    draw = method.draw(x, noise)
    joint = hasattr(prior, "importance_log_prob")
    log_prior = prior.importance_log_prob(draw.z, 1, noise) if joint else prior.log_prob(draw.z)
    log_likelihood: Tensor = method.log_likelihood(x, draw.z)
    return log_likelihood.double() + log_prior.double() - log_q(draw)


def log_q(draw: Any) -> Tensor:
    """log q(z|x) at the draw, nats, float64; Unavailable for a q without a density.   -> (B,)"""
    if draw.log_variance is not None:
        squared = (draw.z - draw.mean).double().square() * (-draw.log_variance.double()).exp()
        value: Tensor = -0.5 * (squared + draw.log_variance.double() + LOG_2PI).sum(1)
        return value
    return mean_log_q(Codes(draw.z, draw.mean, None, getattr(draw, "log_q", None)))


def importance_bound(log_w: Tensor) -> Tensor:
    """Mean over images of log 1/K Σ_k w_k (Burda et al., Eq. 8).   (N, K) -> ()"""
    return (log_w.logsumexp(1) - math.log(log_w.shape[1])).mean()


def elbo(log_likelihood: Tensor, codes: Codes, log_prior: Tensor) -> Tensor:
    """Mean over images of log p(x|z) - [E log q(z|x) - E log p(z)], nats.   (N,), codes, (N,) -> ()"""
    return (log_likelihood - mean_log_q(codes) + log_prior).mean()


def active_units(mean: Tensor, threshold: float = ACTIVE) -> int:
    """Latents u with Var_x(E_q[u|x]) > threshold (Burda et al., section 4); Unavailable of codes that are not finite.   (N, D) -> count"""
    require_finite("mean codes", mean)
    return int((mean.double().var(0, correction=0) > threshold).sum())


def of_likelihood(kind: str) -> list[Metric]:
    """ELBO, importance-weighted bound and distortion under one kind of likelihood."""
    words = f"{kind} likelihood, {KINDS[kind]}"
    return [
        Metric(
            name=f"elbo_{kind}",
            fn=lambda likelihood, codes, log_prior: elbo(likelihood.under(kind), codes, log_prior),
            needs=("test.log_likelihood", "test.codes", "test.log_prior.lower"),
            protocol=(
                f"{words}; all test images, log p(x|z) at one draw; the KL in closed form, or E log p(z) by 100 draws of a mixture, "
                "or by its bound where the prior has latents of its own, or at the one draw where q(z|x) is no Gaussian"
            ),
            source="arXiv:1312.6114 Eq. 3; SPEC 1.8, 5.8",
            unit="nats",
            better="higher",
            group="likelihood",
            bias="a bound of log p(x): too low by KL(q(z|x) || p(z|x)), and by the gap of the prior's bound where it has one",
        ),
        Metric(
            name=f"iw_bound_{kind}",
            fn=lambda log_w: importance_bound(log_w.under(kind)),
            needs=("test.log_weights",),
            protocol=f"{words}; log 1/K Σ_k w_k, K = {IMPORTANCE} draws of q(z|x), up to {IMAGES} random test images; in the mean too low",
            source="arXiv:1509.00519 Eq. 8",
            unit="nats",
            better="higher",
            group="likelihood",
            bias="a bound of log p(x): too low in the mean, less with more draws",
        ),
        Metric(
            name=f"distortion_{kind}",
            fn=lambda likelihood: -likelihood.under(kind).mean(),
            needs=("test.log_likelihood",),
            protocol=f"-E log p(x|z), {words}; all test images, one draw",
            source="arXiv:1711.00464 section 2",
            unit="nats",
            better="lower",
            group="likelihood",
            bias="none: a mean over one draw an image",
        ),
    ]


METRICS = [
    *(metric for kind in KINDS for metric in of_likelihood(kind)),
    Metric(
        name="active_units",
        fn=lambda codes: active_units(codes.mean),
        needs=("test.codes",),
        protocol=f"latents whose mean code has a variance above {ACTIVE:g} over all test images, divisor 1/N",
        source="arXiv:1509.00519 section 4",
        group="latent",
    ),
]
