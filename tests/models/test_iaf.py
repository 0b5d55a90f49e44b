"""The inverse autoregressive posterior: its formula step by step, its density by autograd, its order."""

import math
from collections.abc import Callable

import pytest
import torch
from small_methods import build, images, noise, normal, rows, sigmoid
from torch import Tensor

from metrics.divergences import gaussian_kl
from metrics.reconstruction import bernoulli_nll, squared_error
from models.iaf import IAF, made_mask, vae_iaf
from models.parts.posterior import standard_normal_like
from models.parts.prior import StandardNormal
from models.vae import KL

DIM, STEPS = 3, 4
FEATURES = normal(6, 3 * DIM, seed=1)


def posterior(dim: int = DIM, steps: int = STEPS, hidden: tuple[int, ...] = (16, 16), moved: float = 0.3) -> IAF:
    """In float64, its weights moved off their start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        iaf = IAF(dim, steps=steps, hidden=hidden).double()
    with torch.no_grad():
        for parameter in iaf.parameters():
            parameter += moved * torch.randn(parameter.shape, generator=noise(2), dtype=torch.float64)
    return iaf


def test_the_draw_and_its_log_density_are_the_papers_steps() -> None:
    iaf = posterior()
    draw = iaf(FEATURES, noise(3))
    assert draw.log_q is not None
    for i, (f, epsilon) in enumerate(zip(rows(FEATURES), rows(standard_normal_like(FEATURES[:, :DIM], noise(3))), strict=True)):
        mean, log_variance, h = f[:DIM], f[DIM : 2 * DIM], f[2 * DIM :]
        z = [mean[k] + math.exp(log_variance[k] / 2) * epsilon[k] for k in range(DIM)]
        log_q = -sum(0.5 * epsilon[k] ** 2 + 0.5 * math.log(2 * math.pi) + log_variance[k] / 2 for k in range(DIM))
        for made in iaf.mades:
            ms = made(torch.tensor([z + h], dtype=torch.float64))[0].tolist()
            g = [sigmoid(ms[DIM + k] + 1.5) for k in range(DIM)]
            z = [g[k] * z[k] + (1 - g[k]) * ms[k] for k in range(DIM)]
            log_q -= sum(math.log(g[k]) for k in range(DIM))
        assert draw.z[i].tolist() == pytest.approx(z)
        assert draw.log_q[i].item() == pytest.approx(log_q)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_log_q_is_the_change_of_variables_by_autograd(dim: int) -> None:
    iaf, features = posterior(dim), normal(4, 3 * dim, seed=5)
    epsilons = standard_normal_like(features[:, :dim], noise(7))
    draw = iaf(features, noise(7))
    assert draw.log_q is not None
    for i in range(4):
        mean, log_variance, h = features[i : i + 1].chunk(3, dim=1)

        def code(epsilon: Tensor, mean: Tensor = mean, log_variance: Tensor = log_variance, h: Tensor = h) -> Tensor:
            return iaf.flow(mean + (log_variance / 2).exp() * epsilon, h)[0][0]

        assert torch.allclose(code(epsilons[i]), draw.z[i])
        log_det = torch.linalg.slogdet(torch.autograd.functional.jacobian(code, epsilons[i])).logabsdet
        log_normal = -0.5 * (epsilons[i].square() + math.log(2 * math.pi)).sum()
        assert draw.log_q[i].item() == pytest.approx((log_normal - log_det).item())


def test_each_step_is_triangular_and_the_next_in_the_reverse_order() -> None:
    iaf = posterior(dim=4, steps=3, hidden=(64, 64))
    z, h = normal(4, seed=1), normal(4, seed=2)
    for t, made in enumerate(iaf.mades):

        def moved(z: Tensor, h: Tensor, made: torch.nn.Module = made) -> Tensor:
            m, s = made(torch.cat([z, h])[None])[0].chunk(2)
            return m + 10 * s

        by_z, by_h = torch.autograd.functional.jacobian(moved, (z, h))
        below = by_z.tril(-1) if t % 2 == 0 else by_z.triu(1)
        assert torch.equal(by_z, below)  # neither itself nor what comes later in its order
        assert (below != 0).sum() == 6  # and all that comes before
        assert (by_h != 0).all()


def test_the_mask_by_hand() -> None:
    one = [[0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 1], [1, 1, 0, 1, 1, 1]]
    other = [[0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert made_mask(3, reverse=False).int().tolist() == one + one
    assert made_mask(3, reverse=True).int().tolist() == other + other


@pytest.mark.parametrize("seed", range(3))
def test_gates_start_between_the_papers_bounds(seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        iaf = IAF(8, steps=6, hidden=(64, 64))
    z, h = normal(200, 8, seed=1).float(), normal(200, 8, seed=2).float()
    for made in iaf.mades:
        s = made(torch.cat([z, h], dim=1)).chunk(2, dim=1)[1]
        assert 0.73 < (s + 1.5).sigmoid().min() < (s + 1.5).sigmoid().max() < 0.88
    log_gates = iaf.flow(z, h)[1] / 48  # a step and latent
    assert math.log(0.73) < log_gates.min() < log_gates.max() < math.log(0.88)


def test_steps_that_see_nothing_leave_a_gaussian_whose_kl_is_known() -> None:
    iaf = posterior()
    with torch.no_grad():
        for parameter in iaf.parameters():
            parameter.zero_()  # m = 0 and g = sigmoid(1.5): z_T = g^T z_0
    scale = sigmoid(1.5) ** STEPS
    mean, log_variance = FEATURES[:1, :DIM], FEATURES[:1, DIM : 2 * DIM]
    draw = iaf(FEATURES[:1].expand(40_000, -1), noise(1))
    assert torch.allclose(draw.mean[0], scale * mean[0])
    assert draw.z.mean(0).tolist() == pytest.approx((scale * mean[0]).tolist(), abs=0.02)
    known = gaussian_kl(scale * mean, log_variance + 2 * math.log(scale)).item()
    assert KL()(draw, StandardNormal(DIM)).item() == pytest.approx(known, abs=0.03)


def test_the_regulariser_is_log_q_minus_log_p() -> None:
    draw, prior = posterior()(FEATURES, noise(3)), StandardNormal(DIM, variance=2.0)
    assert draw.log_q is not None
    loops = [q + sum(v * v / 4 + 0.5 * math.log(4 * math.pi) for v in z) for q, z in zip(draw.log_q.tolist(), rows(draw.z), strict=True)]
    assert KL()(draw, prior).item() == pytest.approx(sum(loops) / 6)


def test_the_mean_code_is_that_of_no_noise() -> None:
    iaf = posterior()
    draw = iaf(FEATURES, noise(3))
    assert torch.allclose(draw.mean, iaf.flow(FEATURES[:, :DIM], FEATURES[:, 2 * DIM :])[0])
    silent = torch.cat([FEATURES[:, :DIM], torch.full((6, DIM), -80.0), FEATURES[:, 2 * DIM :]], dim=1)
    assert torch.allclose(iaf(silent, noise(4)).z, draw.mean)
    assert (draw.log_variance, draw.mean.requires_grad) == (None, False)


def test_noise_comes_from_the_generator() -> None:
    iaf, before = posterior(), torch.get_rng_state()
    stream = noise(3)
    first, second = iaf(FEATURES, stream).z, iaf(FEATURES, stream).z
    assert not torch.equal(first, second)
    assert torch.equal(first, iaf(FEATURES, noise(3)).z)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("likelihood", "data"),
    [("bernoulli", bernoulli_nll), ("gaussian", lambda x, y: squared_error(x, y.sigmoid()) / (2 * 0.2))],
)
def test_the_objective(likelihood: str, data: Callable[[Tensor, Tensor], Tensor]) -> None:
    method = build(lambda: vae_iaf(DIM, likelihood=likelihood, decoder_variance=0.2))  # type: ignore[arg-type]
    x = images(7)
    terms, draw = method.terms(x, noise(5)), method.draw(x, noise(5))
    assert draw.log_q is not None
    nats = data(x, method.decoder(draw.z)) + draw.log_q - StandardNormal(DIM).log_prob(draw.z)
    assert terms["loss"].item() == pytest.approx(nats.mean().item(), rel=1e-5)
    assert set(terms) == {"loss", "reconstruction", "kl"}


def test_every_parameter_gets_a_gradient_from_the_one_player() -> None:
    method = build(lambda: vae_iaf(DIM))
    (player,) = method.players()
    assert {id(p) for p in player.parameters} == {id(p) for p in method.parameters()}
    player.terms(images(20), noise())["loss"].backward()
    assert [name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(
    ("steps", "hidden", "message"),
    [(0, (8,), "steps must be at least 1, not 0"), (2, (), "hidden must be the widths"), (2, (8, 0), r"not \[8, 0\]")],
)
def test_what_cannot_be_is_refused(steps: int, hidden: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vae_iaf(DIM, steps=steps, hidden=hidden)


def test_it_says_what_it_is() -> None:
    recipe = vae_iaf(DIM)
    assert recipe.description() == {"posterior": "IAF, 6 × [64, 64]", "cost": "Bernoulli", "regularisers": "1 × KL", "prior": "N(0, I)"}
    assert (recipe.posterior.outputs, recipe.posterior.variance) == (3, None)
