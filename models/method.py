"""What every method is made of, and the one class that assembles it (SPEC 1.1).

    loss(x) = E_{q(z|x)} [ c(x, G(z)) ]  +  Σ_i λ_i R_i(q, z, p)

A paper chooses four things: the posterior q(z|x), the cost c, the regularisers R_i and the prior p(z). The harness uses four
verbs of a method and nothing else: `players`, `draw`, `decode`, `sample`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from metrics.latent import Channel


@dataclass(frozen=True)
class Draw:
    """One reparameterised draw per image: everything a regulariser may look at."""

    z: Tensor  # (B, D)
    mean: Tensor  # (B, D)
    log_variance: Tensor | None  # (B, D) of q(z|x); None for a deterministic encoder
    noise: torch.Generator  # where a regulariser takes its own randomness from


class Posterior(Protocol):
    """Features of an encoder -> a draw of q(z|x)."""

    @property
    def outputs(self) -> int:
        """Encoder outputs per latent."""

    @property
    def variance(self) -> float | None:
        """Of its noise: fixed, 0 for none, None where learned."""

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, outputs·D) -> Draw"""


class Cost(Protocol):
    """c(x, ·) of a decoder's raw output y, summed over an image's values, and the image x̂ that y stands for."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, C, H, W), (B, C, H, W) -> (B,)"""

    def image(self, y: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)"""


class Prior(Protocol):
    """p(z)."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """n draws on the generator's device.   -> (n, D)"""

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""


class Regulariser(Protocol):
    """R(draw, prior) -> (); one with parameters of its own is a critic (models/critic.py)."""

    @property
    def name(self) -> str:
        """What its term is called."""

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""


class Critic(Protocol):
    """A regulariser with a player of its own."""

    name: str
    lr: float | None  # None: the suite's

    def parameters(self) -> Iterator[nn.Parameter]:
        """What its player moves."""

    def critic_terms(self, draw: Draw, prior: Prior | None) -> Tensor:
        """What its player descends; draw.z carries no gradient.   -> ()"""


@dataclass(frozen=True)
class Recipe:
    """A method, as the choices its paper makes. The suite adds networks, data and budget."""

    posterior: Posterior
    cost: Cost
    regularisers: tuple[tuple[float, Regulariser], ...]  # (λ, R)
    prior: Prior | None  # None: it samples only once a density has been fitted to its codes (SPEC T45)
    power: float | None = None  # Σ_k Var(z_k) that the recipe aims at, noise included; None where it aims at none


@dataclass(frozen=True)
class Player:
    """One optimiser: the parameters it moves and the terms it moves them down; "loss" is the one it minimises."""

    name: str
    parameters: tuple[nn.Parameter, ...]
    terms: Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]  # images in [0, 1], noise -> named scalars
    lr: float | None = None  # None: the suite's
    betas: tuple[float, float] | None = None


class AutoEncoder(nn.Module):
    """x -> q(z|x) -> z -> x̂, with the players that train it."""

    def __init__(self, recipe: Recipe, encoder: nn.Module, decoder: nn.Module, dim: int):
        super().__init__()
        names = ["loss", "reconstruction", *(regulariser.name for _, regulariser in recipe.regularisers)]
        if len(set(names)) < len(names):
            raise ValueError(f"terms need names of their own, not {', '.join(names)}")
        self.recipe, self.encoder, self.decoder, self.dim = recipe, encoder, decoder, dim
        parts: tuple[object, ...] = (recipe.posterior, recipe.cost, recipe.prior, *(r for _, r in recipe.regularisers))
        self.parts = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))

    @property
    def prior(self) -> Prior | None:
        """p(z), if the method has one."""
        return self.recipe.prior

    @property
    def channel(self) -> Channel:
        """The encoder as an additive Gaussian channel (SPEC 1.5)."""
        return Channel(self.dim, self.recipe.posterior.variance, self.recipe.power)

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """One draw of q(z|x) per image.   (B, C, H, W) in [0, 1] -> Draw"""
        return self.recipe.posterior(self.encoder(x), noise)

    def decode(self, z: Tensor) -> Tensor:
        """The image that a code stands for.   (B, D) -> (B, C, H, W)"""
        return self.recipe.cost.image(self.decoder(z))

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        """n images from the prior, None for a method without one.   -> (n, C, H, W)"""
        return None if self.recipe.prior is None else self.decode(self.recipe.prior.sample(n, noise))

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """The named terms of the objective, batch means; "loss" is their sum."""
        draw = self.draw(x, noise)
        terms = {"reconstruction": self.recipe.cost(x, self.decoder(draw.z)).mean()}
        with record_function("regulariser"):
            for weight, regulariser in self.recipe.regularisers:
                terms[regulariser.name] = weight * regulariser(draw, self.recipe.prior)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def players(self) -> list[Player]:
        """Each critic, then the autoencoder: the order of WAE Algorithm 1. Their parameters are disjoint and cover the model."""
        critics = [(weight, cast(Critic, r)) for weight, r in self.recipe.regularisers if hasattr(r, "critic_terms")]
        theirs = {id(p) for _, critic in critics for p in critic.parameters()}
        own = tuple(p for p in self.parameters() if id(p) not in theirs)
        return [*(self._critic(weight, critic) for weight, critic in critics), Player("autoencoder", own, self.terms)]

    def _critic(self, weight: float, critic: Critic) -> Player:
        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            with torch.no_grad():
                draw = self.draw(x, noise)
            return {"loss": weight * critic.critic_terms(draw, self.recipe.prior)}

        return Player(critic.name, tuple(critic.parameters()), terms, lr=critic.lr)
