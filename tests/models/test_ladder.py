"""The five recipes of LaDDer: the amounts of SPEC 1.8 and 4, and that every option reaches the part that it is meant for."""

from collections.abc import Callable

import pytest
from small_methods import DIM, build

from models.ladder import ladder, prior_gmm, prior_hier, prior_vamp, vae_laplace
from models.method import Recipe
from models.parts.mixture import EM, Variational

FIVE = [vae_laplace, prior_gmm, prior_vamp, prior_hier, ladder]
NESTED = [prior_hier, ladder]


@pytest.mark.parametrize("recipe", FIVE)
def test_options_of_the_outer_vae_reach_it(recipe: Callable[..., Recipe]) -> None:
    plain, other = recipe(DIM), recipe(DIM, output="relu", std_head="softplus", scale_lr=0.2, clip=0.5)
    assert (plain.posterior.sigma, plain.cost.output, plain.clip) == ("relu", "sigmoid", 1.0)
    assert (other.posterior.sigma, other.cost.output, other.clip) == ("softplus", "relu", 0.5)
    assert (plain.cost.adam.lr, other.cost.adam.lr) == (None, 0.2)
    assert [(weight, str(regulariser)) for weight, regulariser in plain.regularisers] == [(-1, "entropy"), (1, "cross-entropy")]


@pytest.mark.parametrize("recipe", FIVE)
def test_every_player_clips_to_one_as_in_the_code(recipe: Callable[..., Recipe]) -> None:
    assert {player.clip for player in build(lambda: recipe(DIM)).players()} == {1.0}


def test_the_mixture_of_codes() -> None:
    plain, other = prior_gmm(DIM).prior, prior_gmm(DIM, components=3, samples=7).prior
    assert [(prior.fast.components, prior.final.components, prior.samples) for prior in (plain, other)] == [(50, 50, 100), (3, 3, 7)]
    for em in (plain.fast, plain.final):
        assert isinstance(em, EM)
    assert [(em.warm, em.ridge) for em in (plain.fast, plain.final)] == [(True, 0.01), (False, 0.0)]


def test_the_pseudo_inputs() -> None:
    plain, other = prior_vamp(DIM).prior, prior_vamp(DIM, components=3, samples=7, prior_lr=0.2, prior_decay=1.1, clip=0.5).prior
    assert (plain.components, plain.samples, plain.adam.lr, plain.adam.decay) == (50, 100, None, 1.0)
    assert (other.components, other.samples, other.adam.lr, other.adam.decay, other.adam.clip) == (3, 7, 0.2, 1.1, 0.5)
    _, _, player = build(lambda: prior_vamp(DIM, prior_lr=0.2, prior_decay=1.1, clip=0.5)).players()
    assert (player.lr, player.decay, player.clip) == (0.2, 1.1, 0.5)


@pytest.mark.parametrize("recipe", NESTED)
def test_the_nested_vae(recipe: Callable[..., Recipe]) -> None:
    plain, other = recipe(DIM).prior, recipe(DIM, inner_dim=4, width=9, warmup_epochs=3, std_head="softplus").prior
    found = [(p.dim, p.inner_dim, p.encoder[0].out_features, p.warmup, p.posterior.sigma) for p in (plain, other)]
    assert found == [(DIM, 2, 512, 5, "relu"), (DIM, 4, 9, 3, "softplus")]
    assert (plain.scale.item(), plain.scales) == (pytest.approx(0.1), (0.05, 0.1))
    assert recipe(DIM, inner_scale=(0.05, 1.0)).prior.scales == (0.05, 1.0)
    rates = recipe(DIM, prior_lr=0.2, inner_scale_lr=0.3, prior_decay=1.1, clip=0.5).prior
    assert [(adam.lr, adam.decay, adam.clip) for adam in (rates.adam, rates.scale_adam)] == [(0.2, 1.1, 0.5), (0.3, 1.1, 0.5)]


def test_the_mixture_of_codes_of_codes() -> None:
    def amounts(**values: object) -> list[tuple[object, ...]]:
        hyper = ladder(DIM, **values).prior.hyper
        assert all(isinstance(mixture, Variational) for mixture in (hyper.fast, hyper.final))
        rows = [(m.dim, m.components, m.concentration, m.weights, m.warm, m.steps) for m in (hyper.fast, hyper.final)]
        return [*rows, (hyper.samples,)]

    sticks, finite = "dirichlet_process", "dirichlet_distribution"
    assert amounts() == [(2, 50, 0.1, sticks, True, 1000), (2, 50, 0.1, sticks, False, 2000), (100,)]
    known = [(4, 3, 0.7, finite, True, 1000), (4, 3, 0.7, sticks, False, 2000), (7,)]
    assert amounts(inner_dim=4, components=3, concentration=0.7, weights=finite, samples=7) == known
