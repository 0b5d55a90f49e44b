"""Squared distances of all pairs, and their gradients by two matrix products where autograd would keep and sum differences.

D_ij = |a_i - b_j|² from the differences themselves. With G_ij the loss's derivative by D_ij, and points centred so that little cancels,

    ∂a_i = 2 (a_i Σ_j G_ij - Σ_j G_ij b_j),      ∂b_j = 2 (b_j Σ_i G_ij - Σ_i G_ij a_i)
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class SquaredDistances(torch.autograd.Function):
    """There is no second derivative."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        """(N, D), (M, D) -> (N, M)"""
        ctx.save_for_backward(a, b)
        return (a[:, None] - b).square_().sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(N, M) -> (N, D), (M, D)"""
        a, b = ctx.saved_tensors
        origin = b.mean(0)
        a, b = a - origin, b - origin
        of_a = 2 * (a * G.sum(1, keepdim=True) - G @ b) if ctx.needs_input_grad[0] else None
        of_b = 2 * (b * G.sum(0)[:, None] - G.mT @ a) if ctx.needs_input_grad[1] else None
        return of_a, of_b
