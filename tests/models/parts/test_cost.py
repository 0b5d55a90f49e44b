"""Costs against loops and torch.distributions; SPEC T1: summed over an image's values."""

import math

import pytest
import torch
from small_methods import normal, rows, sigmoid, uniform
from torch.distributions import Normal

from models.interfaces import Cost
from models.parts.cost import Bernoulli, Gaussian, SquaredError

X, Y = uniform(3, 1, 2, 4, seed=1), 2 * normal(3, 1, 2, 4, seed=2)
COSTS = [SquaredError(), Gaussian(0.3), Bernoulli()]


def sse(x: float, y: float) -> float:
    return (x - sigmoid(y)) ** 2


def bce(x: float, y: float) -> float:
    return -(x * math.log(sigmoid(y)) + (1 - x) * math.log(1 - sigmoid(y)))


@pytest.mark.parametrize(
    ("cost", "of_value"),
    [(SquaredError(), sse), (Gaussian(0.3), lambda x, y: sse(x, y) / 0.6), (Bernoulli(), bce)],
    ids=["squared error", "gaussian", "bernoulli"],
)
def test_a_cost_is_the_loops(cost: Cost, of_value: object) -> None:
    loops = [sum(of_value(x, y) for x, y in zip(xs, ys, strict=True)) for xs, ys in zip(rows(X), rows(Y), strict=True)]
    assert cost(X, Y).tolist() == pytest.approx(loops)


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_twice_the_values_cost_twice_as_much(cost: Cost) -> None:
    wide_x, wide_y = torch.cat([X, X], 3), torch.cat([Y, Y], 3)
    assert cost(wide_x, wide_y).tolist() == pytest.approx((2 * cost(X, Y)).tolist())


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_the_image_of_an_output_is_its_sigmoid(cost: Cost) -> None:
    assert rows(cost.image(Y)) == [pytest.approx([sigmoid(y) for y in ys]) for ys in rows(Y)]
    assert cost.image(torch.tensor([-1e3, 1e3])).tolist() == [0, 1]


def test_gaussian_is_the_negative_log_likelihood_but_for_its_constant() -> None:
    cost = Gaussian(0.3)
    constant = 8 / 2 * math.log(2 * math.pi * 0.3)
    nll = -Normal(cost.image(Y), math.sqrt(0.3)).log_prob(X).flatten(1).sum(1)
    assert (cost(X, Y) + constant).tolist() == pytest.approx(nll.tolist())
    assert cost.log_likelihood(X, Y).tolist() == pytest.approx((-nll).tolist())


def test_bernoulli_is_the_negative_log_likelihood_itself() -> None:
    log_prob = torch.distributions.Bernoulli(logits=Y, validate_args=False).log_prob(X).flatten(1).sum(1)
    assert Bernoulli().log_likelihood(X, Y).tolist() == pytest.approx(log_prob.tolist())


def test_likelihoods_name_their_kind_and_a_squared_error_is_none() -> None:
    assert [getattr(cost, "likelihood", None) for cost in COSTS] == [None, "gaussian", "bernoulli"]


def test_costs_are_least_at_the_image_itself() -> None:
    at, beside = torch.logit(X), torch.logit(X) + 0.1
    assert all((cost(X, at) < cost(X, beside)).all() for cost in COSTS)
    assert SquaredError()(X, at).tolist() == pytest.approx([0] * 3, abs=1e-20)


@pytest.mark.parametrize("variance", [0, -1, math.inf, math.nan])
def test_a_decoder_variance_is_positive(variance: float) -> None:
    with pytest.raises(ValueError, match=f"decoder_variance must be positive, not {variance}"):
        Gaussian(variance)


def test_costs_say_what_they_are() -> None:
    assert [str(cost) for cost in COSTS] == ["SSE", "Gaussian, σ_G² = 0.3", "Bernoulli"]
