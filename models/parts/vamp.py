"""VampPrior: the mean posterior of learned pseudo-inputs.

Tomczak & Welling, arXiv:1705.07120, Eq. 9, as compared with in LaDDer (arXiv:2009.00088), section 4; SPEC 1.8:

    p(z) = 1/K Σ_k q_φ(z|u_k),     u_k of image shape, N(0, 1) at the start, trained on the same bound by their own player
"""

from typing import cast

import torch
from torch import Tensor, nn

from metrics.mixture_density import log_mixture_density
from models.interfaces import Draw, Player
from models.method import AutoEncoder
from models.parts.adam import Adam
from models.parts.elbo import monte_carlo
from models.parts.mode import evaluating
from models.parts.posterior import DiagonalGaussian, standard_normal_like
from models.parts.precision import run_network


class VampPrior(nn.Module):
    """The mixture above. The encoder's batch norm sees u with the statistics of images: u is never normalised by other u."""

    capturable = True
    bound: tuple[nn.Module, DiagonalGaussian]  # the method's encoder and posterior; in a tuple, for they are not this module's

    def __init__(self, components: int, *, samples: int, adam: Adam | None = None):
        super().__init__()
        if components < 1:
            raise ValueError(f"components must be at least 1, not {components}")
        if samples < 1:
            raise ValueError(f"samples must be at least 1, not {samples}")
        self.components, self.samples, self.adam = components, samples, adam or Adam()

    def build(self, shape: tuple[int, int, int]) -> None:
        """Pseudo-inputs u, once the shape of the images is known."""
        self.inputs = nn.Parameter(torch.randn(self.components, *shape))

    def bind(self, method: AutoEncoder) -> None:
        """The encoder that p(z) is made of; ValueError where q(z|x) is not a diagonal Gaussian of its features."""
        posterior = method.recipe.posterior
        if not hasattr(posterior, "moments"):
            raise ValueError(f"a VampPrior is a mixture of q(z|u) by their moments, which posterior {posterior} does not give")
        self.bound = (method.encoder, cast(DiagonalGaussian, posterior))

    def features(self) -> Tensor:
        """Of each pseudo-input, by the encoder.   -> (K, 2D)"""
        encoder, _ = self.bound
        with evaluating(encoder):
            return run_network(encoder, self.inputs)

    def log_prob(self, z: Tensor) -> Tensor:
        """log 1/K Σ_k q(z|u_k), nats.   (B, D) -> (B,)"""
        mean, _, log_variance = self.bound[1].moments(self.features())  # no draw: a recorded step has no random stream for it
        return log_mixture_density(z, mean, log_variance)

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """By `samples` draws of q.   -> (B,)"""
        return monte_carlo(self.log_prob, draw, self.samples)

    @torch.no_grad()
    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """A pseudo-input at random, then its q(z|u).   -> (n, D)"""
        k = torch.randint(self.components, (n,), generator=noise, device=noise.device)
        q = self.bound[1](self.features(), noise)
        assert q.log_variance is not None
        return q.mean[k] + (0.5 * q.log_variance[k]).exp() * standard_normal_like(q.mean[k], noise)

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        """u, after the autoencoder: only the cross-entropy of the bound depends on it."""

        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            return {"loss": -self.expected_log_prob(method.draw_without_gradient(x, noise)).mean()}

        return [Player("pseudo_inputs", (self.inputs,), terms, **vars(self.adam))]

    def __str__(self) -> str:
        return f"VampPrior, {self.components} pseudo-inputs"
