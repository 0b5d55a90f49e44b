"""Squared error of a decoder that ends in a linear layer, for images: Table 4 of VCAE prints no function after the last convolution.

"Variance Constrained Autoencoding", Table 4; SPEC 3.1. The error is that of the outputs as they are; images are clipped to [0, 1].
"""

from dataclasses import dataclass

from torch import Tensor

from metrics.reconstruction import squared_error
from models.parts.cost import SquaredError


@dataclass(frozen=True)
class LinearOutput:
    """SSE(x, y) of the raw output y, whose image is y clipped to [0, 1]: what any metric of images sees."""

    capturable = True

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, ...), (B, ...) -> (B,)"""
        return squared_error(x, y)

    def image(self, y: Tensor) -> Tensor:
        """(B, ...) -> (B, ...) in [0, 1]"""
        return y.clamp(0, 1)

    def on_reals(self) -> SquaredError:
        """For signals, which are not clipped."""
        return SquaredError("identity")

    def __str__(self) -> str:
        return "SSE of a linear output, images clipped"
