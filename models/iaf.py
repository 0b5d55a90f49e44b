"""VAE whose posterior is an inverse autoregressive flow.

Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", arXiv:1606.04934, Eq. 10-14, Algorithm 1;
the VAE+IAF of VCAE section 6.3; SPEC 1.6. The encoder gives μ, log σ² and a context h; with ε ~ N(0, I):

    z_0 = μ + σ ⊙ ε
    (m_t, s_t) = MADE_t(z_{t-1}, h),   g_t = sigmoid(s_t),   z_t = g_t ⊙ z_{t-1} + (1 - g_t) ⊙ m_t,      t = 1 ... T
    log q(z_T|x) = -Σ_k [ ½ ε_k² + ½ log 2π + log σ_k + Σ_t log g_{t,k} ]

    E [ -log p(x|z_T) + log q(z_T|x) - log p(z_T) ]
"""

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zuko.nn import MaskedMLP

from models.interfaces import Draw
from models.method import Recipe
from models.parts.cost import LikelihoodName, cost_of
from models.parts.posterior import standard_normal_like
from models.vae import vae_bernoulli

GATE = 1.5  # added to s_t: g_t is about sigmoid(1.5) = 0.82 at the start, between the paper's sigmoid(1) and sigmoid(2)


class IAF(nn.Module):
    """The posterior above. MADEs are ReLU networks; the order of the latents is reversed between steps."""

    capturable = True
    outputs: int = 3
    variance: float | None = None

    def __init__(self, dim: int, *, steps: int, hidden: tuple[int, ...]):
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        if not hidden or min(hidden) < 1:
            raise ValueError(f"hidden must be the widths of hidden layers, at least 1 each, not {list(hidden)}")
        self.steps, self.hidden = steps, hidden
        self.mades = nn.ModuleList(MaskedMLP(made_mask(dim, reverse=bool(t % 2)), hidden) for t in range(steps))

    def forward(self, features: Tensor, noise: torch.Generator) -> Draw:
        """Its mean has no closed form: the draw's is the code at ε = 0, without gradient.   (B, 3D), μ, log σ², h -> Draw"""
        mean, log_variance, context = features.chunk(3, dim=1)
        epsilon = standard_normal_like(mean, noise)
        z, log_gates = self.flow(mean + (0.5 * log_variance).exp() * epsilon, context)
        log_q = -0.5 * (epsilon.square() + math.log(2 * math.pi) + log_variance).sum(1) - log_gates
        with torch.no_grad():
            code, _ = self.flow(mean, context)
        return Draw(z, code, None, noise, log_q=log_q)

    def flow(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """z_0 -> z_T and log |det ∂z_T/∂z_0| = Σ_t Σ_k log g.   (B, D), (B, D) -> (B, D), (B,)"""
        log_gates = z.new_zeros(len(z))
        for made in self.mades:
            m, s = made(torch.cat([z, context], dim=1)).chunk(2, dim=1)
            s = s + GATE
            g = s.sigmoid()
            z = g * z + (1 - g) * m
            log_gates = log_gates + F.logsigmoid(s).sum(1)
        return z, log_gates

    def __str__(self) -> str:
        return f"IAF, {self.steps} × {list(self.hidden)}"


def made_mask(dim: int, *, reverse: bool) -> Tensor:
    """Which of (z, h) each of (m, s) may see: m_k and s_k the latents before k in the order, and all of h.   -> (2D, 2D) bool"""
    before = torch.ones(dim, dim, dtype=torch.bool).tril(-1)
    one = torch.cat([before.T if reverse else before, torch.ones(dim, dim, dtype=torch.bool)], dim=1)
    return torch.cat([one, one])


def vae_iaf(
    dim: int,
    *,
    steps: int = 6,
    hidden: tuple[int, ...] = (64, 64),
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
) -> Recipe:
    """VAE+IAF; T = steps and the MADEs' widths are not stated, these are those of Table 5's MNIST flow (SPEC 1.6)."""
    posterior = IAF(dim, steps=steps, hidden=hidden)
    return replace(vae_bernoulli(dim), posterior=posterior, cost=cost_of(likelihood, decoder_variance))


METHODS = [vae_iaf]
