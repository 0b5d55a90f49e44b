"""StackedWAE and the implicit-prior WAE: the loss against loops, its one-level case, and the samples its gradient goes through."""

import math
from pathlib import Path

import pytest
import torch
from small_methods import SHAPE, images, mmd_by_loops, noise, rows, sse_by_loops, training, weights
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.errors import UserError
from bench.registry import catalogue
from bench.runs.prepare import prepare
from bench.suites import reader
from bench.suites.schema import Budget
from bench.training.train import train
from metrics.latent import Channel
from models.method import AutoEncoder, Recipe
from models.networks.mlp import mlp
from models.networks.network import Levels, Network
from models.networks.stacked import stacked_mlp
from models.parts.cost import SquaredError
from models.parts.posterior import CLIP
from models.parts.prior import StandardNormal
from models.stacked import GAUSSIAN, Products, Rule, Stack, StackedWAE, implicit_wae, moments, stacked_wae
from models.vae import ae
from models.wae import MMD

X = images(6)
DIMS = (4, 3, 2)
WEIGHTS = (0.7, 0.3, 5.0)


def net(features: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, 7), nn.Tanh(), nn.Linear(7, out))


def hierarchy(*dims: int) -> Network:
    """Levels of those sizes, without batch norm."""

    def network(shape: tuple[int, int, int], dim: int, outputs: int) -> tuple[Levels, Levels]:
        sizes = (math.prod(shape), *dims)
        encoders = [net(a, outputs * b) for a, b in zip(sizes, dims, strict=False)]
        generators = [net(b, a if n == 0 else outputs * a) for n, (a, b) in enumerate(zip(sizes, dims, strict=False))]
        first, last = nn.Sequential(nn.Flatten(), encoders[0]), nn.Sequential(generators[0], nn.Unflatten(1, shape))
        return Levels([first, *encoders[1:]], dims), Levels([last, *generators[1:]], dims)

    return network


def build(recipe: Stack, *dims: int, seed: int = 0) -> StackedWAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.assemble(SHAPE, dims[-1], hierarchy(*dims))


def three_levels(*, penalty: float = 0.0, given: tuple[float, ...] = WEIGHTS) -> StackedWAE:
    return build(stacked_wae(2, weights=given, penalty=penalty), *DIMS)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def imq7(dim: int, r2: float) -> float:
    return sum(s * 2 * dim / (s * 2 * dim + r2) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))


def by_loops(features: Tensor) -> tuple[list[list[float]], list[list[float]]]:
    """μ and Σ = log(1 + e^raw), number by number."""
    d = features.shape[1] // 2
    table = rows(features)
    return [row[:d] for row in table], [[math.log1p(math.exp(raw)) for raw in row[d:]] for row in table]


def drawn(features: Tensor, stream: torch.Generator) -> tuple[Tensor, list[list[float]]]:
    """z = μ + √Σ ε number by number, and Σ."""
    mu, sigma = by_loops(features)
    eps = rows(torch.randn(len(mu), len(mu[0]), generator=stream))
    z = [[m + math.sqrt(s) * e for m, s, e in zip(*row, strict=True)] for row in zip(mu, sigma, eps, strict=True)]
    return torch.tensor(z), sigma


def penalty_by_loops(sigma: list[list[float]]) -> float:
    return mean([sum(abs(math.log(s)) for s in row) for row in sigma])


@torch.no_grad()
def test_the_loss_is_the_loops() -> None:
    method, stream = three_levels(penalty=0.4), noise(4)
    z, sigma = [X], list[list[list[float]]]()
    for encoder in method.encoders:
        code, variance = drawn(encoder(z[-1]), stream)
        z.append(code)
        sigma.append(variance)
    prior = torch.randn(len(X), 2, generator=stream)
    expected = {"reconstruction": mean(sse_by_loops(X, torch.sigmoid(method.generators[0](z[1]))))}
    for n in (1, 2):
        costs = []
        for code, mu, variance in zip(rows(z[n]), *by_loops(method.generators[n](z[n + 1])), strict=True):
            costs.append(sum((c - m) ** 2 for c, m in zip(code, mu, strict=True)) + sum(variance))
        expected[f"cost_{n}"] = WEIGHTS[n - 1] * mean(costs)
    expected["mmd"] = 5.0 * mmd_by_loops(prior, z[3], lambda r2: imq7(2, r2))
    expected["log_variance"] = sum(0.4 * math.exp(-(n - 1)) * penalty_by_loops(sigma[n - 1]) for n in (1, 2, 3))
    terms = method.terms(X, noise(4))
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4, abs=1e-5), name
    assert terms["loss"].item() == pytest.approx(sum(expected.values()), rel=1e-5)


@torch.no_grad()
def test_the_implicit_loss_is_the_loops() -> None:
    method, stream = build(implicit_wae(2, weight=3.0), *DIMS), noise(4)
    code, _ = drawn(method.encoders[0](X), stream)
    z = torch.randn(len(X), 2, generator=stream)
    for n in (2, 1):  # p_3, then p_2
        z, _ = drawn(method.generators[n](z), stream)
    sse = mean(sse_by_loops(X, torch.sigmoid(method.generators[0](code))))
    mmd = 3 * mmd_by_loops(z, code, lambda r2: imq7(4, r2))  # the kernel's constant is of d_1 (SPEC T44)
    terms = method.terms(X, noise(4))
    assert terms["reconstruction"].item() == pytest.approx(sse, rel=1e-5)
    assert terms["mmd"].item() == pytest.approx(mmd, abs=1e-5)
    assert terms["loss"].item() == pytest.approx(sse + mmd, rel=1e-5)


@pytest.mark.parametrize("make", [lambda: stacked_wae(3, weights=(4.0,)), lambda: implicit_wae(3, weight=4.0)])
def test_one_level_is_a_stochastic_wae_mmd(make: object) -> None:
    stacked = build(make(), 3)  # type: ignore[operator]
    recipe = Recipe(GAUSSIAN, SquaredError(), ((4.0, MMD("imq7")),), StandardNormal(3))
    plain = AutoEncoder(recipe, stacked.encoders[0], stacked.generators[0], 3)
    one, other = stacked.terms(X, noise(1)), plain.terms(X, noise(1))
    assert {name: one[name] for name in other} == other
    assert torch.equal(stacked.draw(X, noise(2)).z, plain.draw(X, noise(2)).z)
    assert torch.equal(stacked.sample(5, noise(3)), plain.sample(5, noise(3)))  # type: ignore[arg-type]


def test_the_bracket_is_the_expected_cost_of_a_draw() -> None:
    method = three_levels(given=(1.0, 1.0, 1.0))
    with torch.no_grad():
        q = method.up(X, noise(3))
        features = method.generators[1](q[1].z)
        stream = noise(8)
        costs = torch.stack([(q[0].z - GAUSSIAN(features, stream).z).square().sum(1).mean() for _ in range(4000)])
        assert method.terms(X, noise(3))["cost_1"].item() == pytest.approx(costs.mean().item(), abs=4 * costs.std().item() / 4000**0.5)


def test_gradients_reach_a_code_from_both_sides() -> None:
    method = three_levels().double()
    x, bias, step = X.double(), method.encoders[0][1][2].bias, 1e-6
    method.terms(x, noise(5))["cost_1"].backward()
    with torch.no_grad():
        for i in range(len(bias)):  # μ^q_1 and Σ^q_1, which move z_1 itself and, through z_2, what is predicted of it
            values = []
            for move in (step, -2 * step):
                bias[i] += move
                values.append(method.terms(x, noise(5))["cost_1"].item())
            bias[i] += step
            assert bias.grad[i].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)
    for untouched in (method.generators[0], method.encoders[2], method.generators[2]):
        assert all(p.grad is None or not p.grad.any() for p in untouched.parameters())


def test_the_implicit_prior_learns_through_its_samples() -> None:
    method = build(implicit_wae(2), *DIMS)
    assert len(method.encoders) == 1
    method.terms(X, noise())["mmd"].backward()
    for part in (method.encoders[0], method.generators[1], method.generators[2]):
        assert all(p.grad is not None and p.grad.any() for p in part.parameters())
    assert all(p.grad is None for p in method.generators[0].parameters())


def test_the_top_divergence_of_stacked_wae_leaves_the_generators_alone() -> None:
    method = three_levels()
    method.terms(X, noise())["mmd"].backward()
    assert all(p.grad is None for p in method.generators.parameters())
    assert all(p.grad is not None and p.grad.any() for p in method.encoders.parameters())


def test_ancestral_samples_of_linear_levels_are_the_gaussian_they_must_be() -> None:
    method = build(implicit_wae(1), 1, 1, 1)
    for n, (slope, shift, raw) in ((2, (2.0, 1.0, -1.0)), (1, (-0.5, 3.0, 0.5))):  # p_3, p_2
        line = nn.Linear(1, 2)
        line.weight.data, line.bias.data = torch.tensor([[slope], [0.0]]), torch.tensor([shift, raw])
        method.generators[n] = line
    variance = {raw: math.log1p(math.exp(raw)) for raw in (-1.0, 0.5)}
    with torch.no_grad():
        z = method.prior.sample(40000, noise(2))
    assert z.mean().item() == pytest.approx(-0.5 * 1.0 + 3.0, abs=0.03)
    assert z.var().item() == pytest.approx(0.25 * (4 + variance[-1.0]) + variance[0.5], rel=0.03)


def test_variances_are_softplus_of_clipped_outputs() -> None:
    features = torch.tensor([[0.0, 0.0, 0.0, 0.0, math.log(math.e - 1), -1000.0, 1000.0, -3.0]])
    mu, sigma = moments(features)
    assert mu.tolist() == [[0.0] * 4]
    assert sigma[0, 0].item() == pytest.approx(1.0)
    assert sigma[0, 1].item() == pytest.approx(math.exp(-CLIP), rel=1e-5)
    assert sigma[0, 2].item() == pytest.approx(CLIP)
    draw = GAUSSIAN(features.expand(20000, 8), noise())
    assert draw.z.var(0)[[0, 2, 3]].tolist() == pytest.approx([1.0, CLIP, math.log1p(math.exp(-3))], rel=0.04)
    assert draw.log_variance is not None
    assert draw.log_variance[0].tolist() == pytest.approx(sigma[0].log().tolist(), abs=1e-4)


def test_layer_wise_codes_and_images_follow_the_means() -> None:
    method, d = three_levels(), DIMS
    with torch.no_grad():
        first = method.encoders[0](X)[:, : d[0]]
        second = method.encoders[1](first)[:, : d[1]]
        third = method.encoders[2](second)[:, : d[2]]
        assert torch.equal(method.encode_to(1, X), first)
        assert torch.equal(method.encode_to(3, X), third)
        down = method.generators[1](second)[:, : d[0]]
        assert torch.equal(method.decode_from(2, second), method.generators[0](down).sigmoid())
        assert torch.equal(method.decode(third), method.decode_from(2, method.generators[2](third)[:, : d[1]]))
        implicit = build(implicit_wae(2), *DIMS)
        assert torch.equal(implicit.decode(first), implicit.generators[0](first).sigmoid())
    for call in (lambda: method.encode_to(0, X), lambda: method.encode_to(4, X), lambda: method.decode_from(4, X)):
        with pytest.raises(ValueError, match="level must be one of 1 to 3"):
            call()
    with pytest.raises(ValueError, match="1 to 1"):
        implicit.encode_to(2, X)
    assert implicit.decode_from(3, third).shape == X.shape


@pytest.mark.parametrize(
    ("rule", "dims", "expected"),
    [
        (Rule("mnist", 0.01, 1e-4), (32, 16, 8, 4, 2), (3.125e-4, 6.25e-6, 1.25e-7, 2.5e-9, 1e-4)),
        (Rule("svhn", 0.5, 10), (512, 256, 128, 64, 32, 16), (0.5, 0.25, 0.125, 0.0625, 0.03125, 10)),
        (
            Rule("celeba", 0.1, 1),
            (8192, 6144, 4096, 2048, 1536, 1024, 512, 384, 256, 128),
            (0.1, 0.0464, 0.0215, 0.01, 0.00464, 0.00215, 0.001, 4.64e-4, 2.15e-4, 1),
        ),
    ],
)
def test_the_weights_are_the_printed_ones(rule: Rule, dims: tuple[int, ...], expected: tuple[float, ...]) -> None:
    assert rule(dims) == pytest.approx(expected, rel=2.5e-3)  # printed to three digits


def test_the_defaults_are_the_papers_mnist() -> None:
    assert stacked_wae(2).weights == Rule("mnist", 0.01, 1e-4)
    assert stacked_wae(2).penalty == 0
    assert stacked_wae(2).mmd == implicit_wae(2).mmd == MMD("imq7")
    assert stacked_wae(2, rule="celeba", rec_weight=0.1, match_weight=1.0).weights == Rule("celeba", 0.1, 1.0)
    assert stacked_wae(2, weights=(1.0, 2.0)).weights == Products((1.0, 2.0))


def test_the_penalty_of_each_level_is_the_printed_one() -> None:
    """Σ = e everywhere makes Σ_m |log Σ[m]| the number of latents: 2.5, 0.920, 0.338, 0.124 times d_n = 1."""
    method = build(stacked_wae(1, weights=(0.0,) * 4, penalty=2.5), 1, 1, 1, 1)
    with torch.no_grad():
        for encoder in method.encoders:
            last = [layer for layer in encoder.modules() if isinstance(layer, nn.Linear)][-1]
            last.weight.zero_()
            last.bias.copy_(torch.tensor([0.0, math.log(math.exp(math.e) - 1)]))
    assert method.terms(X, noise())["log_variance"].item() == pytest.approx(2.5 + 0.920 + 0.338 + 0.124, abs=1e-3)


@torch.no_grad()
def test_the_curve_tells_of_every_levels_variance() -> None:
    method = three_levels()
    terms, q = method.terms(X, noise(4)), method.up(X, noise(4))
    _, sigma = by_loops(method.generators[2](q[2].z))
    assert terms["log_variance_p3"].item() == pytest.approx(mean([math.log(s) for row in sigma for s in row]), abs=1e-5)
    assert q[1].log_variance is not None
    assert terms["log_variance_q2"].item() == pytest.approx(q[1].log_variance.mean().item(), abs=1e-6)
    assert {name for name in terms if name.startswith("log_variance_")} == {f"log_variance_{n}" for n in ("q1", "q2", "q3", "p2", "p3")}
    implicit = build(implicit_wae(2), *DIMS)
    terms, stream = implicit.terms(X, noise(4)), noise(4)
    implicit.up(X, stream)
    _, sigma = by_loops(implicit.generators[2](torch.randn(len(X), 2, generator=stream)))
    assert terms["log_variance_p3"].item() == pytest.approx(mean([math.log(s) for row in sigma for s in row]), abs=1e-5)
    assert {name for name in terms if name.startswith("log_variance_")} == {f"log_variance_{n}" for n in ("q1", "p2", "p3")}


def test_what_metrics_read() -> None:
    stacked, implicit = three_levels(), build(implicit_wae(2), *DIMS)
    assert (stacked.dim, implicit.dim) == (2, 4)
    assert stacked.channel == Channel(2, None, 2.0)
    assert implicit.channel == Channel(4, None, None)
    for method in (stacked, implicit):
        draw = method.draw(X, noise())
        assert draw.z.shape == draw.mean.shape == method.prior.sample(6, noise()).shape == (6, method.dim)
        assert torch.equal(draw.z, method.up(X, noise())[-1].z)
        assert draw.x is X
        assert method.sample(5, noise()).shape == (5, *SHAPE)
        assert not torch.equal(method.sample(5, noise()), method.sample(5, noise(1)))
        assert [id(p) for p in method.players()[0].parameters] == [id(p) for p in method.parameters()]


def test_hierarchies_and_plain_networks_are_told_apart() -> None:
    with pytest.raises(ValueError, match=r"network 'mlp' is not hierarchical.*stacked_mlp"):
        stacked_wae(2).assemble(SHAPE, 2, mlp)
    with pytest.raises(ValueError, match="network 'stacked_mlp' is hierarchical"):
        ae(2).assemble(SHAPE, 2, stacked_mlp)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_weights_must_fit_the_levels(count: int) -> None:
    with pytest.raises(ValueError, match=f"weights has {count} values, but network 'stacked_mlp' has 3 levels"):
        stacked_wae(2, weights=(1.0,) * count).assemble(SHAPE, 2, stacked_mlp)


@pytest.mark.parametrize("name", ["rec_weight", "match_weight", "penalty"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_impossible_values_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        stacked_wae(2, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights must be"):
        stacked_wae(2, weights=(1.0, value))
    with pytest.raises(ValueError, match="weight must be"):
        implicit_wae(2, weight=value)


@pytest.mark.parametrize("make", [lambda: stacked_wae(2), lambda: implicit_wae(2)])
def test_training_lowers_the_error_and_resumes_bit_for_bit(make: object) -> None:
    def fresh() -> StackedWAE:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return make().assemble((1, 8, 8), 2, stacked_mlp)  # type: ignore[operator]

    pixels = torch.randint(0, 256, (60, 1, 8, 8), generator=noise(7), dtype=torch.uint8)
    batches = Batches(pixels, 255, 20, seed=3)
    whole, first, second = fresh(), fresh(), fresh()
    outcome = train(training(whole, Budget(steps=100), batches), batches)  # type: ignore[arg-type]
    errors = [row["autoencoder.reconstruction"] for row in outcome.curve]
    assert errors[-1] < errors[0]
    half = training(first, Budget(steps=50), batches)  # type: ignore[arg-type]
    train(half, batches)
    train(training(second, Budget(steps=100), batches), batches, state=half.state(0.0))  # type: ignore[arg-type]
    assert weights(second) == weights(whole)


SUITE = """
question = "?"
hardware = "any"
expected_time = "none"
dataset = "digits"
network = "mlp"
latent_dim = 2
batch_size = 50
[budget]
steps = 5
[methods.ae]
[methods.stacked_wae]
network = "stacked_mlp"
weights = [0.1, 0.2, 3]
[methods.wrong]
method = "stacked_wae"
"""


def test_a_suites_row_names_its_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    ae_run, stacked, wrong = reader.read(str(tmp_path / "s.toml")).runs("cpu")
    assert prepare(ae_run, catalogue()).method.dim == 2
    prepared = prepare(stacked, catalogue())
    assert prepared.method.weights == (0.1, 0.2, 3.0)  # type: ignore[attr-defined]
    assert "0.1, 0.2, 3" in prepared.stages[0].recipe["regularisers"]
    with pytest.raises(UserError, match=r"methods.wrong: network 'mlp' is not hierarchical"):
        prepare(wrong, catalogue())
