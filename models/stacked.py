"""StackedWAE, and the WAE with an implicit prior that it is compared with.

Gaujac, Feige, Barber, "Learning Deep-Latent Hierarchies by Stacking Wasserstein Autoencoders", arXiv:2010.03467; SPEC 1.10:

    p(x, z_1..N) = δ(x - f_1(z_1)) Π_{n=2}^N N(z_{n-1}; μ^p_n(z_n), Σ^p_n(z_n)) N(z_N; 0, I)                 (Eq. 1, 25)
    q(z_1..M|x)  = Π_{n=1}^M N(z_n; μ^q_n(z_{n-1}), Σ^q_n(z_{n-1})),   z_0 = x                               (Eq. 2, 25)

    loss = |x - f_1(z_1)|²  +  Σ_{n=1}^{M-1} w_n [ |z_n - μ^p_{n+1}(z_{n+1})|² + tr Σ^p_{n+1}(z_{n+1}) ]
           +  w_M MMD²(Q_M, p(z_M))  +  Σ_{n=1}^M λ^Σ_n Σ_m |log Σ^q_n[m]|                                   (Eq. 14, 17)

The bracket is E |z_n - z̃_n|² over z̃_n ~ p(·|z_{n+1}) in closed form. The papers give w_n = Π_{i≤n} λ_i, not λ_i (SPEC T17).

    stacked_wae    M = N: the divergence at each level is that of a WAE one level up; p(z_N) = N(0, I)
    implicit_wae   M = 1: an ordinary WAE (Eq. 8) whose prior is the law of z_1 under ancestral sampling
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from models.assembly import checked_parts
from models.interfaces import Draw, Prior
from models.method import Assembled, Recipe
from models.networks.network import Levels, Network
from models.parts.cost import SquaredError
from models.parts.posterior import DiagonalGaussian, softplus_variance
from models.parts.precision import losses_in_float32, run_network
from models.parts.prior import StandardNormal
from models.wae import MMD, KernelName
from models.wae_gauss import LogVariancePenalty

RuleName = Literal["mnist", "svhn", "celeba"]
RULES: dict[RuleName, Callable[[float, int, int], float]] = {  # λ_rec, n, d_n -> w_n below the top (B.1, section 3.2)
    "mnist": lambda rec, n, d: rec**n / d,
    "svhn": lambda rec, n, d: rec**n,
    "celeba": lambda rec, n, d: rec ** ((n - 1) / 3 + 1),  # the exponent is a real number (SPEC T18)
}


GAUSSIAN = DiagonalGaussian("softplus variance")  # of every level


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """μ and Σ of a level's Gaussian (SPEC 3.6).   (B, 2D) -> (B, D), (B, D)"""
    mean, raw = features.chunk(2, dim=1)
    return mean, softplus_variance(raw)


class LearnedPrior:
    """p(z_M) of a hierarchy below its top (Eq. 7): it has draws, but no density in closed form."""

    capturable = True

    def bind(self, method: "StackedWAE") -> None:
        """The hierarchy that draws it."""
        self.hierarchy = method

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """By ancestral sampling, with gradient.   -> (n, d_M)"""
        return self.hierarchy.down(n, noise, len(self.hierarchy.weights))[-1].z

    def __str__(self) -> str:
        return "Gaussian levels under N(0, I)"


class StackedWAE(Assembled):
    """x -> z_1 -> ... -> z_M, matched there to p(z_M); z_N -> ... -> z_1 -> x̂. One weight for each level with an encoder.

    Its noise is learned; Σ_k Var(z_k) = d_M is aimed at where p(z_M) = N(0, I).
    """

    capturable = True
    encoders: nn.ModuleList
    generators: Levels

    def __init__(self, stack: "Stack", encoders: Levels, generators: Levels, weights: tuple[float, ...]):
        self.weights, self.dims, self.penalty, self.top = weights, generators.dims, stack.penalty, StandardNormal(generators.dims[-1])
        dim, to_the_top = self.dims[len(weights) - 1], len(weights) == len(self.dims)
        prior = self.top if to_the_top else cast(Prior, LearnedPrior())
        recipe = Recipe(GAUSSIAN, stack.cost, ((weights[-1], stack.mmd),), prior, target_variance=float(dim) if to_the_top else None)
        super().__init__(recipe, dim, encoders=nn.ModuleList(list(encoders)[: len(weights)]), generators=generators)

    def up(self, x: Tensor, noise: torch.Generator) -> list[Draw]:
        """Draws of q_1(z_1|x) ... q_M(z_M|z_{M-1}) (Eq. 2).   (B, C, H, W) -> of (B, d_1) ... (B, d_M)"""
        draws = list[Draw]()
        for encoder in self.encoders:
            draws.append(GAUSSIAN(run_network(encoder, draws[-1].z if draws else x), noise))
        return draws

    def down(self, n: int, noise: torch.Generator, level: int) -> list[Draw]:
        """n ancestral draws of z_N, z_{N-1} ... z_level, with gradient (Eq. 1).   -> of (n, d_N) ... (n, d_level)"""
        z = self.top.sample(n, noise)
        draws = [Draw(z, torch.zeros_like(z), torch.zeros_like(z), noise)]
        for generator in reversed(list(self.generators)[level:]):
            draws.append(GAUSSIAN(run_network(generator, draws[-1].z), noise))
        return draws

    def encode_to(self, level: int, x: Tensor) -> Tensor:
        """The code of one level 1 ... M, up by the means (Fig. 3).   (B, C, H, W) -> (B, d_level)"""
        z = x
        for encoder in list(self.encoders)[: checked(level, len(self.encoders))]:
            z, _ = moments(run_network(encoder, z))
        return z

    def raw_from(self, level: int, z: Tensor) -> Tensor:
        """What the generators make of a code of one level 1 ... N, down by the means (Fig. 3).   (B, d_level) -> (B, C, H, W)"""
        for generator in reversed(list(self.generators)[1 : checked(level, len(self.generators))]):
            z, _ = moments(run_network(generator, z))
        return run_network(self.generators[0], z)

    def decode_from(self, level: int, z: Tensor) -> Tensor:
        """The image of a code of one level 1 ... N.   (B, d_level) -> (B, C, H, W)"""
        return self.recipe.cost.image(self.raw_from(level, z))

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """The code z_M; mean and variance are those of q_M at the draw of z_{M-1}.   (B, C, H, W) -> Draw"""
        with losses_in_float32(x.device):
            return replace(self.up(x, noise)[-1], x=x, decoder=self.raw)

    def raw(self, z: Tensor) -> Tensor:
        """What the generators make of a code z_M.   (B, d_M) -> (B, C, H, W)"""
        return self.raw_from(len(self.weights), z)

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """n images by ancestral sampling from the top.   -> (n, C, H, W)"""
        return self.decode_from(1, self.down(n, noise, 1)[-1].z)

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """The named terms of the objective, batch means, "loss" their sum; and what became of each level's variances (SPEC T15)."""
        with losses_in_float32(x.device):
            q = self.up(x, noise)
            p = [moments(run_network(g, draw.z)) for draw, g in zip(q[1:], list(self.generators)[1:], strict=False)]
            terms = {"reconstruction": self.recipe.cost(x, self.raw_from(1, q[0].z)).mean()}
            for n, (weight, draw, (mean, variance)) in enumerate(zip(self.weights, q, p, strict=False), 1):
                terms[f"cost_{n}"] = weight * ((draw.z - mean).square() + variance).sum(1).mean()
            prior = self.down(len(x), noise, len(self.weights))
            with record_function("regulariser"):
                ((_, mmd),) = self.recipe.regularisers
                terms["mmd"] = self.weights[-1] * cast(MMD, mmd).between(prior[-1].z, q[-1].z)
                if self.penalty:
                    penalties = [math.exp(-n) * LogVariancePenalty()(draw, None) for n, draw in enumerate(q)]
                    terms["log_variance"] = self.penalty * torch.stack(penalties).sum()
            return {"loss": torch.stack(list(terms.values())).sum(), **terms, **self.spread(q, p, prior)}

    @torch.no_grad()
    def spread(self, q: list[Draw], p: list[tuple[Tensor, Tensor]], prior: list[Draw]) -> dict[str, Tensor]:
        """Mean log Σ^q_n and log Σ^p_n of each level, for the training curve: which of them collapse (SPEC T15)."""
        logs = {f"log_variance_q{n}": draw.log_variance for n, draw in enumerate(q, 1)}
        logs |= {f"log_variance_p{n}": variance.log() for n, (_, variance) in enumerate(p, 2)}
        logs |= {f"log_variance_p{len(self.dims) + 1 - i}": draw.log_variance for i, draw in enumerate(prior[1:], 1)}
        return {name: values.mean() for name, values in logs.items() if values is not None}


def checked(level: int, levels: int) -> int:
    """A level that exists; ValueError for another."""
    if not 1 <= level <= levels:
        raise ValueError(f"level must be one of 1 to {levels}, not {level}")
    return level


@dataclass(frozen=True)
class Rule:
    """How w_1 ... w_N follow from λ_rec and λ_match: a factor for each level below the top, and the top's own (SPEC 4.1)."""

    name: RuleName
    rec: float  # λ_rec
    match: float  # λ_match

    def __call__(self, dims: tuple[int, ...]) -> tuple[float, ...]:
        """d_1 ... d_N -> w_1 ... w_N"""
        return (*(RULES[self.name](self.rec, n, d) for n, d in enumerate(dims[:-1], 1)), self.match)

    def __str__(self) -> str:
        return f"rule of {self.name}, λ_rec {self.rec:g}, λ_match {self.match:g}"


@dataclass(frozen=True)
class Products:
    """w_1 ... w_M as they are."""

    weights: tuple[float, ...]

    def __call__(self, dims: tuple[int, ...]) -> tuple[float, ...]:
        """-> w_1 ... w_M"""
        return self.weights

    def __str__(self) -> str:
        return ", ".join(f"{weight:g}" for weight in self.weights)


@dataclass(frozen=True)
class Stack:
    """A stacked method, as the choices its paper makes."""

    weights: Rule | Products
    mmd: MMD
    penalty: float = 0.0  # λ^Σ; level n has λ^Σ e^{-(n-1)} (section 3.2)
    implicit: bool = False  # only level 1 has an encoder
    cost: SquaredError = field(default_factory=SquaredError)

    def on_reals(self) -> "Stack":
        """The same for signals, whose values are any real numbers."""
        return replace(self, cost=self.cost.on_reals())

    def assemble(self, shape: tuple[int, int, int], dim: int, network: Network) -> StackedWAE:
        """The method, with a hierarchy for images of that shape and `dim` latents at its top; ValueError where they do not fit."""
        encoders, generators = network(shape, dim, GAUSSIAN.outputs)
        name = repr(getattr(network, "__name__", "given"))
        if not (isinstance(encoders, Levels) and isinstance(generators, Levels)):
            raise ValueError(
                f"network {name} is not hierarchical, and stacked methods take such networks only; set network to one such as stacked_mlp"
            )
        weights, levels = self.weights(encoders.dims), len(encoders)
        if len(weights) != (1 if self.implicit else levels):
            raise ValueError(f"weights has {len(weights)} values, but network {name} has {levels} levels; give one for each")
        return checked_parts(StackedWAE(self, encoders, generators, weights), shape)

    def description(self) -> dict[str, str]:
        """The recipe as a row of SPEC 1.1's table has it."""
        level = {True: "of level 1 alone", False: "at each level"}[self.implicit]
        costs = [] if self.implicit else ["w_n × (|z_n - μ|² + tr Σ)"]
        penalty = [f"{self.penalty:g} e^(1-n) × {LogVariancePenalty()}"] if self.penalty else []
        return {
            "posterior": f"{GAUSSIAN}, {level}",
            "cost": str(self.cost),
            "regularisers": ", ".join([*costs, f"w × {self.mmd}", f"w = {self.weights}", *penalty]),
            "prior": "Gaussian levels under N(0, I)",
        }


def not_negative(name: str, value: float) -> None:
    """ValueError for a value below 0."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be 0 or larger, not {value}")


def stacked_wae(
    dim: int,
    *,
    rule: RuleName = "mnist",
    rec_weight: float = 0.01,
    match_weight: float = 1e-4,
    weights: tuple[float, ...] = (),
    penalty: float = 0.0,
    kernel: KernelName = "imq7",
) -> Stack:
    """StackedWAE (Eq. 14): weights are w_1 ... w_N, bottom first; () is `rule` with λ_rec = rec_weight, λ_match = match_weight.

    dim: d_N. penalty: λ^Σ of Eq. 17, 0 on MNIST, 2.5 on SVHN and CelebA.
    """
    values = {"rec_weight": rec_weight, "match_weight": match_weight, "penalty": penalty}
    for name, value in [*values.items(), *(("weights", weight) for weight in weights)]:
        not_negative(name, value)
    return Stack(Products(weights) if weights else Rule(rule, rec_weight, match_weight), MMD(kernel), penalty)


def implicit_wae(dim: int, *, weight: float = 10.0, kernel: KernelName = "imq7") -> Stack:
    """One-level WAE whose prior is the hierarchy above it (Eq. 8, ablation of section 3.1). dim: d_N; weight: λ_1, which is not stated."""
    not_negative("weight", weight)
    return Stack(Products((weight,)), MMD(kernel), implicit=True)


METHODS = [stacked_wae, implicit_wae]
