"""Discrete codes: the encoder's output is replaced by the nearest of finitely many entries.

van den Oord et al., "Neural Discrete Representation Learning", arXiv:1711.00937, Eq. 1-3. With z_e the encoder's output, e the chosen
entries, sg[.] without gradient:

    z = sg[e] + z_e - sg[z_e]          e in value; the decoder's gradient goes to the encoder as if nothing had been replaced
    codebook      E |sg[z_e] - e|²     entries go to what chose them
    commitment    E |z_e - sg[e]|²     the encoder goes to what it chose

There is no noise and no density, so a rate, bounds of the likelihood and whatever needs q(z|x) do not exist; what a code carries is at most
`bits`. Without a prior, samples are those of a density of tokens that is fitted to the codes (models/parts/token_density.py).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.interfaces import Draw, Prior


@dataclass(frozen=True, kw_only=True)
class QuantisedDraw(Draw):
    """The draw of a discrete code; its mean is the code itself."""

    before: Tensor  # (B, D) z_e
    entries: Tensor  # (B, D) e, with a gradient where they are learned


def quantised(before: Tensor, entries: Tensor, noise: torch.Generator) -> QuantisedDraw:
    """z equals the entries to the bit.   (B, D), (B, D) -> Draw"""
    z = entries.detach() + (before - before.detach())
    return QuantisedDraw(z, z, None, noise, before=before, entries=entries)


def of_code(draw: Draw) -> QuantisedDraw:
    """The draw, if it is one of a discrete code."""
    if not isinstance(draw, QuantisedDraw):
        raise TypeError("the codes are continuous; this regulariser is one of discrete codes")
    return draw


@dataclass(frozen=True)
class CodebookLoss:
    """E |sg[z_e] - e|², summed over latents (Eq. 3, its second term)."""

    capturable = True
    name = "codebook"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        code = of_code(draw)
        return (code.before.detach() - code.entries).square().sum(1).mean()

    def __str__(self) -> str:
        return "|sg[z] - e|²"


@dataclass(frozen=True)
class Commitment:
    """E |z_e - sg[e]|², summed over latents (Eq. 3, its third term)."""

    capturable = True
    name = "commitment"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        code = of_code(draw)
        return (code.before - code.entries.detach()).square().sum(1).mean()

    def __str__(self) -> str:
        return "|z - sg[e]|²"
