"""Shortest likely path: interpolation that stays where a prior has its mass.

LaDDer (arXiv:2009.00088), Eq. 9 and section 3.4; SPEC 7.1. With s_0 and s_{J+1} given, over s_1 ... s_J:

    min  w_L Σ_{j=0}^J |s_{j+1} - s_j|  +  w_S std_j |s_{j+1} - s_j|  -  Σ_{j=1}^J log p(s_j)

The paper's weights are 1; its code's, the default here, are 10 and 100. The straight line it starts from is the shortest path.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.method import AutoEncoder
from models.parts.nested import NestedPrior

SMALL = 1e-12  # a variance: equal steps have a deviation without a gradient


def straight_path(start: Tensor, end: Tensor, points: int = 8) -> Tensor:
    """The ends and `points` in between, evenly.   (D,), (D,) -> (points + 2, D)"""
    share = torch.linspace(0, 1, points + 2, device=start.device, dtype=start.dtype)[:, None]
    return torch.lerp(start, end, share)


def path_loss(path: Tensor, log_prob: Callable[[Tensor], Tensor], *, length: float = 10.0, evenness: float = 100.0) -> Tensor:
    """Eq. 9 with w_L = length and w_S = evenness.   (J + 2, D) -> ()"""
    steps = path.diff(dim=0).norm(dim=1)
    std = (steps.var(correction=0) + SMALL).sqrt()
    return length * steps.sum() + evenness * std - log_prob(path[1:-1]).sum()


def shortest_likely_path(
    start: Tensor,
    end: Tensor,
    log_prob: Callable[[Tensor], Tensor],
    *,
    points: int = 8,
    length: float = 10.0,
    evenness: float = 100.0,
    iterations: int = 500,
    lr: float = 0.01,
) -> Tensor:
    """The path after `iterations` steps of Adam from the straight line; log_prob: (J, D) -> (J,), nats.

    (D,), (D,) -> (points + 2, D)
    """
    if points < 1:
        raise ValueError(f"points must be at least 1, not {points}")
    path = straight_path(start.detach(), end.detach(), points)
    inner = path[1:-1].clone().requires_grad_()
    optimizer = torch.optim.Adam([inner], lr=lr, betas=(0.9, 0.95))
    for _ in range(iterations):
        loss = path_loss(torch.cat([path[:1], inner, path[-1:]]), log_prob, length=length, evenness=evenness)
        (inner.grad,) = torch.autograd.grad(loss, [inner])
        torch.nn.utils.clip_grad_value_([inner], 1.0)
        optimizer.step()
    return torch.cat([path[:1], inner.detach(), path[-1:]])


@torch.no_grad()
def interpolate(method: AutoEncoder, pair: Tensor, noise: torch.Generator, *, points: int = 8, likely: bool = True) -> Tensor:
    """Images along the likely, or the straight, path between two images' mean codes: of t for a nested prior, else of z.

    (2, C, H, W) -> (points + 2, C, H, W)
    """
    prior = method.prior
    if prior is None:
        raise ValueError("a method without a prior has no likely path; fit a density to its codes")
    ends, log_prob, back = method.draw(pair, noise).mean, prior.log_prob, lambda z: z
    if isinstance(prior, NestedPrior) and not prior.warming:
        ends, log_prob, back = prior.draw(ends, noise).mean, prior.hyper.log_prob, prior.decoder
    if not likely:
        return method.decode(back(straight_path(ends[0], ends[1], points)))
    with torch.enable_grad():
        path = shortest_likely_path(ends[0], ends[1], log_prob, points=points)
    return method.decode(back(path))
