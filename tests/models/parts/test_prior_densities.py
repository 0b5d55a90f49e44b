"""LaDDer's priors of frozen codes: their bound is the nested prior's, they learn, and the mixture is fitted anew while they do."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from small_methods import DIM, build, images, noise
from torch import Tensor

from models.parts.density import SecondStage
from models.parts.prior_densities import NestedDensity, hierarchical, ladder
from models.vae import vae_bernoulli

Make = Callable[..., NestedDensity]
SMALL: list[Make] = [
    partial(hierarchical, width=16, std_head="softplus"),
    partial(ladder, width=16, std_head="softplus", components=3, samples=5, refit_every=4),
]
BOTH = pytest.mark.parametrize("make", SMALL, ids=["hierarchical", "ladder"])


def built(make: Make, **values: object) -> NestedDensity:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(2, **values)


def two_humps(n: int, seed: int) -> Tensor:
    side = torch.randint(2, (n, 1), generator=noise(seed)) * 4.0 - 2.0
    return torch.cat([side, torch.zeros(n, 1)], 1) + 0.2 * torch.randn(n, 2, generator=noise(seed + 1))


def descend(density: NestedDensity, steps: int) -> None:
    adam = torch.optim.Adam(density.parameters(), lr=3e-3)
    density.train()
    for step in range(steps):
        adam.zero_grad()
        density.loss(two_humps(200, 10 + 2 * step), noise(step)).mean().backward()
        adam.step()
    density.eval()


@BOTH
def test_its_loss_is_minus_the_bound_of_the_nested_prior(make: Make) -> None:
    density, z = built(make), two_humps(20, 1)
    density.fit(two_humps(50, 3), noise())
    assert torch.equal(density.loss(z, noise(4)), -density.prior.bound(z, noise(4)))
    assert torch.equal(density.log_prob(z), density.prior.log_prob(z))
    assert density.bound


@BOTH
def test_it_learns_where_the_codes_are(make: Make) -> None:
    density, z = built(make), two_humps(500, 1)
    density.fit(two_humps(500, 3), noise())
    before = density.log_prob(z).mean().item()
    descend(density, 300)
    assert density.log_prob(z).mean().item() > before + 1
    far = z + torch.tensor([0.0, 3.0])
    assert density.log_prob(far).mean() < density.log_prob(z).mean() - 10


def test_the_mixture_is_fitted_anew_after_every_so_many_steps_and_stands_in_the_next_loss() -> None:
    density = built(SMALL[1])
    density.fit(two_humps(500, 3), noise())
    density.train()
    fitted = []
    for step in range(9):
        density.loss(two_humps(20, step), noise(step))
        fitted.append((bool(density.prior.hyper.fast.fitted), density.prior.hyper.fast.means.clone()))
    assert [yes for yes, _ in fitted] == [False] * 3 + [True] * 6
    changes = [step for step in range(1, 9) if not torch.equal(fitted[step][1], fitted[step - 1][1])]
    assert changes == [3, 7]


def test_a_state_keeps_the_codes_the_steps_and_the_mixture() -> None:
    one, other = built(SMALL[1]), built(SMALL[1])
    one.fit(two_humps(500, 3), noise())
    for step in range(6):
        one.loss(two_humps(20, step), noise(step))
    other.load_state_dict(one.state_dict())
    for density in (one, other):
        density.train()
    losses = [[density.loss(two_humps(20, step), noise(step)).mean().item() for step in range(6, 10)] for density in (one, other)]
    assert losses[0] == losses[1]


@BOTH
def test_s_stays_between_its_ends(make: Make) -> None:
    density = built(make, inner_scale=(0.05, 1.0))
    density.fit(two_humps(50, 3), noise())
    assert density.prior.scale.item() == 1.0
    with torch.no_grad():
        density.prior.raw_scale.fill_(3.0)
    density.loss(two_humps(5, 1), noise())
    assert density.prior.raw_scale.item() == 1.0


@BOTH
def test_every_parameter_gets_a_gradient_through_the_second_stage(make: Make) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = make(DIM)
    method = build(partial(vae_bernoulli, DIM))
    stage = SecondStage(method, density)
    density.fit(stage.codes(images(50), noise()), noise())
    stage.train()
    (player,) = stage.players()
    player.terms(images(8), noise())["loss"].backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in density.parameters())
    assert {id(p) for p in player.parameters} == {id(p) for p in density.parameters()}
    assert all(p.grad is None for p in method.parameters()), "the encoder is frozen"


@BOTH
def test_samples_are_of_the_codes_shape_and_repeat(make: Make) -> None:
    density = built(make).eval()
    z = density.sample(7, noise(1))
    assert z.shape == (7, 2)
    assert torch.equal(z, density.sample(7, noise(1)))


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="refit_every must be at least 1, not 0"):
        ladder(2, refit_every=0)
    with pytest.raises(ValueError, match=r"inner_scale must be two positive numbers, the smaller one first, not \[0.2, 0.1\]"):
        hierarchical(2, inner_scale=(0.2, 0.1))
