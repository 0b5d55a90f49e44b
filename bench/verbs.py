"""What evaluation knows of a method, its prior and its density: verbs."""

from typing import Any, Protocol

import torch
from torch import Tensor

from metrics.latent import Channel


class Draw(Protocol):
    """What evaluation reads of a draw."""

    @property
    def z(self) -> Tensor:
        """(B, D)"""

    @property
    def mean(self) -> Tensor:
        """(B, D)"""

    @property
    def log_variance(self) -> Tensor | None:
        """(B, D); None for a deterministic encoder."""

    @property
    def log_q(self) -> Tensor | None:
        """(B,) where q(z|x) has a density and is no diagonal Gaussian."""


class Prior(Protocol):
    """What evaluation needs of a prior."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """-> (n, D)"""


class Density(Prior, Protocol):
    """What evaluation needs of a density that was fitted to the codes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""


class Method(Protocol):
    """What evaluation knows of a method."""

    dim: int

    @property
    def prior(self) -> Prior | None:
        """None: it samples only from a density fitted to its codes."""

    @property
    def channel(self) -> Channel:
        """The encoder's noise and the variance aimed at."""

    def eval(self) -> Any:
        """Evaluation mode."""

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """(B, C, H, W) -> a draw of q(z|x)"""

    def decode(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W)"""

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        """-> (n, C, H, W)"""
