"""Total correlation: its discriminator against loops and closed forms, what shuffling keeps and breaks, and the three methods."""

import math

import pytest
import torch
from small_methods import DIM, LEVELS, SHAPE, build, images, noise, normal, pixels, rows, tiny_with_batch_norm
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from models.factor import TotalCorrelation, factorvae, permute_dimensions, tc_cwae, tc_vcae
from models.interfaces import Draw
from models.method import AutoEncoder, Recipe
from models.parts.cost import Bernoulli
from models.parts.posterior import AdditiveNoise, Deterministic, DiagonalGaussian
from models.vae import KL
from models.vcae import VarianceConstraint
from models.wae import MMD

X = images(6)


def discriminator(dim: int = DIM, width: int = 5, seed: int = 1) -> TotalCorrelation:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TotalCorrelation(dim, width=width)


def draw_of(z: Tensor) -> Draw:
    return Draw(z, z, None, noise(5))


def logits_by_loops(tc: TotalCorrelation, z: Tensor) -> list[list[float]]:
    found = []
    for h in rows(z):
        linears = [layer for layer in tc.net if isinstance(layer, nn.Linear)]
        for layer in linears:
            ws, bs = layer.weight.tolist(), layer.bias.tolist()
            h = [sum(w * v for w, v in zip(row, h, strict=True)) + b for row, b in zip(ws, bs, strict=True)]
            h = h if layer is linears[-1] else [v if v > 0 else 0.2 * v for v in h]
        found.append(h)
    return found


def test_both_objectives_are_the_loops() -> None:
    tc, z, z_perm = discriminator(), 3 * normal(4, 3, seed=1).float(), 3 * normal(6, 3, seed=2).float()
    joint, permuted = logits_by_loops(tc, z), logits_by_loops(tc, z_perm)
    assert tc(draw_of(z)).item() == pytest.approx(sum(a - b for a, b in joint) / 4, rel=1e-4)
    sides = [
        -sum(logits[k] - math.log(sum(map(math.exp, logits))) for logits in side) / len(side) for k, side in ((0, joint), (1, permuted))
    ]
    assert tc.critic_terms(z, z_perm).item() == pytest.approx(0.5 * sides[0] + 0.5 * sides[1], rel=1e-5)


def test_an_undecided_discriminator_costs_log_two_and_sees_no_correlation() -> None:
    tc, z = discriminator(), normal(4, 3, seed=1).float()
    for parameter in tc.parameters():
        nn.init.zeros_(parameter)
    assert tc.critic_terms(z, z).item() == pytest.approx(math.log(2))
    assert tc(draw_of(z)).item() == 0


def test_layers_are_those_of_the_paper() -> None:
    tc = TotalCorrelation(6)
    sizes = [(layer.in_features, layer.out_features) for layer in tc.net if isinstance(layer, nn.Linear)]
    assert sizes == [(6, 1000), *[(1000, 1000)] * 5, (1000, 2)]
    assert [type(layer).__name__ for layer in tc.net] == ["Linear", "LeakyReLU"] * 6 + ["Linear"]
    assert {layer.negative_slope for layer in tc.net if isinstance(layer, nn.LeakyReLU)} == {0.2}


def test_shuffled_columns_are_the_columns_each_in_an_order_of_its_own() -> None:
    z = torch.arange(400.0).reshape(100, 4)
    shuffled = permute_dimensions(z, noise(1))
    for k in range(4):
        assert sorted(shuffled[:, k].tolist()) == z[:, k].tolist()
    orders = {tuple((shuffled[:, k] - k).div(4).long().tolist()) for k in range(4)}
    assert len(orders) == 4, "one permutation for all columns would leave them as dependent as they were"
    assert tuple(range(100)) not in orders
    assert torch.equal(shuffled, permute_dimensions(z, noise(1)))


def test_every_order_is_as_likely() -> None:
    counts: dict[tuple[float, ...], int] = {}
    stream = noise(3)
    for _ in range(600):
        for column in permute_dimensions(torch.tensor([[1.0, 1], [2, 2], [3, 3]]), stream).T.tolist():
            counts[tuple(column)] = counts.get(tuple(column), 0) + 1
    assert len(counts) == 6
    assert all(abs(count - 200) < 5 * math.sqrt(200 * 5 / 6) for count in counts.values())


def test_shuffling_keeps_moments_and_breaks_dependence() -> None:
    mixing = torch.tensor([[1.0, 0], [0.9, 0.4]], dtype=torch.float64)
    z = normal(4000, 2, seed=1) @ mixing.T
    shuffled = permute_dimensions(z, noise(2))
    assert torch.corrcoef(z.T)[0, 1] > 0.88
    assert abs(torch.corrcoef(shuffled.T)[0, 1]) < 4 / math.sqrt(4000)
    torch.testing.assert_close(shuffled.sort(0).values, z.sort(0).values)


def correlated(rho: float, dim: int) -> Tensor:
    return torch.full((dim, dim), rho) + (1 - rho) * torch.eye(dim)


@pytest.mark.parametrize(("rho", "dim"), [(0.0, 3), (0.6, 2), (0.5, 3)])
def test_a_trained_discriminator_finds_the_total_correlation_of_a_gaussian(rho: float, dim: int) -> None:
    """TC of N(0, R) is -½ log det R. The codes come through the player as in training: two batches, encoder, shuffling."""
    R = correlated(rho, dim)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(dim, dim, bias=False)).requires_grad_(False)
    encoder[1].weight.copy_(torch.linalg.cholesky(R))
    tc = discriminator(dim, width=32)
    recipe = Recipe(Deterministic(), Bernoulli(), ((7.0, tc),), None)
    (player,) = [p for p in AutoEncoder(recipe, encoder, nn.Identity(), dim).players() if p.name == tc.name]
    optimizer, stream = torch.optim.Adam(player.parameters, lr=2e-3), noise(1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    for _ in range(800):
        optimizer.zero_grad()
        player.terms(torch.randn(player.batches * 256, 1, 1, dim, generator=stream), stream)["loss"].backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = tc(draw_of(encoder(torch.randn(20_000, 1, 1, dim, generator=stream)))).item()
    assert found == pytest.approx(-0.5 * torch.logdet(R).item(), abs=0.05)


def test_the_discriminator_sees_codes_of_one_batch_and_shuffled_codes_of_the_other() -> None:
    method = build(lambda: factorvae(DIM, width=4))
    player = method.players()[-1]
    first, second, stream = images(6, seed=1), images(6, seed=2), noise(3)
    with torch.no_grad():
        z, other = method.draw(first, stream).z, method.draw(second, stream).z
        expected = method.recipe.regularisers[1][1].critic_terms(z, permute_dimensions(other, stream))
    assert player.terms(torch.cat([first, second]), noise(3))["loss"].item() == expected.item()


def test_the_discriminator_is_a_player_of_its_own_after_the_autoencoder() -> None:
    method = build(lambda: tc_vcae(DIM, width=4, critic_lr=1e-5))
    own, critic = method.players()
    assert (own.name, critic.name, own.batches, critic.batches) == ("autoencoder", "total_correlation", 1, 2)
    assert (critic.lr, critic.betas, own.lr, own.betas) == (1e-5, (0.5, 0.9), None, None)
    assert build(lambda: factorvae(DIM, width=4, critic_betas=[0.1, 0.2])).players()[1].betas == (0.1, 0.2)
    assert build(lambda: factorvae(DIM, width=4, critic_betas=None)).players()[1].betas is None
    theirs = {id(p) for p in method.recipe.regularisers[1][1].parameters()}
    assert {id(p) for p in critic.parameters} == theirs
    assert not theirs & {id(p) for p in own.parameters}


def test_the_discriminators_loss_is_without_gamma() -> None:
    x = torch.cat([X, X])
    losses = [build(lambda g=gamma: factorvae(DIM, gamma=g, width=4)).players()[-1].terms(x, noise(3))["loss"] for gamma in (0.0, 7.0)]
    assert losses[0] == losses[1]


def test_the_discriminators_turn_moves_no_code_and_the_encoders_turn_moves_them_apart() -> None:
    method = build(lambda: factorvae(DIM, gamma=3.0, width=8))
    own, critic = method.players()
    critic.terms(torch.cat([X, X]), noise())["loss"].backward()
    assert all(p.grad is None for p in own.parameters)
    tc, codes = method.recipe.regularisers[1][1], normal(6, DIM, seed=1).float().requires_grad_()
    (gradient,) = torch.autograd.grad(tc(draw_of(codes)), codes)
    assert tc(draw_of(codes - gradient)) < tc(draw_of(codes)), "the encoder descends the estimate"


def test_batch_norm_sees_one_batch_at_a_time() -> None:
    method = build(lambda: tc_vcae(DIM, width=4), network=tiny_with_batch_norm)
    method.players()[-1].terms(torch.cat([X, 5 * X]), noise())
    assert method.encoder[1].num_batches_tracked.item() == 2


METHODS = [
    (lambda **k: factorvae(DIM, width=4, **k), [(1.0, KL()), 7.0], DiagonalGaussian),
    (lambda **k: tc_vcae(DIM, width=4, **k), [(1.0, VarianceConstraint(3.0)), 7.0], AdditiveNoise),
    (lambda **k: tc_cwae(DIM, width=4, **k), [(2500.0, MMD("imq")), 7.0], AdditiveNoise),
]


@pytest.mark.parametrize(("make", "expected", "posterior"), METHODS)
def test_recipes_are_those_of_the_paper(make: object, expected: list[object], posterior: type) -> None:
    recipe = make()
    (weight, regulariser), (gamma, tc) = recipe.regularisers
    assert [(weight, regulariser), gamma] == expected
    assert isinstance(tc, TotalCorrelation)
    assert isinstance(recipe.posterior, posterior)
    assert recipe.posterior.variance in (None, 0.1)
    assert recipe.cost == Bernoulli()
    assert (recipe.prior is None) == (make is METHODS[1][0])
    assert make(gamma=2.0).regularisers[1][0] == 2.0


@pytest.mark.parametrize("make", [make for make, _, _ in METHODS])
def test_the_loss_is_that_of_the_base_and_gamma_times_the_estimate(make: object) -> None:
    without, once, thrice = (build(lambda g=g: make(gamma=g)).terms(X, noise(4)) for g in (0.0, 1.0, 3.0))
    estimate = once["total_correlation"].item()
    assert thrice["total_correlation"].item() == pytest.approx(3 * estimate)
    assert thrice["loss"].item() == pytest.approx(without["loss"].item() + 3 * estimate, rel=1e-5)
    method = build(lambda: make(gamma=1.0))
    draw = method.draw(X, noise(4))
    assert estimate == method.recipe.regularisers[1][1](draw).item(), "TC acts on the noisy codes"
    assert estimate != method.recipe.regularisers[1][1](draw_of(draw.mean)).item()


def test_a_step_trains_both_players_with_batches_of_their_own() -> None:
    method, batches = build(lambda: tc_cwae(DIM, width=4, weight=10)), Batches(pixels(20), LEVELS, 5, seed=0)
    training = Training(method, Plan(Budget(steps=3), Optimizer(), batches.per_epoch, 3), noise())
    before = {name: value.clone() for name, value in method.named_parameters()}
    assert torch.stack([training.take_step(batches) for _ in range(3)]).isfinite().all()
    assert not [name for name, value in method.named_parameters() if torch.equal(value, before[name])]
    assert method.decode(torch.zeros(2, DIM)).shape == (2, *SHAPE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gamma": -1.0}, "gamma must be 0 or larger, not -1.0"),
        ({"gamma": math.nan}, "gamma must be 0 or larger, not nan"),
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"critic_lr": 0.0}, "critic_lr must be positive, not 0.0"),
        ({"critic_betas": (0.5, 1.0)}, r"critic_betas must be two numbers in \[0, 1\), not \(0.5, 1.0\)"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    for make in (factorvae, tc_vcae, tc_cwae):
        with pytest.raises(ValueError, match=message):
            make(DIM, **{"width": 4, **values})
