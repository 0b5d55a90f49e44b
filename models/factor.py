"""FactorVAE, TC-VCAE and TC-cWAE: latents made independent of each other.

Kim & Mnih, "Disentangling by Factorising", arXiv:1802.05983; "Variance Constrained Autoencoding", arXiv:2005.03807, section 4,
6.4, B.5; SPEC 1.7:

    factorvae   E[BCE + KL(q(z|x) || N(0, I))]   +  γ TC(z)
    tc_vcae     E BCE  +  λ |Σ_k Var(z_k) - v|   +  γ TC(z)
    tc_cwae     E BCE  +  λ MMD²(Q_Z, P_Z)       +  γ TC(z)

    TC(z) = KL(q(z) || Π_k q(z_k)) ≈ E[l_0(z) - l_1(z)]

The logits l tell codes (class 0) from codes whose coordinates were shuffled across a batch of their own (class 1). They are a
second player, after the autoencoder:  min_l  ½ CE(l(z), 0) + ½ CE(l(z_perm), 1),  z_perm from a second, independent batch.
"""

from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.interfaces import Draw, Player, Prior
from models.method import AutoEncoder, Recipe
from models.parts.cost import Bernoulli
from models.parts.schedule import Weight, non_negative
from models.vae import KL, vae_bernoulli
from models.vcae import vcae
from models.wae import KernelName, cwae

HIDDEN = 6  # dense layers before the logits (VCAE B.5)
SLOPE = 0.2
Betas = tuple[float, float]
BETAS = (0.5, 0.9)  # of the discriminator's Adam (Kim & Mnih; SPEC 4)


def permute_dimensions(z: Tensor, noise: torch.Generator) -> Tensor:
    """z with every column shuffled by a permutation of its own: the marginals stay, their dependence goes.   (B, D) -> (B, D)"""
    order = torch.rand(z.shape, generator=noise, device=z.device).argsort(0)
    return z.gather(0, order)


class TotalCorrelation(nn.Module):
    """Discriminator of six dense layers with LeakyReLU 0.2 and two logits (SPEC 3.3)."""

    capturable = True
    name = "total_correlation"

    def __init__(self, dim: int, *, width: int = 1000, lr: float | None = None, betas: Betas | None = None):
        super().__init__()
        if not width >= 1:
            raise ValueError(f"width must be at least 1, not {width}")
        if lr is not None and not lr > 0:
            raise ValueError(f"critic_lr must be positive, not {lr}")
        if betas is not None and not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"critic_betas must be two numbers in [0, 1), not {betas}")
        sizes = [dim, *[width] * HIDDEN]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.LeakyReLU(SLOPE))]
        self.net = nn.Sequential(*hidden, nn.Linear(width, 2))
        self.lr, self.betas = lr, betas

    def forward(self, draw: Draw, prior: Prior | None = None) -> Tensor:
        """E[l_0(z) - l_1(z)], nats: what the encoder descends.   -> ()"""
        joint, permuted = self.net(draw.z).unbind(1)
        return (joint - permuted).mean()

    def critic_terms(self, z: Tensor, z_perm: Tensor) -> Tensor:
        """½ CE(l(z), 0) + ½ CE(l(z_perm), 1): what the discriminator descends.   (B, D), (B, D) -> ()"""
        sides = ((z, 0), (z_perm, 1))
        return 0.5 * torch.stack([F.cross_entropy(self.net(codes), codes.new_full((len(codes),), k).long()) for codes, k in sides]).sum()

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        """The discriminator, after the autoencoder, with two batches: codes of one, shuffled codes of the other."""

        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            # a batch at a time, so that batch norm sees what it sees in the autoencoder's turn
            z, other = (method.draw_without_gradient(batch, noise).z for batch in x.chunk(2))
            return {"loss": self.critic_terms(z, permute_dimensions(other, noise))}

        return [Player(self.name, tuple(self.parameters()), terms, lr=self.lr, betas=self.betas, batches=2)]

    def __str__(self) -> str:
        return "TC, discriminator"


def total_correlation(
    dim: int, gamma: Weight, width: int, critic_lr: float | None, critic_betas: Betas | None
) -> tuple[Weight, TotalCorrelation]:
    """γ and its discriminator, as a regulariser of a recipe."""
    betas = None if critic_betas is None else (critic_betas[0], critic_betas[1])  # a list, from a suite file
    return non_negative(gamma, "gamma"), TotalCorrelation(dim, width=width, lr=critic_lr, betas=betas)


def factorvae(
    dim: int,
    *,
    gamma: Weight = 7.0,
    width: int = 1000,
    critic_lr: float | None = None,
    critic_betas: Betas | None = BETAS,
) -> Recipe:
    """FactorVAE: VAE with a Bernoulli likelihood and γ TC (VCAE B.5). critic_lr None is the suite's rate."""
    tc = total_correlation(dim, gamma, width, critic_lr, critic_betas)
    return replace(vae_bernoulli(dim), regularisers=((1.0, KL()), tc))


def tc_vcae(
    dim: int,
    *,
    weight: Weight = 1.0,
    target: float | None = None,
    noise_variance: float = 0.1,
    gamma: Weight = 7.0,
    width: int = 1000,
    critic_lr: float | None = None,
    critic_betas: Betas | None = BETAS,
) -> Recipe:
    """TC-VCAE: VCAE with γ TC on the noisy codes; Bernoulli cost (SPEC T27)."""
    tc = total_correlation(dim, gamma, width, critic_lr, critic_betas)
    base = vcae(dim, weight=weight, target=target, noise_variance=noise_variance)
    return replace(base, cost=Bernoulli(), regularisers=(*base.regularisers, tc))


def tc_cwae(
    dim: int,
    *,
    weight: Weight = 2500.0,
    noise_variance: float = 0.1,
    kernel: KernelName = "imq",
    gamma: Weight = 7.0,
    width: int = 1000,
    critic_lr: float | None = None,
    critic_betas: Betas | None = BETAS,
) -> Recipe:
    """TC-cWAE: cWAE with γ TC on the noisy codes; Bernoulli cost (SPEC T27)."""
    tc = total_correlation(dim, gamma, width, critic_lr, critic_betas)
    base = cwae(dim, weight=weight, noise_variance=noise_variance, kernel=kernel)
    return replace(base, cost=Bernoulli(), regularisers=(*base.regularisers, tc))


METHODS = [factorvae, tc_vcae, tc_cwae]
