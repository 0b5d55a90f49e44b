"""The nouns that methods, the training loop and evaluation share: Draw, Posterior, Cost, Prior, Regulariser, Player, Method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metrics.latent import Channel


@dataclass(frozen=True)
class Draw:
    """One reparameterised draw per image: everything a regulariser may look at."""

    z: Tensor  # (B, D)
    mean: Tensor  # (B, D)
    log_variance: Tensor | None  # (B, D) of a diagonal Gaussian q(z|x); None for any other
    noise: torch.Generator  # where a regulariser takes its own randomness from
    log_q: Tensor | None = None  # (B,) log q(z|x), nats, where the posterior is no diagonal Gaussian but has a density
    x: Tensor | None = None  # (B, C, H, W) the images, once the autoencoder has put them in
    decoder: Callable[[Tensor], Tensor] | None = None  # z -> raw output y, (B, D) -> (B, C, H, W), put in with them


class Posterior(Protocol):
    """Features of an encoder -> a draw of q(z|x).

    One whose codes are discrete has `bits` too, log2 of how many codes there are: what its channel carries at most.
    """

    @property
    def outputs(self) -> int:
        """Encoder outputs per latent."""

    @property
    def variance(self) -> float | None:
        """Of its noise: fixed, 0 for none, None where learned."""

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, outputs·D) -> Draw"""


class Cost(Protocol):
    """c(x, ·) of a decoder's raw output y, summed over an image's values, and the image x̂ that y stands for.

    One that has a form for signals, whose values are any real numbers, gives it by a third method, `on_reals() -> Cost`.
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, C, H, W), (B, C, H, W) -> (B,)"""

    def image(self, y: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)"""


class Likelihood(Cost, Protocol):
    """A cost that is -log p(x|z), but for a constant."""

    likelihood: str  # its kind: bernoulli, gaussian, laplace

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(x|z) with all constants, nats.   (B, C, H, W), (B, C, H, W) -> (B,)"""


class Prior(Protocol):
    """p(z)."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """n draws on the generator's device.   -> (n, D)"""

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""


class Regulariser(Protocol):
    """R(draw, prior) -> ()."""

    @property
    def name(self) -> str:
        """What its term is called."""

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""


@dataclass(frozen=True)
class Player:
    """One optimiser: the parameters it moves and the terms it moves them down; "loss" is the one it minimises."""

    name: str
    parameters: tuple[nn.Parameter, ...]
    terms: Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]  # images, noise -> named scalars
    lr: float | None = None  # None: the suite's
    betas: tuple[float, float] | None = None
    decay: float = 1.0  # its rate's own factor per finished epoch, on top of the suite's schedule
    clip: float | None = None  # every gradient value is clipped to [-clip, clip]
    batches: int = 1  # how many independent batches `terms` is given, one after the other in one tensor
    before: bool = False  # takes its turn before the autoencoder's
    start: int = 0  # epochs before its first turn; until then its terms are only recorded


class Part:
    """Every hook that a posterior, cost, prior, regulariser or pretraining may have; each is optional.

    A part has those that it needs, as methods of these names, with or without this class as its base. A method whose name is
    nearly a hook's is refused when the method is put together. What a part changes from step to step belongs in buffers.

    `capturable = True`, written in the class itself, declares that a step which uses the part may be recorded as a CUDA graph:
    it reads no value on the host, takes randomness from the generators it is given alone, and keeps no state outside tensors.
    """

    capturable: bool = False

    def build(self, shape: tuple[int, int, int]) -> None:
        """Makes parameters that depend on the images; before anything else.   shape: (C, H, W)"""

    def bind(self, method: Any) -> None:
        """Takes what it needs of the whole method, such as the encoder; after all parts were built."""

    def players(self, method: Any, weight: float | Tensor) -> list[Player]:
        """Optimisers of its own, whose parameters are theirs alone.

        weight: λ of a regulariser, () where it follows a schedule; 1 of anything else.
        """
        return []

    def training_begins(self, epoch: int, method: Any, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Before the first step. draw_images(n) gives up to n training images, (n, C, H, W)."""

    def epoch_ended(self, epoch: int, method: Any, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """After each epoch, of which `epoch` have ended."""

    def training_ended(self, epoch: int, method: Any, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """After the last step."""

    def on_reals(self) -> Any:
        """Of a cost: the same for signals, whose values are any real numbers; ValueError where there is no such cost."""

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """Of a prior: E_{q(z|x)} log p(z) of a diagonal Gaussian q, nats.   -> (B,)"""
        raise NotImplementedError

    def mean_log_prob(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Of a prior: E log p(z) in closed form from first and second moments of z, nats.   (B, D), (B, D) -> (B,)"""
        raise NotImplementedError

    def gaussian_kl(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Of a prior: KL(q(z|x) || p(z)) of a diagonal Gaussian q in closed form, nats.   (B, D), (B, D) -> (B,)"""
        raise NotImplementedError

    def importance_log_prob(self, z: Tensor, samples: int, noise: torch.Generator) -> Tensor:
        """Of a prior whose log_prob is a bound: log p(z) by importance sampling, nats.   (B, D) -> (B,)"""
        raise NotImplementedError


HOOKS = tuple(name for name, value in vars(Part).items() if callable(value) and not name.startswith("_"))


class Trainable(Protocol):
    """What the training loop steps and a checkpoint keeps: a method, or a density that is fitted to its codes."""

    def players(self) -> Sequence[Player]:
        """In the order in which they take a step."""

    def why_eager(self) -> str | None:
        """Why its steps may not be recorded as a CUDA graph; None where they may."""

    def step_begins(self, step: int, per_epoch: int) -> None:
        """Sets what changes from step to step, after `step` others; per_epoch: steps of an epoch."""

    def train(self, mode: bool = True) -> Any:
        """Training or evaluation mode."""

    def state_dict(self) -> dict[str, Any]:
        """Every tensor by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Takes over what `state_dict` gave."""


class Method(Trainable, Protocol):
    """What the harness knows of a method: what it measures and draws with, too."""

    dim: int  # D, of a code

    @property
    def prior(self) -> Prior | None:
        """p(z); None for a method that samples only from a density fitted to its codes."""

    @property
    def channel(self) -> Channel:
        """The encoder's noise and the variance aimed at."""

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """One draw of q(z|x) per image.   (B, C, H, W) -> Draw"""

    def decode(self, z: Tensor) -> Tensor:
        """The image that a code stands for.   (B, D) -> (B, C, H, W)"""

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        """n images from the prior, None for a method without one.   -> (n, C, H, W)"""

    def eval(self) -> Any:
        """Evaluation mode."""
