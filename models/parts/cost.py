"""Costs c(x, G(z)), summed over an image's values (SPEC 0.1, T1); each also says which image a raw output stands for.

Decoders end in raw outputs y; the image is σ(y), so that Bernoulli costs come from logits. For signals, whose values are any
real numbers, it is y itself. A cost that is a negative log-likelihood
names its kind in `likelihood` and has `log_likelihood`, with all constants; values of different kinds are not compared (SPEC T37).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from metrics.reconstruction import bernoulli_nll
from metrics.reconstruction import squared_error as sse
from models.interfaces import Player
from models.method import AutoEncoder
from models.parts.adam import Adam
from models.parts.mode import evaluating

FLOOR_IMAGES, ENCODED = 10_000, 1000  # at most so many for the floor of b, so many at a time
Output = Literal["sigmoid", "relu", "identity"]
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


LikelihoodName = Literal["bernoulli", "gaussian"]


def cost_of(likelihood: LikelihoodName, decoder_variance: float) -> Bernoulli | Gaussian:
    """The likelihood that a suite names; decoder_variance: σ_G² of the Gaussian one."""
    if likelihood not in get_args(LikelihoodName):
        raise ValueError(f"likelihood must be 'bernoulli' or 'gaussian', not {likelihood!r}")
    return Bernoulli() if likelihood == "bernoulli" else Gaussian(decoder_variance)


class Laplace(nn.Module):
    """-log Π_j Laplace(x_j; x̂_j, b) with a learned b (arXiv:2009.00088, Eq. 2; SPEC 1.8):  |x - x̂|_1 / b + D log 2b.

    x̂ is what `output` makes of the decoder's y, clipped only as an image (SPEC T36). b = max(|b'|, mean |x - x̂|): b' is trained by a
    player of its own, and below the scale of highest likelihood b would only lose. The floor of a density, log p(x|z), is no batch's: it
    is the mean |x - x̂| over training images at the end of training.
    """

    capturable = True
    likelihood = "laplace"
    floor: Tensor  # () of b in log p(x|z); 0 until training has ended

    def __init__(self, output: Output = "sigmoid", *, scale: float = 0.5, adam: Adam | None = None):
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"scale must be positive, not {scale}")
        self.output, self.adam, self.range = output, adam or Adam(), (0.0, 1.0)  # range: of an image
        self.scale = nn.Parameter(torch.tensor(scale))  # b'
        self.register_buffer("floor", torch.tensor(0.0))

    def prediction(self, y: Tensor) -> Tensor:
        """x̂ of the likelihood.   (B, ...) -> (B, ...)"""
        return {"sigmoid": torch.sigmoid, "relu": torch.relu, "identity": torch.clone}[self.output](y)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, ...), (B, ...) -> (B,) nats"""
        error = (x - self.prediction(y)).abs().flatten(1)
        b = torch.maximum(self.scale.abs(), error.mean())
        return error.sum(1) / b + error.shape[1] * (2 * b).log()

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x|z) with one b for all images, nats: it does not depend on the batch.   (B, ...), (B, ...) -> (B,)"""
        error = (x - self.prediction(y)).abs().flatten(1)
        b = torch.maximum(self.scale.abs(), self.floor)
        return -error.sum(1) / b - error.shape[1] * (2 * b).log()

    @torch.no_grad()
    def training_ended(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Sets the floor; the noise is its own, so that parts fitted after it see the noise they would have seen."""
        own = torch.Generator(noise.device).manual_seed(0)
        batches = draw_images(FLOOR_IMAGES).split(ENCODED)
        with evaluating(method):
            error = [(x - self.prediction(method.raw(method.draw(x, own).z))).abs().flatten(1).mean(1) for x in batches]
        self.floor.copy_(torch.cat(error).mean())

    def image(self, y: Tensor) -> Tensor:
        """(B, ...) -> (B, ...) in [0, 1]; of signals the prediction itself"""
        return self.prediction(y).clamp(*self.range)

    def on_reals(self) -> "Laplace":
        """The same with outputs as they are, and its scale at the start."""
        other = Laplace("identity", scale=self.scale.item(), adam=self.adam)
        other.range = (-math.inf, math.inf)
        return other

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        """b', after the autoencoder, down the same loss: the other terms do not depend on it."""

        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            with torch.no_grad():
                y = method.raw(method.draw(x, noise).z)
            return {"loss": self(x, y).mean()}

        return [Player("laplace_scale", (self.scale,), terms, **vars(self.adam))]

    def __str__(self) -> str:
        return f"Laplace, learned scale, {self.output}" + ", not clipped" * (self.range != (0, 1))
