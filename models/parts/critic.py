"""Regularisers estimated by a discriminator on latents, which is a second player.

Tolstikhin et al., arXiv:1711.01558, Algorithm 1 (WAE-GAN; the same as AAE for a squared cost):

    D maximises  λ/n Σ_i log D(z_i) + log(1 - D(z̃_i)),   z_i ~ P_Z "true", z̃_i the codes
    Q, G descend  1/n Σ_i c(x_i, G(z̃_i)) - λ log D(z̃_i)     (non-saturating form, its footnote 2)
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.interfaces import Draw, Player, Prior
from models.method import AutoEncoder


class PriorMatch(nn.Module):
    """Latent discriminator: four hidden layers with ReLU, one logit (SPEC 3.2). D = σ(logit).

    `pz_trick` adds log p_Z(z) to the logit, so that the network learns only -log q_Z (the authors' code; SPEC 1.4).
    """

    capturable = True
    name = "prior_match"

    def __init__(self, dim: int, *, width: int = 512, pz_trick: bool = False, lr: float | None = None):
        super().__init__()
        sizes = [dim, width, width, width, width]
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.net = nn.Sequential(*hidden, nn.Linear(width, 1))
        self.pz_trick, self.lr = pz_trick, lr

    def logit(self, z: Tensor, prior: Prior | None) -> Tensor:
        """log D / (1 - D).   (B, D) -> (B,)"""
        logit: Tensor = self.net(z).squeeze(1)
        assert prior is not None
        return logit + prior.log_prob(z) if self.pz_trick else logit

    def forward(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-E log D(z̃): what the encoder descends.   -> ()"""
        return F.softplus(-self.logit(draw.z, prior)).mean()

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        """The discriminator, before the autoencoder: Algorithm 1's order."""

        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            return {"loss": weight * self.critic_terms(method.draw_without_gradient(x, noise), method.prior)}

        return [Player(self.name, tuple(self.parameters()), terms, lr=self.lr, before=True)]

    def critic_terms(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-E log D(z) - E log(1 - D(z̃)): what the discriminator descends; draw.z carries no gradient.   -> ()"""
        assert prior is not None
        z = prior.sample(len(draw.z), draw.noise)
        return F.softplus(-self.logit(z, prior)).mean() + F.softplus(self.logit(draw.z, prior)).mean()

    def __str__(self) -> str:
        return "adversary" + (" with p_Z trick" if self.pz_trick else "")
