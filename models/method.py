"""What every method is made of, and how it is put together (SPEC 1.1). Images have values in [0, 1], signals any.

    loss(x) = E_{q(z|x)} [ c(x, G(z)) ]  +  Σ_i λ_i R_i(q, z, p)

A paper chooses four things: the posterior q(z|x), the cost c, the regularisers R_i and the prior p(z). The harness uses four
functions of a method and nothing else: `players`, `draw`, `decode`, `sample`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from metrics.latent import Channel, has_closed_form
from models.assembly import check_hooks, checked_parts, described, why_eager
from models.interfaces import Cost, Draw, Likelihood, Part, Player, Posterior, Prior, Regulariser
from models.networks.network import Levels, Network
from models.parts.precision import losses_in_float32, run_network
from models.parts.schedule import Schedule, Weight


def truncated_normal_like(x: Tensor, noise: torch.Generator) -> Tensor:
    """N(0, 1) cut off at ±2, by its quantiles.   (B, ...) -> (B, ...)"""
    tail = 0.5 * math.erfc(math.sqrt(2))
    u = torch.rand(x.shape, generator=noise, device=x.device, dtype=x.dtype)
    return torch.special.ndtri(tail + (1 - 2 * tail) * u)


@dataclass(frozen=True)
class Recipe:
    """A method, as the choices its paper makes. The suite adds networks, data and budget."""

    posterior: Posterior
    cost: Cost
    regularisers: tuple[tuple[Weight, Regulariser], ...]  # (λ, R)
    prior: Prior | None  # None: it samples only once a density has been fitted to its codes (SPEC T45)
    target_variance: float | None = None  # Σ_k Var(z_k) that the recipe aims at, noise included; None where it aims at none
    clip: float | None = None  # every gradient value of the autoencoder's player is clipped to [-clip, clip]
    input_noise: float = 0.0  # deviation of the noise that the encoder's images get in training
    pretraining: object | None = None  # a part with `training_begins`

    def on_reals(self) -> "Recipe":
        """The same for signals, whose values are any real numbers; ValueError where the cost is one of values in [0, 1] alone."""
        if not hasattr(self.cost, "on_reals"):
            raise ValueError(f"cost {self.cost} does not say what it is on real values (a method on_reals)")
        return replace(self, cost=self.cost.on_reals())

    def assemble(self, shape: tuple[int, int, int], dim: int, network: Network) -> "AutoEncoder":
        """The method, with networks for images of that shape; ValueError where they do not fit."""
        parts: tuple[object, ...] = (self.posterior, self.cost, self.prior, *(regulariser for _, regulariser in self.regularisers))
        for part in parts:
            check_hooks(part)
            if hasattr(part, "build"):
                part.build(shape)  # one that looks at images, and gets its parameters only now
        encoder, decoder = network(shape, dim, self.posterior.outputs)
        if isinstance(encoder, Levels):
            raise ValueError(f"network {network.__name__!r} is hierarchical; only stacked methods take it")
        return checked_parts(AutoEncoder(self, encoder, decoder, dim), shape)

    def description(self) -> dict[str, str]:
        """The recipe as a row of SPEC 1.1's table has it."""
        regularisers = ", ".join(f"{shown(weight)} × {described(regulariser)}" for weight, regulariser in self.regularisers)
        noise = [f"input noise {self.input_noise:g}"] if self.input_noise > 0 else []
        pretraining = [] if self.pretraining is None else [described(self.pretraining)]
        return {
            "posterior": ", ".join([described(self.posterior), *noise, *pretraining]),
            "cost": described(self.cost),
            "regularisers": regularisers or "none",
            "prior": "none" if self.prior is None else described(self.prior),
        }


def trained(player: Player) -> Player:
    """The player with those of its parameters that require a gradient, its terms in float32 though networks run in bfloat16."""

    def terms(x: Tensor, noise: torch.Generator) -> Mapping[str, Tensor]:
        with losses_in_float32(x.device):
            return player.terms(x, noise)

    return replace(player, parameters=tuple(p for p in player.parameters if p.requires_grad), terms=terms)


def shown(weight: Weight) -> str:
    """λ as a row of the table of methods has it."""
    return str(weight) if isinstance(weight, Schedule) else f"{weight:g}"


class Assembled(nn.Module):
    """A recipe with its networks, and the players that train them: what an autoencoder and a stack of them share."""

    scheduled: Tensor  # (regularisers,) λ of this step, where one of them is a schedule

    def __init__(self, recipe: Recipe, dim: int, **networks: nn.Module):
        super().__init__()
        names = ["loss", "reconstruction", *(regulariser.name for _, regulariser in recipe.regularisers)]
        if len(set(names)) < len(names):
            raise ValueError(f"terms need names of their own, not {', '.join(names)}")
        self.recipe, self.dim = recipe, dim
        for name, network in networks.items():
            self.add_module(name, network)
        alone = (recipe.posterior, recipe.cost, recipe.prior, recipe.pretraining)
        self.weighted_parts: list[tuple[Weight, object]] = [(1.0, part) for part in alone]
        self.weighted_parts += list(recipe.regularisers)
        if any(isinstance(weight, Schedule) for weight, _ in recipe.regularisers):
            self.register_buffer("scheduled", torch.zeros(len(recipe.regularisers)))
            self.step_begins(0, 1)
        self.parts = nn.ModuleList(part for _, part in self.weighted_parts if isinstance(part, nn.Module))
        for _, part in self.weighted_parts:
            if hasattr(part, "bind"):
                part.bind(self)  # one that looks at the encoder, as a VampPrior does

    @property
    def prior(self) -> Prior | None:
        """p(z), if the method has one."""
        return self.recipe.prior

    @property
    def channel(self) -> Channel:
        """The encoder as an additive Gaussian channel (SPEC 1.5)."""
        return Channel(self.dim, self.recipe.posterior.variance, self.recipe.target_variance, getattr(self.recipe.posterior, "bits", None))

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """One draw of q(z|x) per image.   (B, C, H, W) -> Draw"""
        raise NotImplementedError

    @torch.no_grad()
    def draw_without_gradient(self, x: Tensor, noise: torch.Generator) -> Draw:
        """The same for players that must not reach the encoder.   (B, C, H, W) -> Draw"""
        return self.draw(x, noise)

    def raw(self, z: Tensor) -> Tensor:
        """What the decoder makes of a code, before the cost's link.   (B, D) -> (B, C, H, W)"""
        raise NotImplementedError

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """The named terms of the objective, batch means; "loss" is their sum.   (B, C, H, W) -> of ()"""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """The image that a code stands for.   (B, D) -> (B, C, H, W)"""
        return self.recipe.cost.image(self.raw(z))

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        """n images from the prior, None for a method without one.   -> (n, C, H, W)"""
        return None if self.recipe.prior is None else self.decode(self.recipe.prior.sample(n, noise))

    def weight(self, i: int) -> float | Tensor:
        """λ of a regulariser: a number, or of a schedule what it is at this step.   -> ()"""
        weight = self.recipe.regularisers[i][0]
        return self.scheduled[i] if isinstance(weight, Schedule) else weight

    def moving_weights(self) -> dict[str, Tensor]:
        """The weights that follow a schedule, for the training curve."""
        regularisers = enumerate(self.recipe.regularisers)
        return {f"{part.name}_weight": self.scheduled[i].clone() for i, (weight, part) in regularisers if isinstance(weight, Schedule)}

    def step_begins(self, step: int, per_epoch: int) -> None:
        """Moves the weights that follow a schedule, in their tensor: an eager step and a recorded one read the same."""
        for i, (weight, _) in enumerate(self.recipe.regularisers):
            if isinstance(weight, Schedule):
                self.scheduled[i].fill_(weight.at(step, per_epoch))

    def players(self) -> list[Player]:
        """Those before the autoencoder (the critic of WAE Algorithm 1), the autoencoder, those after it.

        Their parameters are disjoint, and are all that require a gradient: a frozen network is nobody's.
        """
        alone = len(self.weighted_parts) - len(self.recipe.regularisers)
        weights = [1.0] * alone + [self.weight(i) for i in range(len(self.recipe.regularisers))]
        parts = [(weight, cast(Part, part)) for weight, (_, part) in zip(weights, self.weighted_parts, strict=True)]
        others = [trained(player) for weight, part in parts if hasattr(part, "players") for player in part.players(self, weight)]
        theirs = {id(p) for player in others for p in player.parameters}
        left = tuple(p for p in self.parameters() if id(p) not in theirs)
        own = trained(Player("autoencoder", left, self.terms, clip=self.recipe.clip))
        return [*(p for p in others if p.before), own, *(p for p in others if not p.before)]

    def why_eager(self) -> str | None:
        """Why steps may not be recorded as a CUDA graph; None where every part declares that they may."""
        parts = [part for _, part in self.weighted_parts if part is not None]
        if any(hasattr(part, "epoch_ended") for part in parts):
            return "a part of the method is fitted between epochs"
        return why_eager([*parts, self])

    def run_hook(self, event: str, epoch: int, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Calls the hook of that name of every part that has it: training_begins, epoch_ended (so many epochs), training_ended.

        draw_images(n) gives up to n training images, (n, C, H, W).
        """
        for _, part in self.weighted_parts:
            if hasattr(part, event):
                getattr(part, event)(epoch, self, draw_images, noise)


class AutoEncoder(Assembled):
    """x -> q(z|x) -> z -> x̂."""

    capturable = True
    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, recipe: Recipe, encoder: nn.Module, decoder: nn.Module, dim: int):
        super().__init__(recipe, dim, encoder=encoder, decoder=decoder)

    @property
    def likelihood(self) -> str | None:
        """The kind of p(x|z); None where the cost is no likelihood."""
        return getattr(self.recipe.cost, "likelihood", None)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) with all constants, nats, where `likelihood` says that there is one.   (B, C, H, W), (B, D) -> (B,)"""
        return cast(Likelihood, self.recipe.cost).log_likelihood(x, self.raw(z))

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """One draw of q(z|x) per image.   (B, C, H, W) -> Draw"""
        std = self.recipe.input_noise if self.training else 0.0
        seen = x + std * truncated_normal_like(x, noise) if std else x
        with losses_in_float32(x.device):
            return replace(self.recipe.posterior(run_network(self.encoder, seen), noise), x=x, decoder=self.raw)

    def raw(self, z: Tensor) -> Tensor:
        """What the decoder makes of a code, before the cost's link.   (B, D) -> (B, C, H, W)"""
        return run_network(self.decoder, z)

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """The named terms of the objective, batch means; "loss" is their sum."""
        with losses_in_float32(x.device):
            draw = self.draw(x, noise)
            y = self.raw(draw.z)
            terms = {"reconstruction": self.recipe.cost(x, y).mean()}
            with record_function("regulariser"):
                for i, (_, regulariser) in enumerate(self.recipe.regularisers):
                    terms[regulariser.name] = self.weight(i) * regulariser(draw, self.recipe.prior)
            return {"loss": torch.stack(list(terms.values())).sum(), **terms, **self.moving_weights(), **self.bound(draw, y)}

    @torch.no_grad()
    def bound(self, draw: Draw, y: Tensor) -> dict[str, Tensor]:
        """For the training curve, what a VAE (AEVB) would minimise at this draw (WiSE-ALE Fig. 6), whatever the method itself does.

        `aevb_kl`: mean KL(q(z|x) || p(z)); `elbo`: mean log p(x|z) less that, nats per image. Nothing of a method whose cost is no
        likelihood, or whose KL has no closed form.   (B, C, H, W) -> of ()
        """
        if self.likelihood is None or draw.x is None or draw.log_variance is None or not has_closed_form(self.prior, "gaussian_kl"):
            return {}
        kl: Tensor = cast(Part, self.prior).gaussian_kl(draw.mean, draw.log_variance).mean()
        return {"aevb_kl": kl, "elbo": cast(Likelihood, self.recipe.cost).log_likelihood(draw.x, y).mean() - kl}
