"""Regularisers of a network's weights: their squared norm, and spectral normalisation.

Ghosh et al., "From Variational to Deterministic Autoencoders", arXiv:1903.12436, section 3.1; Miyato et al., "Spectral Normalization
for Generative Adversarial Networks", arXiv:1802.05957, Eq. 8, Algorithm 1.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.interfaces import Draw, Prior
from models.method import AutoEncoder

Side = Literal["encoder", "decoder"]
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


class SquaredNorm:
    """Σ θ² over all parameters of the networks named."""

    capturable = True
    name = "weight_norm"
    parameters: tuple[nn.Parameter, ...]  # of the method's networks, which this part does not own

    def __init__(self, sides: tuple[Side, ...] = ("decoder",)):
        self.sides = sides

    def bind(self, method: AutoEncoder) -> None:
        """The parameters that it is the norm of."""
        self.parameters = tuple(p for side in self.sides for p in getattr(method, side).parameters() if p.requires_grad)

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        return torch.stack([p.square().sum() for p in self.parameters]).sum()

    def __str__(self) -> str:
        return "|θ|²" if self.sides == get_args(Side) else f"|θ|² of the {self.sides[0]}"


class SpectralNorm:
    """Every weight of the decoder over its largest singular value, which one power iteration a step follows; no term of the loss.

    A pretraining part, because it is bound to the whole method before anything trains.
    """

    capturable = True

    def bind(self, method: AutoEncoder) -> None:
        """Puts the normalisation into the decoder's layers."""
        for layer in method.decoder.modules():
            if isinstance(layer, LAYERS):
                spectral_norm(layer)

    def __str__(self) -> str:
        return "decoder with spectral normalisation"
