"""Adversarial variational Bayes: a VAE whose posterior can be drawn from and has no density.

Mescheder et al., arXiv:1701.04722, Algorithm 1; WAE paper (arXiv:1711.01558) Eq. 7 and its footnote 3; SPEC 1.2. With
z = e(x, ε), ε ~ N(0, I), an implicit q(z|x):

    T descends      -E log σ(T(x, z_q)) - E log(1 - σ(T(x, z_p))),     z_q ~ q(z|x), z_p ~ p(z)
    e, G descend     E[ T(x, z_q) - log p(x|z_q) ]

At its optimum T(x, z) = log q(z|x) - log p(z), whose mean over q is the KL of a VAE. The f-GAN form that Eq. 7 writes is not used.
"""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.interfaces import Draw, Player, Prior
from models.method import AutoEncoder, Recipe
from models.networks.mlp import layers
from models.parts.cost import LikelihoodName, cost_of
from models.parts.posterior import standard_normal_like
from models.vae import vae_bernoulli


class ImplicitPosterior(nn.Module):
    """z = e(x, ε) = h_1(x) + r(h(x), ε): the encoder's features h, d values of noise, and a network r of two hidden layers.

    A code starts near its features, or the adversary would push all images together before the decoder has learnt anything.
    There is no density, and no mean in closed form: e(x, 0) stands where a mean code is asked for.
    """

    capturable = True
    outputs = 2
    variance: float | None = None

    def __init__(self, dim: int, *, width: int = 128):
        super().__init__()
        self.net = nn.Sequential(*layers([self.outputs * dim + dim, width, width, dim]))

    def forward(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, 2D) -> Draw with neither log_variance nor log_q"""
        location = features.chunk(2, dim=1)[0]  # h_1, (B, D)
        epsilons = standard_normal_like(location, noise), torch.zeros_like(location)
        z, at_zero = (location + self.net(torch.cat([features, epsilon], 1)) for epsilon in epsilons)
        return Draw(z, at_zero, None, noise)

    def __str__(self) -> str:
        return "implicit, e(x, ε)"


class LogRatio(nn.Module):
    """T(x, z) ≈ log q(z|x) - log p(z), a network of both (its size is no paper's).

    `analytic_prior` puts -log p(z) into T as it is known, so that the network learns only log q(z|x) (SPEC 1.2).
    """

    capturable = True
    name = "log_ratio"

    def __init__(self, dim: int, *, width: int = 256, analytic_prior: bool = False, lr: float | None = None):
        super().__init__()
        if not width >= 1:
            raise ValueError(f"width must be at least 1, not {width}")
        if lr is not None and not lr > 0:
            raise ValueError(f"critic_lr must be positive, not {lr}")
        self.dim, self.width, self.analytic_prior, self.lr = dim, width, analytic_prior, lr

    def build(self, shape: tuple[int, int, int]) -> None:
        """Builds the network, once the shape of the images is known."""
        self.net = nn.Sequential(*layers([math.prod(shape) + self.dim, *[self.width] * 3, 1]))

    def ratio(self, x: Tensor, z: Tensor, prior: Prior | None) -> Tensor:
        """T(x, z), nats.   (B, C, H, W), (B, D) -> (B,)"""
        value: Tensor = self.net(torch.cat([x.flatten(1), z], 1)).squeeze(1)
        assert prior is not None
        return value - prior.log_prob(z) if self.analytic_prior else value

    def forward(self, draw: Draw, prior: Prior | None) -> Tensor:
        """E T(x, z_q), instead of a VAE's KL: what the encoder descends.   -> ()"""
        assert draw.x is not None
        return self.ratio(draw.x, draw.z, prior).mean()

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        """T, before the autoencoder."""

        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            return {"loss": self.critic_terms(method.draw_without_gradient(x, noise), method.prior)}

        return [Player(self.name, tuple(self.parameters()), terms, lr=self.lr, before=True)]

    def critic_terms(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-E log σ(T(x, z_q)) - E log(1 - σ(T(x, z_p))): what T descends; draw.z carries no gradient.   -> ()"""
        assert prior is not None
        assert draw.x is not None
        z = prior.sample(len(draw.z), draw.noise)
        return F.softplus(-self.ratio(draw.x, draw.z, prior)).mean() + F.softplus(self.ratio(draw.x, z, prior)).mean()

    def __str__(self) -> str:
        return "KL, adversary" + (" with log p(z) known" if self.analytic_prior else "")


def avb(
    dim: int,
    *,
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
    width: int = 256,
    analytic_prior: bool = False,
    critic_lr: float | None = None,
) -> Recipe:
    """AVB with one step of T before each of the autoencoder's; critic_lr None is the suite's rate."""
    ratio = LogRatio(dim, width=width, analytic_prior=analytic_prior, lr=critic_lr)
    cost = cost_of(likelihood, decoder_variance)
    return replace(vae_bernoulli(dim), posterior=ImplicitPosterior(dim), cost=cost, regularisers=((1.0, ratio),))


METHODS = [avb]
