"""Sinkhorn divergence against loops, two libraries and closed forms, and the autoencoder's loss."""

import math

import numpy as np
import pytest
import torch
from small_methods import DIM, build, images, noise, normal, rows, sse_by_loops
from torch import Tensor

from models.parts.prior import StandardNormal
from models.sinkhorn import half_squared, sinkhorn_ae, sinkhorn_divergence, symmetric_transport, transport

geomloss = pytest.importorskip("geomloss")  # the extra `peers`
ot = pytest.importorskip("ot")

X = images(6)
P, Q = normal(7, 3, seed=1), 0.5 * normal(5, 3, seed=2) + 1
EPSILON = 0.4


def transport_by_loops(p: Tensor, q: Tensor, epsilon: float, iterations: int) -> float:
    cost = [[0.5 * sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows(q)] for x in rows(p)]
    n, m = len(cost), len(cost[0])
    f, g = [0.0] * n, [0.0] * m
    for _ in range(iterations):
        g = [-epsilon * math.log(sum(math.exp((f[i] - cost[i][j]) / epsilon) for i in range(n)) / n) for j in range(m)]
        f = [-epsilon * math.log(sum(math.exp((g[j] - cost[i][j]) / epsilon) for j in range(m)) / m) for i in range(n)]
    return sum(f) / n + sum(g) / m


@pytest.mark.parametrize("epsilon", [0.2, EPSILON, 3.0])
def test_it_is_the_loops(epsilon: float) -> None:
    assert transport(P, Q, epsilon, 300).item() == pytest.approx(transport_by_loops(P, Q, epsilon, 300), rel=1e-9)
    assert symmetric_transport(P, epsilon, 60).item() == pytest.approx(transport_by_loops(P, P, epsilon, 2000), rel=1e-7)


def test_its_plan_and_value_are_those_of_pot() -> None:
    cost = half_squared(P, Q).numpy()
    a, b = np.full(len(P), 1 / len(P)), np.full(len(Q), 1 / len(Q))
    plan = ot.bregman.sinkhorn_log(a, b, cost, EPSILON, numItermax=10_000, stopThr=1e-14)
    primal = (plan * cost).sum() + EPSILON * (plan * np.log(plan / np.outer(a, b))).sum()
    assert transport(P, Q, EPSILON, 300).item() == pytest.approx(primal, rel=1e-9)


def test_its_value_and_gradient_are_those_of_geomloss() -> None:
    oracle = geomloss.SamplesLoss("sinkhorn", p=2, blur=math.sqrt(EPSILON), scaling=0.999, debias=True, backend="tensorized")
    ours, theirs = (P.clone().requires_grad_() for _ in range(2))
    value, expected = sinkhorn_divergence(ours, Q, EPSILON, 300), oracle(theirs, Q)
    assert value.item() == pytest.approx(expected.item(), rel=1e-4)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss, at)[0] for loss, at in ((value, ours), (expected, theirs))), rtol=1e-2, atol=1e-3
    )


def test_its_gradient_is_that_of_finite_differences() -> None:
    p = P.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: sinkhorn_divergence(z, Q, EPSILON, 400), (p,), eps=1e-5, atol=1e-6)


def test_equal_samples_are_at_zero_others_above() -> None:
    assert sinkhorn_divergence(P, P[torch.randperm(len(P))], EPSILON, 300).item() == pytest.approx(0, abs=1e-7)
    assert sinkhorn_divergence(P, Q, EPSILON, 300) > 0.1


def test_of_two_points_it_is_half_the_squared_distance() -> None:
    assert sinkhorn_divergence(P[:1], Q[:1], EPSILON, 1).item() == pytest.approx(0.5 * (P[0] - Q[0]).square().sum().item())


def test_a_shift_adds_half_its_square() -> None:
    shifted = P + torch.tensor([1.0, -2.0, 0.5])
    assert sinkhorn_divergence(P, shifted, EPSILON, 2000).item() == pytest.approx(0.5 * 5.25, rel=1e-3)


def test_the_loss_is_sse_and_divergence_from_fresh_prior_draws() -> None:
    method = build(lambda: sinkhorn_ae(DIM, weight=3.0, epsilon=0.2, iterations=200))
    z = method.draw(X, noise()).z.detach()
    prior = StandardNormal(DIM).sample(6, noise(4))
    own = sum(transport_by_loops(each, each, 0.2 * DIM, 500) for each in (z, prior))
    divergence = transport_by_loops(z, prior, 0.2 * DIM, 500) - 0.5 * own
    sse = sum(sse_by_loops(X, method.decode(z))) / 6
    terms = method.terms(X, noise(4))
    assert terms["sinkhorn"].item() == pytest.approx(3 * divergence, rel=1e-4)
    assert terms["loss"].item() == pytest.approx(sse + 3 * divergence, rel=1e-5)
    assert method.channel.target_variance == DIM


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight": -1.0}, "weight must be 0 or larger, not -1.0"),
        ({"epsilon": 0.0}, "epsilon must be positive, not 0.0"),
        ({"iterations": 0}, "iterations must be at least 1, not 0"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sinkhorn_ae(DIM, **values)
