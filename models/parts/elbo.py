"""The regularisers of a VAE's bound: the KL, or its two terms apart for priors whose cross-entropy has no closed form.

Lin & Clark, "LaDDer: Latent Data Distribution Modelling with a Generative Prior", arXiv:2009.00088, Eq. 2; SPEC 1.8:

    -L(x) = -E log p(x|z)   -   H[q(z|x)]   -   E_{q(z|x)} log p(z),      H[q(z|x)] = ½ d log 2πe + Σ_k log σ_k,      nats per image
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from metrics.latent import has_closed_form
from models.interfaces import Draw, Prior
from models.parts.posterior import standard_normal_like

LOG_2PI = math.log(2 * math.pi)


def entropy(draw: Draw) -> Tensor:
    """H[q(z|x)] of a diagonal Gaussian, nats.   -> (B,)"""
    assert draw.log_variance is not None
    return 0.5 * (draw.log_variance + LOG_2PI + 1).sum(1)


def log_q(draw: Draw) -> Tensor:
    """log q(z|x) of a diagonal Gaussian at the draw, nats.   -> (B,)"""
    assert draw.log_variance is not None
    return -0.5 * ((draw.z - draw.mean).square() * (-draw.log_variance).exp() + draw.log_variance + LOG_2PI).sum(1)


def monte_carlo(log_prob: Callable[[Tensor], Tensor], draw: Draw, samples: int) -> Tensor:
    """E_{q(z|x)} log p(z) by so many draws of q(z|x), nats.   -> (B,)"""
    assert draw.log_variance is not None
    mean, std = (values.expand(samples, -1, -1) for values in (draw.mean, (0.5 * draw.log_variance).exp()))
    z = mean + std * standard_normal_like(mean, draw.noise)  # (S, B, D)
    return log_prob(z.flatten(0, 1)).unflatten(0, (samples, -1)).mean(0)


@dataclass(frozen=True)
class KL:
    """Mean over the batch of KL(q(z|x) || p(z)), nats per image (SPEC 0.1), p(z) the method's prior.

    In closed form where the prior has one for a diagonal Gaussian q; else log q(z|x) - log p(z) at the draw, which has the same mean.
    """

    capturable = True
    name = "kl"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert prior is not None
        if draw.log_variance is None:
            assert draw.log_q is not None
            return (draw.log_q - prior.log_prob(draw.z)).mean()
        if has_closed_form(prior, "gaussian_kl"):
            kl: Tensor = cast(Any, prior).gaussian_kl(draw.mean, draw.log_variance)
            return kl.mean()
        return (log_q(draw) - prior.log_prob(draw.z)).mean()

    def __str__(self) -> str:
        return "KL"


@dataclass(frozen=True)
class Entropy:
    """Batch mean of H[q(z|x)]: a recipe gives it the weight -1."""

    capturable = True
    name = "entropy"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        return entropy(draw).mean()

    def __str__(self) -> str:
        return "entropy"


@dataclass(frozen=True)
class CrossEntropy:
    """Batch mean of -E_{q(z|x)} log p(z): as the prior knows it, in closed form, by draws or as a bound; else at the draw itself."""

    capturable = True
    name = "cross_entropy"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert prior is not None
        if has_closed_form(prior, "expected_log_prob"):
            expected: Tensor = cast(Any, prior).expected_log_prob(draw)
            return -expected.mean()
        return -prior.log_prob(draw.z).mean()

    def __str__(self) -> str:
        return "cross-entropy"
