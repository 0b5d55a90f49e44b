"""VQ-VAE: a code is a few tokens, each an entry of one learned codebook.

van den Oord et al., "Neural Discrete Representation Learning", arXiv:1711.00937, Eq. 1-3, section 3.2:

    SSE(x, G(z))  +  |sg[z_e] - e|²  +  β |z_e - sg[e]|²,       e_t = argmin_k |z_e,t - e_k|,   t = 1 ... T

The D latents are T tokens of D/T values each; β = 0.25. The paper's prior over tokens is uniform while this trains, so that the KL is
the constant T log K, and is fitted to the codes afterwards: density = { model = "tokens" }.
"""

import math

import torch
from torch import Tensor, nn

from models.interfaces import Draw
from models.method import Recipe
from models.parts.cost import SquaredError
from models.parts.quantised import CodebookLoss, Commitment, quantised
from models.parts.schedule import Weight, non_negative


class VectorQuantiser(nn.Module):
    """Each of T tokens becomes the nearest of K entries; they start uniform in ±1/K, as in the paper's released code."""

    capturable = True
    outputs: int = 1
    variance: float | None = 0.0

    def __init__(self, dim: int, *, tokens: int, codes: int):
        super().__init__()
        if tokens < 1 or dim % tokens:
            raise ValueError(f"tokens must divide latent_dim = {dim}, not {tokens}")
        if codes < 2:
            raise ValueError(f"codes must be at least 2, not {codes}")
        self.tokens, self.codes, self.size = tokens, codes, dim // tokens
        self.codebook = nn.Parameter(torch.empty(codes, self.size).uniform_(-1 / codes, 1 / codes))

    @property
    def bits(self) -> float:
        """T log2 K: what a code carries at most."""
        return self.tokens * math.log2(self.codes)

    def forward(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, D) -> Draw"""
        tokens = features.reshape(-1, self.size)
        with torch.no_grad():
            distances = torch.cdist(tokens, self.codebook, compute_mode="donot_use_mm_for_euclid_dist")
        return quantised(features, self.codebook[distances.argmin(1)].view_as(features), noise)

    def __str__(self) -> str:
        return f"vector quantised, {self.tokens} tokens of {self.codes} codes"


def vq_vae(dim: int, *, tokens: int = 1, codes: int = 512, commitment: Weight = 0.25) -> Recipe:
    """VQ-VAE; T = tokens, K = codes, β = commitment (Eq. 3)."""
    losses = (1.0, CodebookLoss()), (non_negative(commitment, "commitment"), Commitment())
    return Recipe(VectorQuantiser(dim, tokens=tokens, codes=codes), SquaredError(), losses, None)


METHODS = [vq_vae]
