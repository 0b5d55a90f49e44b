"""The terms of LaDDer's Eq. 2 against loops, torch.distributions and SPEC section 9."""

import math
from functools import partial

import pytest
import torch
from small_methods import DIM, build, images, noise, normal, rows, uniform
from torch import Tensor
from torch.distributions import Independent
from torch.distributions import Normal as Gaussian

from models.interfaces import Draw
from models.ladder import vae_laplace
from models.parts.adam import Adam
from models.parts.cost import Laplace
from models.parts.elbo import CrossEntropy, Entropy, entropy, log_q, monte_carlo
from models.parts.posterior import DiagonalGaussian
from models.parts.prior import StandardNormal


def draw_of(mean: Tensor, std: Tensor, seed: int = 0) -> Draw:
    return Draw(mean + std * normal(*mean.shape, seed=seed), mean, 2 * std.log(), noise(seed))


DRAW = draw_of(normal(5, 3, seed=1), 0.2 + uniform(5, 3, seed=2))
Q = Independent(Gaussian(DRAW.mean, (0.5 * DRAW.log_variance).exp()), 1)


def test_the_golden_likelihood() -> None:
    cost = Laplace("identity")
    x, y = torch.zeros(1, 1, 2, 2), torch.tensor([0.5, -0.25, 0.25, 0]).reshape(1, 1, 2, 2)
    assert cost(x, y).item() == pytest.approx(2.0), "SPEC section 9: the log-likelihood is -2"


@pytest.mark.parametrize(
    ("output", "of"), [("sigmoid", lambda v: 1 / (1 + math.exp(-v))), ("relu", lambda v: max(v, 0.0)), ("identity", lambda v: v)]
)
@pytest.mark.parametrize("scale", [3.0, 0.01])
def test_the_likelihood_is_the_loops(output: str, of: object, scale: float) -> None:
    x, y = uniform(3, 1, 2, 2, seed=1), normal(3, 1, 2, 2, seed=2)
    errors = [[abs(a - of(b)) for a, b in zip(one, raw, strict=True)] for one, raw in zip(rows(x), rows(y), strict=True)]
    floor = sum(map(sum, errors)) / 12
    b = max(scale, floor)
    assert (b == floor) == (scale == 0.01)
    cost = Laplace(output, scale=scale)
    with torch.no_grad():
        cost.scale.neg_()  # its size counts, not its sign
    assert cost(x, y).tolist() == pytest.approx([sum(math.log(2 * b) + e / b for e in one) for one in errors], rel=1e-6)
    raw = [of(v) for v in y.flatten().tolist()]
    assert cost.image(y).flatten().tolist() == pytest.approx([min(max(v, 0.0), 1.0) for v in raw])


def test_the_floor_is_the_scale_of_highest_likelihood() -> None:
    x, y = uniform(4, 1, 3, 3, seed=1), normal(4, 1, 3, 3, seed=2)
    floor = (x - y).abs().mean().item()
    at_floor, above, below = (Laplace("identity", scale=s)(x, y).mean().item() for s in (floor, 1.1 * floor, 0.1 * floor))
    assert at_floor < above
    assert at_floor == pytest.approx(below)
    cost = Laplace("identity", scale=2 * floor)
    cost(x, y).mean().backward()
    assert cost.scale.grad > 0, "a scale above the mean error comes down"


def test_the_posterior_is_floor_and_head() -> None:
    features, deep = normal(40, 6, seed=3), torch.full((1, 6), -80.0, dtype=torch.float64)
    for head, of in (("relu", lambda v: max(v, 0.0)), ("softplus", lambda v: math.log1p(math.exp(v)))):
        draw = DiagonalGaussian(head)(features, noise(1))
        expected = [[0.001 + of(v) for v in row[3:]] for row in features.tolist()]
        assert torch.allclose((0.5 * draw.log_variance).exp(), torch.tensor(expected, dtype=torch.float64))
        assert torch.equal(draw.mean, features[:, :3])
        standard = (draw.z - draw.mean) / (0.5 * draw.log_variance).exp()
        assert torch.allclose(
            standard,
            DiagonalGaussian(head)(features * 2, noise(1)).z.sub(2 * features[:, :3])
            / (0.5 * DiagonalGaussian(head)(features * 2, noise(1)).log_variance).exp(),
        )
        assert (0.5 * DiagonalGaussian(head)(deep, noise()).log_variance).exp().tolist()[0] == pytest.approx([0.001] * 3)


def test_entropy_and_log_q_are_those_of_torch() -> None:
    assert entropy(DRAW).tolist() == pytest.approx(Q.entropy().tolist())
    assert log_q(DRAW).tolist() == pytest.approx(Q.log_prob(DRAW.z).tolist())
    assert Entropy()(DRAW, None).item() == pytest.approx(Q.entropy().mean().item())


def test_the_closed_cross_entropy_is_the_kl_and_the_entropy() -> None:
    kl = torch.distributions.kl_divergence(Q, Independent(Gaussian(torch.zeros(5, 3), torch.ones(5, 3)), 1))
    assert StandardNormal(3).expected_log_prob(DRAW).tolist() == pytest.approx((-kl - Q.entropy()).tolist())
    assert CrossEntropy()(DRAW, StandardNormal(3)).item() == pytest.approx((kl + Q.entropy()).mean().item())


class Tilted(StandardNormal):
    """N(1, I): what it inherits in closed form is of N(0, I)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z - 1)


def test_a_prior_without_a_closed_form_is_taken_at_the_draw() -> None:
    expected = -Independent(Gaussian(torch.ones(3), torch.ones(3)), 1).log_prob(DRAW.z).mean()
    assert CrossEntropy()(DRAW, Tilted(3)).item() == pytest.approx(expected.item())


def test_many_draws_find_the_closed_form() -> None:
    found = monte_carlo(StandardNormal(3).log_prob, DRAW, 20_000)
    assert found.tolist() == pytest.approx(StandardNormal(3).expected_log_prob(DRAW).tolist(), abs=0.05)


def test_the_objective_of_vae_laplace_is_the_bound() -> None:
    method, x = build(partial(vae_laplace, DIM)), images(7)
    terms, draw = method.terms(x, noise(3)), method.draw(x, noise(3))
    error = (x - method.decode(draw.z)).abs().flatten(1)
    b = max(0.5, error.mean().item())
    likelihood = torch.distributions.Laplace(method.decode(draw.z), b).log_prob(x).flatten(1).sum(1)
    std = (0.5 * draw.log_variance).exp()
    kl = (0.5 * (draw.mean**2 + std**2 - 1) - std.log()).sum(1)
    assert terms["loss"].item() == pytest.approx((kl - likelihood).mean().item(), rel=1e-5)
    assert set(terms) == {"loss", "reconstruction", "entropy", "cross_entropy", "aevb_kl", "elbo"}


def test_the_scale_is_a_player_of_its_own() -> None:
    method, x = build(partial(vae_laplace, DIM, scale_lr=0.2, clip=0.5)), images(7)
    own, scale = method.players()
    assert (own.name, scale.name, scale.lr, own.clip, scale.clip) == ("autoencoder", "laplace_scale", 0.2, 0.5, 0.5)
    assert scale.parameters == (method.recipe.cost.scale,)
    assert method.recipe.cost.scale not in set(own.parameters)
    assert scale.terms(x, noise(3))["loss"].item() == pytest.approx(own.terms(x, noise(3))["reconstruction"].item())
    scale.terms(x, noise(3))["loss"].backward()
    assert all(p.grad is None for p in own.parameters)


def test_the_scales_player_is_trained_as_its_cost_says() -> None:
    cost = Laplace(adam=Adam(0.2, 0.9, 0.3))
    (player,) = cost.players(build(partial(vae_laplace, DIM)), 1.0)
    assert (player.lr, player.decay, player.clip, player.parameters) == (0.2, 0.9, 0.3, (cost.scale,))


@pytest.mark.parametrize("scale", [0.0, -0.5, math.inf, math.nan])
def test_a_scale_that_cannot_be_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be positive, not"):
        Laplace(scale=scale)


@pytest.mark.parametrize("values", [{"lr": 0.0}, {"decay": 0.0}, {"clip": -1.0}])
def test_rates_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Adam(**values)
