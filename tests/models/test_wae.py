"""WAE-MMD, cWAE and WAE-GAN as assembled: the whole loss against loops."""

import math
from collections.abc import Callable

import pytest
import torch
from small_methods import DIM, P, Q, build, images, mmd_by_loops, noise, rows, sigmoid, sse_by_loops
from torch import Tensor

from models.interfaces import Draw
from models.method import AutoEncoder, Recipe
from models.parts.posterior import AdditiveNoise, Deterministic
from models.parts.prior import StandardNormal
from models.wae import MMD, KernelName, cwae, wae_gan, wae_mmd

X = images(6)
C = 2.0 * DIM


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def replay(method: AutoEncoder, seed: int) -> tuple[Tensor, Tensor]:
    """The codes and prior draws that one loss takes from this seed, in its order."""
    stream = noise(seed)
    draw = method.draw(X, stream)
    assert method.prior is not None
    return draw.z.detach(), method.prior.sample(len(X), stream)


def imq7(r2: float) -> float:
    return sum(s * C / (s * C + r2) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))


@pytest.mark.parametrize(
    ("make", "k"),
    [
        (lambda: wae_mmd(DIM, weight=3.0), lambda r2: C / (C + r2)),
        (lambda: wae_mmd(DIM, weight=3.0, kernel="imq7"), imq7),
        (lambda: wae_mmd(DIM, weight=3.0, kernel="rbf"), lambda r2: math.exp(-r2 / C)),
        (lambda: wae_mmd(DIM, weight=3.0, prior_variance=2.0), lambda r2: 2 * C / (2 * C + r2)),
        (lambda: cwae(DIM, weight=3.0, noise_variance=0.3), lambda r2: C / (C + r2)),
    ],
)
def test_the_loss_is_the_loops(make: Callable[[], Recipe], k: Callable[[float], float]) -> None:
    method = build(make)
    codes, prior = replay(method, 4)
    terms = method.terms(X, noise(4))
    sse = mean(sse_by_loops(X, method.decode(codes)))
    regulariser = 3 * mmd_by_loops(prior, codes, k)
    assert terms["reconstruction"].item() == pytest.approx(sse, rel=1e-5)
    assert terms["mmd"].item() == pytest.approx(regulariser, abs=1e-5)
    assert terms["loss"].item() == pytest.approx(sse + regulariser, rel=1e-5)


def test_rbf_median_takes_its_width_from_the_batch() -> None:
    method = build(lambda: wae_mmd(DIM, weight=3.0, kernel="rbf_median"))
    codes, prior = replay(method, 4)

    def nth_largest(a: Tensor, b: Tensor) -> float:
        return sorted((sum((s - t) ** 2 for s, t in zip(u, v, strict=True)) for u in rows(a) for v in rows(b)), reverse=True)[14]

    s = nth_largest(prior, codes) + nth_largest(codes, codes)
    expected = 3 * mmd_by_loops(prior, codes, lambda r2: math.exp(-r2 / (2 * s)))
    assert method.terms(X, noise(4))["mmd"].item() == pytest.approx(expected, abs=1e-5)


class Fixed(StandardNormal):
    """A prior whose draws are SPEC section 9's P."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        return P[:n]


@pytest.mark.parametrize(("kernel", "value"), [("imq", -0.170275), ("imq7", -0.833783), ("rbf", -0.235474)])
def test_the_regulariser_has_the_golden_values_at_d_two(kernel: KernelName, value: float) -> None:
    draw = Draw(Q, torch.zeros_like(Q), None, noise())
    assert MMD(kernel)(draw, Fixed(2)).item() == pytest.approx(value, abs=5e-7)


def test_mmd_sees_the_noisy_codes() -> None:
    z, mean_code = torch.randn(8, 2, generator=noise(1)), torch.zeros(8, 2)
    moved = MMD()(Draw(z + 3, mean_code, None, noise(2)), StandardNormal(2))
    assert MMD()(Draw(z, mean_code, None, noise(2)), StandardNormal(2)) < moved
    assert MMD()(Draw(z, mean_code + 3, None, noise(2)), StandardNormal(2)) < moved


def test_prior_draws_are_fresh_at_each_step() -> None:
    stream, z = noise(), torch.zeros(8, 2)
    draw = Draw(z, z, None, stream)
    assert MMD()(draw, StandardNormal(2)).item() != MMD()(draw, StandardNormal(2)).item()


def test_cwae_without_noise_is_wae_mmd() -> None:
    one, other = (
        build(make).terms(X, noise()) for make in (lambda: cwae(DIM, weight=7.0, noise_variance=0.0), lambda: wae_mmd(DIM, weight=7.0))
    )
    assert {name: term.item() for name, term in one.items()} == {name: term.item() for name, term in other.items()}


def test_wae_gan_is_the_loops() -> None:
    method = build(lambda: wae_gan(DIM, weight=3.0, width=6))
    critic, autoencoder = method.players()
    assert (critic.name, autoencoder.name) == ("prior_match", "autoencoder")  # the order of Algorithm 1
    codes, prior = replay(method, 4)
    net = method.recipe.regularisers[0][1].net
    fake, real = (net(z).squeeze(1).tolist() for z in (codes, prior))
    adversary = 3 * (mean([-math.log(sigmoid(t)) for t in real]) + mean([-math.log(1 - sigmoid(t)) for t in fake]))
    encoder = mean(sse_by_loops(X, method.decode(codes))) + 3 * mean([-math.log(sigmoid(t)) for t in fake])
    assert critic.terms(X, noise(4))["loss"].item() == pytest.approx(adversary, rel=1e-5)
    assert autoencoder.terms(X, noise(4))["loss"].item() == pytest.approx(encoder, rel=1e-5)


def test_the_critics_turn_leaves_the_encoder_alone() -> None:
    method = build(lambda: wae_gan(DIM, width=6))
    critic, _ = method.players()
    critic.terms(X, noise())["loss"].backward()
    assert all(p.grad is None for module in (method.encoder, method.decoder) for p in module.parameters())
    assert all(p.grad is not None for p in critic.parameters)


def test_values_of_a_recipe_reach_its_parts() -> None:
    recipe = wae_gan(DIM, weight=2.0, prior_variance=4.0, width=6, pz_trick=True, critic_lr=0.5)
    ((weight, critic),) = recipe.regularisers
    assert (weight, critic.net[0].out_features, critic.pz_trick, critic.lr) == (2.0, 6, True, 0.5)
    assert (str(recipe.prior), recipe.target_variance) == ("N(0, 4 I)", 12)
    assert build(lambda: recipe).players()[0].lr == 0.5


def test_defaults_are_the_papers() -> None:
    assert [make(DIM).regularisers[0][0] for make in (wae_mmd, wae_gan, cwae)] == [10, 10, 50]
    assert [str(make(DIM).prior) for make in (wae_mmd, wae_gan, cwae)] == ["N(0, I)"] * 3
    assert [make(DIM).target_variance for make in (wae_mmd, wae_gan, cwae)] == [3] * 3
    assert [type(make(DIM).posterior) for make in (wae_mmd, wae_gan, cwae)] == [Deterministic, Deterministic, AdditiveNoise]
    assert cwae(DIM).posterior.variance == 0.05
    assert wae_mmd(DIM).regularisers[0][1] == MMD("imq", 1.0)


@pytest.mark.parametrize("make", [wae_mmd, wae_gan, cwae])
@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_a_negative_weight_is_refused(make: Callable[..., Recipe], weight: float) -> None:
    with pytest.raises(ValueError, match=f"weight must be 0 or larger, not {weight}"):
        make(DIM, weight=weight)


def test_regularisers_say_what_they_are() -> None:
    assert [str(MMD()), str(MMD("rbf_median"))] == ["MMD, imq", "MMD, rbf_median"]
