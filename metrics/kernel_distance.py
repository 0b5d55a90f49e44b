"""The kernel distance between two sets of features: MMD² with the cubic kernel, as in the kernel Inception distance.

Bińkowski et al., arXiv:1801.01401, section 4:  k(x, y) = (x·y / D + 1)³, and of n images against m samples

    Σ_{i≠j} k(x_i, x_j) / n(n-1)  +  Σ_{i≠j} k(y_i, y_j) / m(m-1)  -  2 Σ_ij k(x_i, y_j) / nm

over all pairs. The paper's code averages the same unbiased estimate over random subsets of 1,000; its expectation is this
number, which depends on no subsets and no order of the images. May be negative.
"""

import torch
from torch import Tensor

from metrics.finite import require_rows

CHUNK = 1000  # rows of a kernel matrix at a time


def kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    """Σ_ij k(a_i, b_j).   (N, D), (M, D) float64 -> ()"""
    return torch.stack([(rows @ b.T / a.shape[1] + 1).pow(3).sum() for rows in a.split(CHUNK)]).sum()


def within(a: Tensor) -> Tensor:
    """Mean of k(a_i, a_j) over i ≠ j.   (N, D) float64 -> ()"""
    own = (a.square().sum(1) / a.shape[1] + 1).pow(3).sum()
    return (kernel_sum(a, a) - own) / (len(a) * (len(a) - 1))


def kernel_distance(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased MMD² with the cubic kernel, in float64; Unavailable of fewer than two rows.   (N, D), (M, D) -> ()"""
    require_rows("images", a)
    require_rows("images", b)
    a, b = a.double(), b.double()
    return within(a) + within(b) - 2 * kernel_sum(a, b) / (len(a) * len(b))
