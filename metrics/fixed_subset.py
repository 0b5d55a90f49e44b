"""Which images stand for a set where not all of it is taken.

Never the first ones: rendered sets are in the order of their factors, so that the first 10,000 images of 3D-Shapes have one floor, and
the first half of MNIST's test images is the easier one.
"""

import torch
from torch import Tensor


def subset_indices(count: int, n: int) -> Tensor:
    """Indices of n of `count` rows, at random but always the same, in rising order; all where there are no more.   -> (min(n, count),)"""
    if n >= count:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))[:n].sort().values


def subset(rows: Tensor, n: int) -> Tensor:
    """Those rows.   (N, ...) -> (min(n, N), ...)"""
    return rows if n >= len(rows) else rows[subset_indices(len(rows), n).to(rows.device)]
