"""The generative prior: its bound by loops, blocks that move only themselves, warm-up, and LaDDer against the hierarchical prior."""

import copy
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from small_methods import DIM, LEVELS, build, images, noise, normal, pixels, rows, training, weights
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from models.ladder import ladder, prior_hier
from models.method import AutoEncoder
from models.parts.nested import NestedPrior
from models.parts.prior import StandardNormal

X = images(6)
INNER = 2
small_hier = partial(prior_hier, DIM, width=8, warmup_epochs=0, std_head="softplus")
small_ladder = partial(ladder, DIM, width=8, warmup_epochs=0, std_head="softplus", components=3, samples=5)


def make(recipe: Callable[..., object] = small_hier, seed: int = 0, **values: object) -> AutoEncoder:
    return build(partial(recipe, **values), seed=seed)


def by_loops(net: nn.Module, h: list[float]) -> list[float]:
    linears = [layer for layer in net if isinstance(layer, nn.Linear)]
    for layer in linears:
        h = [sum(w * v for w, v in zip(row, h, strict=True)) + b for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)]
        h = h if layer is linears[-1] else [v if v > 0 else 0.2 * v for v in h]
    return h


def bound_by_loops(prior: NestedPrior, z: list[float], epsilon: list[float], s: float) -> float:
    """SPEC 1.8's inner bound, with N(0, I) on t."""
    features = by_loops(prior.encoder, z)
    mean, std = features[:INNER], [0.001 + math.log1p(math.exp(v)) for v in features[INNER:]]
    t = [m + a * e for m, a, e in zip(mean, std, epsilon, strict=True)]
    squared = sum((a - b) ** 2 for a, b in zip(z, by_loops(prior.decoder, t), strict=True))
    likelihood = -squared / (2 * s * s) - DIM * math.log(s) - DIM / 2 * math.log(2 * math.pi)
    entropy = INNER / 2 * math.log(2 * math.pi * math.e) + sum(map(math.log, std))
    cross = -INNER / 2 * math.log(2 * math.pi) - 0.5 * sum(m * m + a * a for m, a in zip(mean, std, strict=True))
    return likelihood + entropy + cross


@pytest.mark.parametrize(("raw", "s"), [(0.07, 0.07), (0.3, 0.1), (0.01, 0.05)])
def test_the_bound_is_the_loops(raw: float, s: float) -> None:
    prior, z = make().recipe.prior, normal(5, DIM, seed=1).float()
    with torch.no_grad():
        prior.raw_scale.fill_(raw)
    epsilon = torch.randn(5, INNER, generator=noise(4))
    expected = [bound_by_loops(prior, one, e, s) for one, e in zip(rows(z), rows(epsilon), strict=True)]
    assert prior.bound(z, noise(4)).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("raw", "s"), [(0.7, 0.7), (3.0, 1.0), (0.001, 0.01)])
def test_the_ends_of_s_are_those_that_are_given(raw: float, s: float) -> None:
    prior, z = make(inner_scale=(0.01, 1.0)).recipe.prior, normal(5, DIM, seed=1).float()
    assert prior.scale.item() == 1.0, "it starts at the upper one"
    with torch.no_grad():
        prior.raw_scale.fill_(raw)
    epsilon = torch.randn(5, INNER, generator=noise(4))
    expected = [bound_by_loops(prior, one, e, s) for one, e in zip(rows(z), rows(epsilon), strict=True)]
    assert prior.bound(z, noise(4)).tolist() == pytest.approx(expected, rel=1e-4)
    prior.take_back()
    assert prior.raw_scale.item() == pytest.approx(s)


@pytest.mark.parametrize("ends", [(0.2, 0.1), (0.0, 0.1), (0.1, math.inf)])
def test_ends_of_s_that_are_none_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="inner_scale must be two positive numbers, the smaller one first"):
        prior_hier(DIM, inner_scale=ends)


def test_the_gradient_of_s_is_the_slope_of_the_loops() -> None:
    prior, z = make().recipe.prior, normal(5, DIM, seed=1).float()
    with torch.no_grad():
        prior.raw_scale.fill_(0.07)
    epsilon = torch.randn(5, INNER, generator=noise(4))

    def mean_bound(s: float) -> float:
        return sum(bound_by_loops(prior, one, e, s) for one, e in zip(rows(z), rows(epsilon), strict=True)) / 5

    slope = (mean_bound(0.0701) - mean_bound(0.0699)) / 0.0002
    assert torch.autograd.grad(prior.bound(z, noise(4)).mean(), prior.raw_scale)[0].item() == pytest.approx(slope, rel=1e-3)


def test_the_bound_of_a_mixture_is_that_of_a_normal_but_for_its_last_term() -> None:
    """LaDDer with one component N(0, I) is the hierarchical prior (SPEC section 9)."""
    hier, one = make().recipe.prior, make(small_ladder, components=1, samples=4000).recipe.prior
    one.load_state_dict({**one.state_dict(), **hier.state_dict()})
    z = normal(200, DIM, seed=1).float()
    difference = one.bound(z, noise(4)) - hier.bound(z, noise(4))
    assert difference.abs().max() < 0.2, "the one closed form, the other 4000 draws"
    assert abs(difference.mean().item()) < 0.005
    assert torch.allclose(one.hyper.log_prob(z[:, :INNER]), hier.hyper.log_prob(z[:, :INNER]), atol=1e-5)
    gradients = [torch.autograd.grad(p.bound(z, noise(4)).mean(), list(p.encoder.parameters())) for p in (one, hier)]
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.allclose(mine, theirs, rtol=0.01, atol=0.02 * theirs.abs().max().item())


def test_importance_weights_close_the_gap_of_the_bound() -> None:
    """With a linear g, log p(z) = log N(z; c, s² I + A Aᵀ) is known."""
    prior = make().recipe.prior
    A, c = normal(DIM, INNER, seed=3).float() * 0.3, torch.tensor([0.1, -0.2, 0.3])
    prior.decoder, prior.encoder = nn.Linear(INNER, DIM), nn.Linear(DIM, 2 * INNER)
    with torch.no_grad():
        prior.decoder.weight.copy_(A)
        prior.decoder.bias.copy_(c)
        posterior = torch.linalg.inv(torch.eye(INNER) + A.T @ A / 0.01)
        prior.encoder.weight.copy_(torch.cat([posterior @ A.T / 0.01, torch.zeros(INNER, DIM)]))
        std = posterior.diagonal().sqrt() * 1.3
        prior.encoder.bias.copy_(torch.cat([-posterior @ A.T @ c / 0.01, (std - 0.001).expm1().log()]))
    p = torch.distributions.MultivariateNormal(c, A @ A.T + 0.01 * torch.eye(DIM))
    z = c + torch.randn(50, INNER, generator=noise(1)) @ A.T + 0.1 * torch.randn(50, DIM, generator=noise(2))
    exact = p.log_prob(z)
    found = prior.importance_log_prob(z, 2000, noise(5))
    assert torch.allclose(found, exact, atol=0.15)
    bound = torch.stack([prior.bound(z, noise(k)) for k in range(300)]).mean(0)
    assert (bound < exact + 0.1).all()
    assert (exact - bound).mean() > 0.05


def test_log_prob_is_the_bound_with_noise_that_does_not_change() -> None:
    prior, z = make().recipe.prior, normal(5, DIM, seed=1).float()
    assert torch.equal(prior.log_prob(z), prior.log_prob(z))
    assert torch.equal(prior.log_prob(z), prior.bound(z, noise(0)))


def test_samples_are_decoded_draws_of_t() -> None:
    for recipe in (small_hier, small_ladder):
        prior = make(recipe).recipe.prior
        assert torch.equal(prior.sample(7, noise(3)), prior.decoder(prior.hyper.sample(7, noise(3))))


@pytest.mark.parametrize("recipe", [small_hier, small_ladder])
def test_the_outer_loss_is_the_bound_at_the_draw(recipe: Callable[..., object]) -> None:
    method = make(recipe)
    stream = noise(3)
    draw = method.draw(X, stream)
    expected = -method.recipe.prior.bound(draw.z, stream).mean()
    assert method.terms(X, noise(3))["cross_entropy"].item() == pytest.approx(expected.item())
    outer = torch.autograd.grad(method.terms(X, noise(3))["cross_entropy"], method.encoder[1].weight)[0]
    assert outer.any(), "the gradient flows through the inner networks to the codes"


def players_step(method: AutoEncoder, name: str) -> set[str]:
    """Names of all tensors that a turn of one player changes."""
    before = copy.deepcopy(method.state_dict())
    (player,) = [p for p in method.players() if p.name == name]
    loss = player.terms(X, noise(3))["loss"]
    torch.autograd.backward(loss, inputs=player.parameters)
    torch.optim.SGD(player.parameters, lr=0.01).step()
    return {key for key, value in method.state_dict().items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize("recipe", [small_hier, small_ladder])
def test_each_block_moves_itself_alone(recipe: Callable[..., object]) -> None:
    names = [p.name for p in make(recipe).players()]
    assert names == ["autoencoder", "laplace_scale", "prior", "prior_scale"]
    moved = {name: players_step(make(recipe), name) for name in names}
    assert all(key.startswith(("encoder", "decoder")) for key in moved["autoencoder"])
    assert moved["laplace_scale"] == {"parts.0.scale"}
    assert moved["prior_scale"] == {"parts.1.raw_scale"}
    assert all(key.startswith(("parts.1.encoder", "parts.1.decoder")) for key in moved["prior"])
    for one, other in pairwise(moved.values()):
        assert one
        assert not one & other


def test_the_inner_block_sees_its_bound_and_no_more() -> None:
    method = make()
    for player in method.players()[2:]:
        stream = noise(3)
        z = method.draw(X, stream).z.detach()
        expected = -method.recipe.prior.bound(z, stream).mean()
        loss = player.terms(X, noise(3))["loss"]
        assert loss.item() == pytest.approx(expected.item())
        loss.backward()
    assert all(p.grad is None for p in method.players()[0].parameters)


def test_the_inner_scale_comes_back_from_beyond_its_ends() -> None:
    method = make()
    prior, player = method.recipe.prior, method.players()[3]
    with torch.no_grad():
        prior.raw_scale.fill_(0.17)
    player.terms(X, noise(3))["loss"].backward()
    assert prior.raw_scale.item() == pytest.approx(0.1)
    assert prior.raw_scale.grad.item() != 0
    assert prior.raw_scale.grad.item() < 0, "codes far from g(t) want it wider"


@pytest.mark.parametrize("recipe", [small_hier, small_ladder])
def test_during_the_warm_up_the_prior_is_a_standard_normal(recipe: Callable[..., object]) -> None:
    method = make(recipe, warmup_epochs=2)
    prior, z = method.recipe.prior, normal(5, DIM, seed=1).float()
    draw = method.draw(X, noise(1))
    assert torch.equal(prior.log_prob(z), StandardNormal(DIM).log_prob(z))
    assert torch.equal(prior.importance_log_prob(z, 3, noise()), StandardNormal(DIM).log_prob(z))
    assert torch.equal(prior.expected_log_prob(draw), StandardNormal(DIM).expected_log_prob(draw))
    assert torch.equal(prior.sample(3, noise()), StandardNormal(DIM).sample(3, noise()))
    assert [p.start for p in method.players()] == [0, 0, 1, 1]
    method.run_hook("epoch_ended", 1, images, noise())
    method.run_hook("training_ended", 1, images, noise())
    assert prior.warming
    assert recipe is small_hier or not (prior.hyper.fast.fitted or prior.hyper.final.fitted)
    method.run_hook("epoch_ended", 2, images, noise())
    assert not prior.warming
    assert torch.equal(prior.log_prob(z), prior.bound(z, noise(0)))


def test_players_wait_for_their_epoch() -> None:
    method, batches = make(small_ladder, warmup_epochs=2), Batches(pixels(60), LEVELS, 20, seed=3)
    prior = method.recipe.prior
    run, start = training(method, Budget(steps=9), batches), copy.deepcopy(method.state_dict())

    def moved() -> set[str]:
        return {
            key.split(".")[2] if key.startswith("parts.1") else key
            for key, value in method.state_dict().items()
            if not torch.equal(value, start[key])
        }

    for _ in range(3):
        run.take_step(batches)
    assert not {"encoder", "decoder", "raw_scale"} & moved()
    assert {"parts.0.scale", "encoder.1.weight"} <= moved()
    run.call_hooks("epoch_ended", batches)
    run.take_step(batches)
    assert {"encoder", "decoder"} <= moved(), "from epoch e_0 on"
    assert prior.warming
    assert not bool(prior.hyper.fast.fitted)
    run.take_step(batches)
    run.take_step(batches)
    run.call_hooks("epoch_ended", batches)
    assert bool(prior.hyper.fast.fitted)
    assert not prior.warming


def test_the_hyper_prior_is_fitted_to_codes_of_codes() -> None:
    method = make(small_ladder, seed=3)
    prior = method.recipe.prior
    prior.epoch_ended(1, method, lambda n: images(min(n, 300)), noise(1))
    t = prior.draw(method.draw(images(300), noise(2)).z, noise(3)).z
    method.eval()
    assert prior.hyper.log_prob(t).mean() > StandardNormal(INNER).log_prob(t).mean()
    found = prior.hyper.sample(4000, noise(4))
    assert found.mean(0).tolist() == pytest.approx(t.mean(0).tolist(), abs=0.1)
    before = prior.hyper.final.means.clone()
    method.run_hook("training_ended", 1, lambda n: images(min(n, 300)), noise(9))
    assert not torch.equal(prior.hyper.final.means, before)


def test_a_few_images_give_codes_enough_and_each_with_noise_of_its_own() -> None:
    """One image, and an outer posterior that is next to a point: what is left is the noise of q(t|z)."""
    method, asked = make(small_ladder), list[int]()
    prior, x = method.recipe.prior, images(1)
    with torch.no_grad():
        method.encoder[-1].bias[DIM:] = -50.0

    def draw_images(n: int) -> Tensor:
        asked.append(n)
        return x

    method.run_hook("epoch_ended", 1, draw_images, noise(1))
    fast = weights(prior.hyper.fast)
    method.run_hook("training_ended", 1, draw_images, noise(1))
    assert asked == [2_000, 10_000, 20_000]  # 10,000 images are for the floor of the likelihood
    for mixture in (prior.hyper.fast, prior.hyper.final):
        assert mixture.counts.sum().item() == pytest.approx(30, rel=1e-4), "ten for each of three components"
        assert mixture.fitted
    assert weights(prior.hyper.fast) == fast, "the end fits the final one alone"
    t = prior.codes(method, lambda n: x.expand(4000, -1, -1, -1), 2000, noise(5))
    q = prior.draw(method.draw(x, noise()).z, noise())
    assert t.std(0).tolist() == pytest.approx((0.5 * q.log_variance[0]).exp().tolist(), rel=0.05)


def test_resumed_training_is_bit_identical() -> None:
    def run(stop: int) -> dict[str, bytes]:
        method, batches = make(small_ladder, warmup_epochs=1), Batches(pixels(60), LEVELS, 20, seed=3)
        first = training(method, Budget(steps=9), batches)
        for step in range(stop):
            first.take_step(batches)
            if (step + 1) % 3 == 0:
                first.call_hooks("epoch_ended", batches)
        other = make(small_ladder, warmup_epochs=1, seed=7)
        train(training(other, Budget(steps=9), batches), batches, state=first.state(0.0))
        return weights(other)

    assert run(0) == run(2) == run(6)


def trained(recipe: Callable[..., object]) -> tuple[float, float]:
    """The inner loss before and after 60 steps of the inner block alone."""
    method = make(recipe)
    player = method.players()[2]
    optimizer = torch.optim.Adam(player.parameters, lr=3e-3)
    losses: list[Tensor] = []
    for step in range(60):
        optimizer.zero_grad()
        losses.append(player.terms(images(50), noise(step))["loss"])
        losses[-1].backward(inputs=player.parameters)
        optimizer.step()
    return losses[0].item(), losses[-1].item()


@pytest.mark.parametrize("recipe", [small_hier, small_ladder])
def test_the_inner_vae_learns(recipe: Callable[..., object]) -> None:
    first, last = trained(recipe)
    assert last < 0.8 * first


def test_the_inner_networks_are_those_of_the_paper() -> None:
    prior = prior_hier(16).prior
    sizes = [
        [(layer.in_features, layer.out_features) for layer in net if isinstance(layer, nn.Linear)] for net in (prior.encoder, prior.decoder)
    ]
    assert sizes == [[(16, 512), *[(512, 512)] * 4, (512, 4)], [(2, 512), *[(512, 512)] * 4, (512, 16)]]
    assert {layer.negative_slope for net in (prior.encoder, prior.decoder) for layer in net if isinstance(layer, nn.LeakyReLU)} == {0.2}
    weight = prior.encoder[2].weight
    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / 1024), rel=0.01)
    assert prior.encoder[2].bias.abs().max() == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner_dim": 0}, "inner_dim must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"warmup_epochs": -1}, "warmup_epochs must be 0"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prior_hier(DIM, **values)


def test_rates_reach_their_players() -> None:
    method = make(small_ladder, scale_lr=0.1, prior_lr=0.2, inner_scale_lr=0.3, prior_decay=1.02, clip=0.7)
    assert [(p.lr, p.decay, p.clip) for p in method.players()] == [(None, 1.0, 0.7), (0.1, 1.0, 0.7), (0.2, 1.02, 0.7), (0.3, 1.02, 0.7)]
    final = method.recipe.prior.hyper.final
    assert (final.weights, final.warm, final.steps) == ("dirichlet_process", False, 2000)
    other = make(small_ladder, weights="dirichlet_distribution").recipe.prior.hyper
    assert (other.fast.weights, other.final.weights, other.fast.warm, other.fast.steps) == (
        "dirichlet_distribution",
        "dirichlet_process",
        True,
        1000,
    )
