"""The aggregate posterior of so many training images as what a method samples from, once it has been trained.

Lin et al., "WiSE-ALE: Wide Sample Estimator for Approximate Latent Embedding", arXiv:1902.06160, Eq. 12; SPEC 1.9:

    p(z) = 1/M Σ_i q(z|x_i),     x_1 ... x_M training images, q(z|x_i) = N(μ_i, diag σ_i²)
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from metrics.mixture_density import log_mixture_density
from models.method import AutoEncoder
from models.parts.mode import evaluating
from models.parts.posterior import standard_normal_like


class BatchMixture(nn.Module):
    """The mixture above; before training has ended all its components are N(0, I). Nothing is trained towards it."""

    capturable = True
    means: Tensor  # (M, D)
    log_variances: Tensor  # (M, D)

    def __init__(self, dim: int, images: int):
        super().__init__()
        if images < 1:
            raise ValueError(f"images must be at least 1, not {images}")
        self.images = images
        self.register_buffer("means", torch.zeros(images, dim))
        self.register_buffer("log_variances", torch.zeros(images, dim))

    @torch.no_grad()
    def training_ended(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Takes the posteriors of M random training images, over and over where there are fewer."""
        x = draw_images(self.images)
        with evaluating(method):
            q = method.draw(x, noise)
        assert q.log_variance is not None
        again = torch.arange(self.images, device=x.device) % len(x)
        self.means.copy_(q.mean[again])
        self.log_variances.copy_(q.log_variance[again])

    def log_prob(self, z: Tensor) -> Tensor:
        """log 1/M Σ_i N(z; μ_i, diag σ_i²), nats.   (B, D) -> (B,)"""
        return log_mixture_density(z, self.means, self.log_variances)

    @torch.no_grad()
    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """An image at random, then its q(z|x).   -> (n, D)"""
        i = torch.randint(self.images, (n,), generator=noise, device=noise.device)
        return self.means[i] + (0.5 * self.log_variances[i]).exp() * standard_normal_like(self.means[i], noise)

    def __str__(self) -> str:
        return f"posteriors of {self.images} training images"
