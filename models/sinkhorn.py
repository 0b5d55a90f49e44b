"""Sinkhorn autoencoder: the codes' law is brought to the prior by entropic optimal transport.

Patrini et al., "Sinkhorn AutoEncoders", arXiv:1810.01118, section 3, Algorithm 1; the debiased form of Genevay et al., "Learning
Generative Models with Sinkhorn Divergences", arXiv:1706.00292, Eq. 2, with KL for the entropy. With z_i the n codes of a batch and
as many prior draws z'_j:

    min_{Q,G}  E c(x, G(z))  +  β S(Q_Z, P_Z),       S(Q, P) = W(Q, P) - ½ W(Q, Q) - ½ W(P, P)
    W(Q, P) = min_Π Σ_ij Π_ij ½ |z_i - z'_j|² + ε KL(Π || 1/n²)     over Π with rows and columns of sum 1/n
            = 1/n Σ_i f_i + 1/n Σ_j g_j     where      f_i = -ε log 1/n Σ_j exp((g_j - ½ |z_i - z'_j|²) / ε)     and the same for g

f and g are found by L such updates in turn, in logarithms; the gradient is that of the last f alone, g held: at the optimum, where the
sum is at its maximum over f and g, that is all of it.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.prior import StandardNormal
from models.parts.schedule import Weight, non_negative
from models.vae import ae


def half_squared(p: Tensor, q: Tensor) -> Tensor:
    """½ |p_i - q_j|².   (N, D), (M, D) -> (N, M)"""
    return 0.5 * (p[:, None] - q).square().sum(2)


def soft_minimum(cost: Tensor, potential: Tensor, epsilon: float) -> Tensor:
    """-ε log 1/M Σ_j exp((potential_j - cost_ij) / ε).   (N, M), (M,) -> (N,)"""
    return -epsilon * (((potential - cost) / epsilon).logsumexp(1) - math.log(cost.shape[1]))


def transport(p: Tensor, q: Tensor, epsilon: float, iterations: int) -> Tensor:
    """W of two samples of one weight a point, by its dual.   (N, D), (M, D) -> ()"""
    cost = half_squared(p, q)
    with torch.no_grad():
        f = soft_minimum(cost, cost.new_zeros(len(q)), epsilon)
        for _ in range(iterations):
            g = soft_minimum(cost.T, f, epsilon)
            f = soft_minimum(cost, g, epsilon)
    return soft_minimum(cost, g, epsilon).mean() + g.mean()


def symmetric_transport(p: Tensor, epsilon: float, iterations: int) -> Tensor:
    """W of a sample and itself, whose two potentials are one, by the mean of it and its update.   (N, D) -> ()"""
    cost = half_squared(p, p)
    with torch.no_grad():
        f = soft_minimum(cost, cost.new_zeros(len(p)), epsilon)
        for _ in range(iterations):
            f = 0.5 * (f + soft_minimum(cost, f, epsilon))
    return soft_minimum(cost, f, epsilon).mean() + f.mean()


def sinkhorn_divergence(p: Tensor, q: Tensor, epsilon: float, iterations: int) -> Tensor:
    """S above, 0 for p = q.   (N, D), (M, D) -> ()"""
    own = symmetric_transport(p, epsilon, iterations) + symmetric_transport(q, epsilon, iterations)
    return transport(p, q, epsilon, iterations) - 0.5 * own


@dataclass(frozen=True)
class Sinkhorn:
    """S between the codes and fresh prior draws, as many as codes, with ε in proportion to the latents, as the cost is."""

    capturable = True
    epsilon: float  # of ε = epsilon · D
    iterations: int  # L
    name = "sinkhorn"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert prior is not None
        z = prior.sample(len(draw.z), draw.noise)
        return sinkhorn_divergence(draw.z, z, self.epsilon * draw.z.shape[1], self.iterations)

    def __str__(self) -> str:
        return f"Sinkhorn divergence, ε = {self.epsilon:g} d, {self.iterations} iterations"


def sinkhorn_ae(dim: int, *, weight: Weight = 10.0, epsilon: float = 0.1, iterations: int = 20) -> Recipe:
    """Sinkhorn autoencoder on N(0, I): deterministic encoder, squared error, weight is β (section 3, Algorithm 1)."""
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be positive, not {epsilon}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    divergence = Sinkhorn(epsilon, iterations)
    return replace(ae(dim), prior=StandardNormal(dim), regularisers=((non_negative(weight), divergence),), target_variance=float(dim))


METHODS = [sinkhorn_ae]
