"""Assembly: terms and their scale, players, and the interface of a method."""

import pytest
import torch
from small_methods import DIM, SHAPE, build, images, noise, tiny, tiny_with_batch_norm
from torch import nn

from metrics.latent import Channel
from models.method import AutoEncoder, Recipe
from models.parts.cost import Bernoulli, SquaredError
from models.parts.critic import PriorMatch
from models.parts.posterior import Deterministic
from models.parts.prior import StandardNormal
from models.vae import ae, vae_bernoulli
from models.vcae import VarianceConstraint, vcae
from models.wae import MMD, cwae, wae_gan, wae_mmd

X = images(6)


def test_the_loss_is_the_sum_of_weighted_terms() -> None:
    recipe = Recipe(Deterministic(), SquaredError(), ((2.0, MMD()), (0.5, VarianceConstraint(1.0))), StandardNormal(DIM))
    terms = build(lambda: recipe).terms(X, noise())
    assert list(terms) == ["loss", "reconstruction", "mmd", "variance"]
    assert terms["loss"].item() == pytest.approx(sum(terms[name].item() for name in list(terms)[1:]))
    draw = build(lambda: recipe).draw(X, noise())
    assert terms["variance"].item() == pytest.approx(0.5 * VarianceConstraint(1.0)(draw, None).item())


@pytest.mark.parametrize("make", [lambda: ae(DIM), lambda: vcae(DIM, noise_variance=0.0)])
def test_a_batch_repeated_has_the_same_loss(make: object) -> None:
    method = build(make)
    once, twice = method.terms(X, noise()), method.terms(torch.cat([X, X]), noise())
    assert {name: term.item() for name, term in twice.items()} == pytest.approx({name: term.item() for name, term in once.items()})


def test_a_batch_repeated_has_the_same_kl() -> None:
    method = build(lambda: vae_bernoulli(DIM))
    assert method.terms(torch.cat([X, X]), noise())["kl"].item() == pytest.approx(method.terms(X, noise())["kl"].item())


@pytest.mark.parametrize("cost", [SquaredError(), Bernoulli()], ids=str)
def test_twice_the_pixels_cost_twice_as_much(cost: SquaredError) -> None:
    """SPEC T1, on the assembled loss: the encoder sees half of a doubled image, the decoder writes its output twice."""
    encoder, decoder = tiny(SHAPE, DIM, 1)
    half = nn.Sequential(nn.Unflatten(2, (2, SHAPE[1])), First(), *encoder)
    recipe = Recipe(Deterministic(), cost, (), None)
    single = AutoEncoder(recipe, encoder, decoder, DIM).terms(X, noise())
    double = AutoEncoder(recipe, half, nn.Sequential(decoder, Twice()), DIM).terms(torch.cat([X, X], 2), noise())
    assert double["loss"].item() == pytest.approx(2 * single["loss"].item())


class First(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, 0]


class Twice(nn.Module):
    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([y, y], 2)


@pytest.mark.parametrize("make", [lambda: ae(DIM), lambda: vae_bernoulli(DIM), lambda: wae_gan(DIM, width=6), lambda: vcae(DIM)])
def test_players_are_disjoint_and_cover_the_model(make: object) -> None:
    method = build(make)
    moved = [id(p) for player in method.players() for p in player.parameters]
    assert len(moved) == len(set(moved))
    assert set(moved) == {id(p) for p in method.parameters()}


def test_two_critics_are_two_players_before_the_autoencoder() -> None:
    critics = PriorMatch(DIM, width=4, lr=0.1), PriorMatch(DIM, width=5)
    critics[1].name = "second"
    recipe = Recipe(Deterministic(), SquaredError(), tuple((1.0, c) for c in critics), StandardNormal(DIM))
    players = build(lambda: recipe).players()
    assert [len(player.parameters) for player in players] == [10, 10, 8]
    assert [player.lr for player in players] == [0.1, None, None]
    assert [player.parameters[0].shape[0] for player in players[:2]] == [4, 5]


@pytest.mark.parametrize("name", ["mmd", "loss", "reconstruction"])
def test_terms_of_one_name_would_hide_each_other(name: str) -> None:
    other = PriorMatch(DIM, width=4)
    other.name = name
    recipe = Recipe(Deterministic(), SquaredError(), ((1.0, MMD()), (1.0, other)), StandardNormal(DIM))
    with pytest.raises(ValueError, match=f"terms need names of their own, not loss, reconstruction, mmd, {name}"):
        build(lambda: recipe)


def test_a_critic_travels_with_the_methods_state() -> None:
    one, other = build(lambda: wae_gan(DIM, width=6), seed=1), build(lambda: wae_gan(DIM, width=6), seed=2)
    assert one.players()[1].terms(X, noise())["prior_match"] != other.players()[1].terms(X, noise())["prior_match"]
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.players()[1].terms(X, noise())["loss"], other.players()[1].terms(X, noise())["loss"])


def test_samples_are_decoded_prior_draws() -> None:
    method = build(lambda: wae_mmd(DIM, prior_variance=4.0))
    assert method.prior is not None
    images_ = method.sample(5, noise(2))
    assert images_ is not None
    assert torch.equal(images_, method.decode(method.prior.sample(5, noise(2))))
    assert images_.shape == (5, *SHAPE)


def test_a_method_without_a_prior_has_no_samples() -> None:
    method = build(lambda: vcae(DIM))
    assert (method.prior, method.sample(5, noise())) == (None, None)


def test_the_channel_is_the_recipes() -> None:
    channels = [
        build(make).channel for make in (lambda: ae(DIM), lambda: vae_bernoulli(DIM), lambda: cwae(DIM), lambda: vcae(DIM, target=7.0))
    ]
    assert channels == [Channel(3, 0.0, None), Channel(3, None, None), Channel(3, 0.05, 3.0), Channel(3, 0.05, 7.0)]


def test_modes_reach_the_networks() -> None:
    method = build(lambda: ae(DIM), network=tiny_with_batch_norm)
    method.train()
    first = method.draw(X, noise()).z
    method.eval()
    second, third = method.draw(X, noise()).z, method.draw(X[:3], noise()).z
    assert not torch.allclose(first, second)
    torch.testing.assert_close(second[:3], third)  # one image's code does not depend on its batch
