"""Finite scalar quantisation: every latent is rounded to one of a few levels; nothing is learned and no term is added.

Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv:2309.15505, section 3.1, appendix A.1:

    ẑ = round(f(z)),    f(z) = h tanh(z + s) - o,     h = (1 - 10⁻³)(L - 1)/2,     o = 0 for odd L, ½ for even,     s = tan(o/h)

ẑ takes L values, which are divided by ⌊L/2⌋; the rounding passes the gradient on as it is. The code has Σ log2 L_k bits. Samples are those
of a density of tokens fitted to the codes: density = { model = "tokens" }.
"""

import math

import torch
from torch import Tensor, nn

from models.interfaces import Draw
from models.method import Recipe
from models.parts.cost import SquaredError
from models.parts.quantised import quantised

SLACK = 1e-3  # by which the outermost level is missed


class FiniteScalar(nn.Module):
    """Rounds every latent to one of L_k levels in [-1, 1]."""

    capturable = True
    outputs: int = 1
    variance: float | None = 0.0

    numbers: Tensor  # (D,) L

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.levels = levels
        self.register_buffer("numbers", torch.tensor(levels, dtype=torch.float32))

    @property
    def bits(self) -> float:
        """Σ log2 L_k: what a code carries at most."""
        return sum(map(math.log2, self.levels))

    def bounded(self, z: Tensor) -> Tensor:
        """f(z).   (B, D) -> (B, D)"""
        half, offset = (1 - SLACK) * (self.numbers - 1) / 2, 0.5 * (self.numbers % 2 == 0)
        return half * torch.tanh(z + torch.tan(offset / half)) - offset

    def forward(self, features: Tensor, noise: torch.Generator) -> Draw:
        """(B, D) -> Draw"""
        width, bounded = self.numbers.div(2, rounding_mode="floor"), self.bounded(features)
        return quantised(bounded / width, bounded.round() / width, noise)

    def __str__(self) -> str:
        return f"rounded to {'×'.join(map(str, self.levels))} levels"


def fsq(dim: int, *, levels: tuple[int, ...] = (5,)) -> Recipe:
    """FSQ (section 3.1); levels: L of each latent, or one for all. The paper's are at least 5 where there are many codes."""
    levels = tuple(levels)
    if len(levels) not in (1, dim):
        raise ValueError(f"levels must be one number or latent_dim = {dim} of them, not {len(levels)}")
    if min(levels) < 2:
        raise ValueError(f"levels must be at least 2, not {min(levels)}")
    return Recipe(FiniteScalar(levels * (dim // len(levels))), SquaredError(), (), None)


METHODS = [fsq]
