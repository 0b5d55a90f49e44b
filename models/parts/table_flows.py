"""The two flows of VCAE's Table 5 as it prints them; `maf` and `realnvp` of models/parts/density.py are easier to train.

"Variance Constrained Autoencoding", Table 5, read from z to w; SPEC 3.3, T11. With T the layers of the table:

    MNIST   w = shift + scale ⊙ T(z),  T = MAF[64, 64], 5 × {permutation, MAF[64, 64]}
    CelebA  w = T(z),                  T = RealNVP[256, 256, 256], 7 × {permutation, RealNVP[256, 256, 256]}

    log |det ∂w/∂z| = log |det ∂T/∂z| + Σ_k log scale_k

Scale and shift start at 1 and 0, so that nothing is fitted to the codes before training. What kind the permutations are is not stated.
"""

from typing import Literal

import torch
from torch import Tensor
from zuko.flows import MAF
from zuko.lazy import LazyComposedTransform, LazyTransform

from models.parts.density import Coupling, Density, Flow, Hidden, check

Permutation = Literal["reversal", "random"]


class TableFlow(Flow):
    """z = f(w), w ~ N(0, I), with f⁻¹ the layers of a column of Table 5; a column without scale and shift has 1 and 0 for ever."""

    capturable = True

    def __init__(self, dim: int, transform: LazyTransform, words: str, *, scaled: bool):
        super().__init__(dim, transform, words)
        if not scaled:
            for name in ("shift", "log_scale"):
                delattr(self, name)
                self.register_buffer(name, torch.zeros(dim))

    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """Nothing starts at the codes.   (N, D)"""

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """w = f⁻¹(z) and log |det ∂w/∂z|.   (B, D) -> (B, D), (B,)"""
        w, log_det = self.transform().call_and_ladj(z)
        return self.shift + self.log_scale.exp() * w, log_det + self.log_scale.sum()

    def forward(self, w: Tensor) -> Tensor:
        """z of w.   (B, D) -> (B, D)"""
        z: Tensor = self.transform().inv((w - self.shift) * (-self.log_scale).exp())
        return z


def maf_table5(dim: int, *, transforms: int = 6, hidden: Hidden = (64, 64), permutation: Permutation = "reversal") -> Density:
    """The MNIST column of Table 5: MADEs with ReLU and a permutation between them, then scale and shift at the w end."""
    check(transforms, hidden)
    flow = MAF(dim, transforms=transforms, randperm=permutation == "random", hidden_features=hidden)
    return TableFlow(dim, flow.transform, f"MAF of Table 5, {transforms} × {list(hidden)}, {permutation}", scaled=True)


def realnvp_table5(dim: int, *, transforms: int = 8, hidden: Hidden = (256, 256, 256)) -> Density:
    """The CelebA column of Table 5: affine couplings of halves, a random permutation of its own for each, no scale and no shift.

    A coupling keeps the first half of its permutation and moves the rest. zuko bounds log-scales softly at ±6.9.
    """
    check(transforms, hidden)
    orders = [torch.randperm(dim) for _ in range(transforms)]
    couplings = [Coupling(dim, mask=order.argsort() < dim // 2, hidden_features=hidden) for order in orders]
    return TableFlow(dim, LazyComposedTransform(*couplings), f"RealNVP of Table 5, {transforms} × {list(hidden)}", scaled=False)


DENSITIES = [maf_table5, realnvp_table5]
