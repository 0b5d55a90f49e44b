"""The terms of a VAE's bound apart from each other, for priors whose cross-entropy has no closed form.

Lin & Clark, "LaDDer: Latent Data Distribution Modelling with a Generative Prior", arXiv:2009.00088, Eq. 2; SPEC 1.8:

    -L(x) = |x - x̂|_1 / b + D log 2b   -   H[q(z|x)]   -   E_{q(z|x)} log p(z),           nats per image

    b = max(|b'|, mean |x - x̂|),    H[q(z|x)] = ½ d log 2πe + Σ_k log σ_k

b' is trained by a player of its own. The floor is the scale of highest likelihood, below which b would only lose. The floor of a
density, log p(x|z), is no batch's: it is the mean |x - x̂| over training images at the end of training.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from models.interfaces import Draw, Player, Prior
from models.method import AutoEncoder
from models.parts.posterior import standard_normal_like
from models.parts.prior import StandardNormal

FLOOR = 0.001  # of σ
LOG_2PI = math.log(2 * math.pi)
FLOOR_IMAGES, ENCODED = 10_000, 1000  # at most so many for the floor of b, so many at a time
Head = Literal["relu", "softplus"]
Output = Literal["sigmoid", "relu", "identity"]


@dataclass(frozen=True)
class Adam:
    """How a player of a part is trained; None is the suite's."""

    lr: float | None = None
    decay: float = 1.0  # per epoch, on top of the suite's schedule
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.lr is not None and not self.lr > 0:
            raise ValueError(f"a player's lr must be positive, not {self.lr}")
        if not self.decay > 0:
            raise ValueError(f"a player's decay must be positive, not {self.decay}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be positive, not {self.clip}")


@dataclass(frozen=True)
class StdGaussian:
    """N(μ(x), diag σ(x)²), the network gives μ and what becomes σ: ReLU + 0.001, which may freeze there, or softplus + 0.001."""

    capturable = True
    head: Head = "relu"
    outputs = 2
    variance = None

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, 2D), means then raw deviations -> Draw"""
        mean, raw = features.chunk(2, dim=1)
        std = FLOOR + (raw.relu() if self.head == "relu" else softplus(raw))
        return Draw(mean + std * standard_normal_like(mean, noise), mean, 2 * std.log(), noise)

    def __str__(self) -> str:
        return f"diagonal Gaussian, σ from {self.head}"


class Laplace(nn.Module):
    """-log Π_j Laplace(x_j; x̂_j, b) with a learned b; x̂ is what `output` makes of the decoder's y, clipped only as an image (SPEC T36)."""

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
    def training_ended(self, epoch: int, method: AutoEncoder, some: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Sets the floor; the noise is its own, so that parts fitted after it see the noise they would have seen."""
        was, own = method.training, torch.Generator(noise.device).manual_seed(0)
        method.eval()
        batches = some(FLOOR_IMAGES).split(ENCODED)
        error = [(x - self.prediction(method.decoder(method.draw(x, own).z))).abs().flatten(1).mean(1) for x in batches]
        self.floor.copy_(torch.cat(error).mean())
        method.train(was)

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
                y = method.decoder(method.draw(x, noise).z)
            return {"loss": self(x, y).mean()}

        return [Player("laplace_scale", (self.scale,), terms, lr=self.adam.lr, decay=self.adam.decay, clip=self.adam.clip)]

    def __str__(self) -> str:
        return f"Laplace, learned scale, {self.output}" + ", not clipped" * (self.range != (0, 1))


def entropy(draw: Draw) -> Tensor:
    """H[q(z|x)] of a diagonal Gaussian, nats.   -> (B,)"""
    assert draw.log_variance is not None
    return 0.5 * (draw.log_variance + LOG_2PI + 1).sum(1)


def log_q(draw: Draw) -> Tensor:
    """log q(z|x) of a diagonal Gaussian at the draw, nats.   -> (B,)"""
    assert draw.log_variance is not None
    return -0.5 * ((draw.z - draw.mean).square() * (-draw.log_variance).exp() + draw.log_variance + LOG_2PI).sum(1)


class Expected(Prior, Protocol):
    """A prior that knows its mean log density under a diagonal Gaussian, in closed form, by draws or as a bound."""

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """E_{q(z|x)} log p(z), nats.   -> (B,)"""


class Normal(StandardNormal):
    """N(0, I), with its cross-entropy in closed form."""

    capturable = True

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """-½ d log 2π - ½ Σ_k (μ_k² + σ_k²).   -> (B,)"""
        assert draw.log_variance is not None
        return self.mean_log_prob(draw.mean, draw.log_variance.exp())


def monte_carlo(log_prob: Callable[[Tensor], Tensor], draw: Draw, samples: int) -> Tensor:
    """E_{q(z|x)} log p(z) by so many draws of q(z|x), nats.   -> (B,)"""
    assert draw.log_variance is not None
    mean, std = (values.expand(samples, -1, -1) for values in (draw.mean, (0.5 * draw.log_variance).exp()))
    z = mean + std * standard_normal_like(mean, draw.noise)  # (S, B, D)
    return log_prob(z.flatten(0, 1)).unflatten(0, (samples, -1)).mean(0)


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
    """Batch mean of -E_{q(z|x)} log p(z)."""

    capturable = True
    name = "cross_entropy"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        return -cast(Expected, prior).expected_log_prob(draw).mean()

    def __str__(self) -> str:
        return "cross-entropy"
