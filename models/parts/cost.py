"""Costs c(x, G(z)), summed over an image's values (SPEC 0.1, T1); each also says which image a raw output stands for.

Decoders end in raw outputs y; the image is σ(y), so that Bernoulli costs come from logits. For signals, whose values are any
real numbers, it is y itself. A cost that is a negative log-likelihood
names its kind in `likelihood` and has `log_likelihood`, with all constants; values of different kinds are not compared (SPEC T37).
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from metrics.reconstruction import bernoulli_nll
from metrics.reconstruction import squared_error as sse

Link = Literal["sigmoid", "identity"]
AS_IT_IS: dict[Link, str] = {"sigmoid": "", "identity": ", outputs as they are"}


def linked(link: Link, y: Tensor) -> Tensor:
    """The image of a raw output.   (B, ...) -> (B, ...), in [0, 1] for the sigmoid"""
    return y.sigmoid() if link == "sigmoid" else y


@dataclass(frozen=True)
class SquaredError:
    """SSE(x, σ(y)), or SSE(x, y) (WAE Eq. 4; VCAE Eq. 7)."""

    capturable = True
    link: Link = "sigmoid"

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, ...), (B, ...) -> (B,)"""
        return sse(x, self.image(y))

    def image(self, y: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)"""
        return linked(self.link, y)

    def on_reals(self) -> "SquaredError":
        """The same with outputs as they are."""
        return replace(self, link="identity")

    def __str__(self) -> str:
        return "SSE" + AS_IT_IS[self.link]


@dataclass(frozen=True)
class Gaussian:
    """SSE(x, σ(y)) / 2σ_G², or that of y: the negative log-likelihood of N(G(z), σ_G² I) without its constant (SPEC 1.2)."""

    capturable = True
    variance: float
    link: Link = "sigmoid"
    likelihood = "gaussian"

    def __post_init__(self) -> None:
        if not 0 < self.variance < math.inf:
            raise ValueError(f"decoder_variance must be positive, not {self.variance}")

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, ...), (B, ...) -> (B,) nats, up to a constant"""
        return sse(x, self.image(y)) / (2 * self.variance)

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """-SSE(x, σ(y)) / 2σ_G² - D/2 log 2πσ_G², nats (SPEC 1.2).   (B, ...), (B, ...) -> (B,)"""
        return -self(x, y) - 0.5 * x[0].numel() * math.log(2 * math.pi * self.variance)

    def image(self, y: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)"""
        return linked(self.link, y)

    def on_reals(self) -> "Gaussian":
        """The same with outputs as they are."""
        return replace(self, link="identity")

    def __str__(self) -> str:
        return f"Gaussian, σ_G² = {self.variance:g}" + AS_IT_IS[self.link]


@dataclass(frozen=True)
class Bernoulli:
    """BCE(x, σ(y)) from the logits y, real-valued targets as they are (WAE Eq. 6; SPEC 1.2, T24)."""

    capturable = True
    likelihood = "bernoulli"

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, ...), (B, ...) -> (B,) nats"""
        return bernoulli_nll(x, y)

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """-BCE(x, σ(y)), which has no constant, nats.   (B, ...), (B, ...) -> (B,)"""
        return -self(x, y)

    def image(self, y: Tensor) -> Tensor:
        """(B, ...) -> (B, ...) in [0, 1]"""
        return y.sigmoid()

    def on_reals(self) -> "Bernoulli":
        """There is none: ValueError."""
        raise ValueError("cost Bernoulli needs values in [0, 1]")

    def __str__(self) -> str:
        return "Bernoulli"
