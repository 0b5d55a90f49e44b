"""Sliced Wasserstein distance between two samples of one size, and its gradients from the order that its value has sorted.

Kolouri et al., "Sliced-Wasserstein Autoencoder", arXiv:1804.01947, Eq. 15; Bonneel et al. 2015. With p_(1) ≤ p_(2) ≤ ... along θ:

    SW² = 1/LN Σ_l Σ_n (θ_l·p_(n) - θ_l·q_(n))²,      ∂/∂q_n = 2/LN Σ_l (θ_l·q_n - θ_l·p_(rank of n)) θ_l
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.kernels.tiles import guarded


def unit_vectors(n: int, dim: int, seed: int = 0) -> Tensor:
    """n directions, uniform on the sphere, the same for a seed, on the CPU, float64.   -> (n, dim)"""
    vectors = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def squared_sliced_wasserstein(p: Tensor, q: Tensor, directions: Tensor) -> Tensor:
    """SW²_2 over these unit vectors, squared units of the points; NaN, and so are its gradients, if a number is not finite.

    (N, D), (N, D), (L, D) -> ().   ValueError for samples of two sizes.
    """
    if len(p) != len(q):
        raise ValueError(f"p and q must have as many points each, not {len(p)} and {len(q)}")
    return guarded(Sliced.apply(p, q, directions), p, q, directions)


class Sliced(torch.autograd.Function):
    """No second derivative, and none by the directions."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor, directions: Tensor) -> Tensor:
        """The squared sliced Wasserstein distance.   (n, D), (n, D), (L, D) -> ()"""
        (along_p, order_p), (along_q, order_q) = ((directions @ x.mT).sort(1) for x in (p, q))  # (L, N)
        apart = along_q - along_p
        scale = 2 / apart.numel()
        gradients = [
            (scale * sign * torch.empty_like(apart).scatter_(1, order, apart)).mT @ directions if wanted else None
            for sign, order, wanted in zip((-1, 1), (order_p, order_q), ctx.needs_input_grad[:2], strict=True)
        ]
        ctx.save_for_backward(*gradients)
        return apart.square().mean(dtype=torch.float64).to(apart.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """-> (N, D), (N, D)"""
        return (*(None if gradient is None else upstream * gradient for gradient in ctx.saved_tensors), None)
