"""QLAE: every latent is one of a few learned scalars of its own, and all weights are small.

Hsu et al., "Disentanglement via Latent Quantization", arXiv:2305.18378, section 3, Algorithm 1:

    BCE(x, G(z))  +  λ_q |sg[z_e] - e|²  +  λ_c |z_e - sg[e]|²  +  λ |θ|²,       e_k = argmin_{v ∈ V_k} |z_e,k - v|

V_k has n_v values, evenly spaced over [-½, ½] at the start. The paper's λ_q = λ_c = 0.01 belong to a mean over values and latents; for
sums they are 0.01 values/D: 10 for its 64×64×3 images and 12 latents. Its weight decay of 0.1 is AdamW's, apart from the loss; |θ|², over
encoder and decoder, is a term of the loss, so that λ is not that number. Samples: density = { model = "tokens" }.
"""

import math

import torch
from torch import Tensor, nn

from models.interfaces import Draw
from models.method import Recipe
from models.parts.cost import Bernoulli
from models.parts.quantised import CodebookLoss, Commitment, quantised
from models.parts.schedule import Weight, non_negative
from models.parts.weights import SquaredNorm


class LatentQuantiser(nn.Module):
    """Each latent becomes the nearest of its own n_v values."""

    capturable = True
    outputs: int = 1
    variance: float | None = 0.0

    def __init__(self, dim: int, values: int):
        super().__init__()
        if values < 2:
            raise ValueError(f"values must be at least 2, not {values}")
        self.values = nn.Parameter(torch.linspace(-0.5, 0.5, values).repeat(dim, 1))  # (D, n_v)

    @property
    def bits(self) -> float:
        """D log2 n_v: what a code carries at most."""
        dim, values = self.values.shape
        return dim * math.log2(values)

    def forward(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, D) -> Draw"""
        index = (features.detach()[:, :, None] - self.values.detach()).abs().argmin(2)  # (B, D)
        return quantised(features, self.values.gather(1, index.T).T, noise)

    def __str__(self) -> str:
        return f"latent quantised, {self.values.shape[1]} values each"


def qlae(dim: int, *, values: int = 10, quantisation: Weight = 10.0, commitment: Weight = 10.0, weight: Weight = 1e-3) -> Recipe:
    """QLAE (Algorithm 1); n_v = values, λ_q = quantisation, λ_c = commitment, λ = weight."""
    losses = (
        (non_negative(quantisation, "quantisation"), CodebookLoss()),
        (non_negative(commitment, "commitment"), Commitment()),
        (non_negative(weight), SquaredNorm(("encoder", "decoder"))),
    )
    return Recipe(LatentQuantiser(dim, values), Bernoulli(), losses, None)


METHODS = [qlae]
