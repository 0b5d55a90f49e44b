"""Regularised autoencoders: no noise and no prior, a smooth decoder instead, and a density fitted to the codes afterwards.

Ghosh et al., "From Variational to Deterministic Autoencoders", arXiv:1903.12436, Eq. 9-11, section 3.1, 4:

    E [ SSE(x, D(z))  +  β ½ |z|²  +  λ L_REG ],      z = E(x)
    L2   L_REG = |θ_D|²                        Tikhonov
    GP   L_REG = ½ |∂D(z)/∂z|²                 gradient penalty, the Frobenius norm
    SN   no L_REG; every weight of D over its spectral norm

The gradient penalty is estimated without bias by one v ~ N(0, I) of image shape an image: E_v |vᵀ ∂D/∂z|² = |∂D/∂z|². Samples are those
of a mixture of ten full-covariance Gaussians in the suite file, density = { model = "mixture" } (section 4).

The authors' code has means over values and latents where these are sums: its MNIST weights β = 1e-4 and λ = 1e-7, at 32×32 values and
16 latents, are 0.0128 and 1e-4 here; with SN its β = 0.009 is 1.15. Its gradient penalty is that of D², so its λ says nothing here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.interfaces import Draw, Prior, Regulariser
from models.method import AutoEncoder, Recipe
from models.parts.schedule import Weight, non_negative
from models.parts.weights import SpectralNorm, SquaredNorm
from models.vae import ae


@dataclass(frozen=True)
class CodeNorm:
    """Mean over the batch of ½ |z|² (Eq. 10)."""

    capturable = True
    name = "code_norm"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        return 0.5 * draw.z.square().sum(1).mean()

    def __str__(self) -> str:
        return "½|z|²"


class GradientPenalty:
    """Mean over the batch of ½ |vᵀ ∂D(z)/∂z|², v ~ N(0, I), of the image that the decoder's output stands for (section 3.1)."""

    capturable = True
    name = "gradient_penalty"
    image: Callable[[Tensor], Tensor]  # of the method's cost

    def bind(self, method: AutoEncoder) -> None:
        """What makes an image of the decoder's output."""
        self.image = method.recipe.cost.image

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert draw.decoder is not None
        x_hat = self.image(draw.decoder(draw.z))
        v = torch.randn(x_hat.shape, generator=draw.noise, device=x_hat.device, dtype=x_hat.dtype)
        (gradient,) = torch.autograd.grad((v * x_hat).sum(), draw.z, create_graph=True)
        return 0.5 * gradient.square().sum(1).mean()

    def __str__(self) -> str:
        return "½|∂D/∂z|²"


def regularised(dim: int, beta: Weight, *others: tuple[Weight, Regulariser]) -> Recipe:
    """The autoencoder with ½ |z|² and these."""
    return replace(ae(dim), regularisers=((non_negative(beta, "beta"), CodeNorm()), *others))


def rae_l2(dim: int, *, beta: Weight = 0.0128, weight: Weight = 1e-4) -> Recipe:
    """RAE with the squared norm of the decoder's weights, λ = weight (Eq. 11)."""
    return regularised(dim, beta, (non_negative(weight), SquaredNorm()))


def rae_gp(dim: int, *, beta: Weight = 0.0128, weight: Weight = 0.01) -> Recipe:
    """RAE with the gradient penalty, λ = weight, which no paper states for this form (Eq. 11)."""
    return regularised(dim, beta, (non_negative(weight), GradientPenalty()))


def rae_sn(dim: int, *, beta: Weight = 1.15) -> Recipe:
    """RAE whose decoder is spectrally normalised (section 3.1)."""
    return replace(regularised(dim, beta), pretraining=SpectralNorm())


METHODS = [rae_l2, rae_gp, rae_sn]
