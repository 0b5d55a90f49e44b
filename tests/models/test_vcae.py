"""VCAE and dVCAE: the variance constraint on noisy codes, their identity without noise, and Proposition 1."""

import math
from collections.abc import Callable

import pytest
import torch
from small_methods import DIM, build, images, noise, normal, pixels, rows, sse_by_loops, training, uniform, weights
from torch import Tensor

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from metrics.reconstruction import squared_error
from models.interfaces import Draw
from models.method import Recipe
from models.parts.posterior import AdditiveNoise
from models.vcae import VarianceConstraint, dvcae, vcae

X = images(6)
CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])


def variance_by_loops(z: Tensor) -> float:
    total = 0.0
    for column in zip(*rows(z), strict=True):
        mean = sum(column) / len(column)
        total += sum((value - mean) ** 2 for value in column) / len(column)
    return total


@pytest.mark.parametrize(("target", "value"), [(1.0, 1.5), (2.5, 0.0), (4.0, 1.5)])
def test_the_constraint_at_the_golden_variance(target: float, value: float) -> None:
    assert VarianceConstraint(target)(Draw(CROSS, 9 * CROSS, None, noise()), None).item() == pytest.approx(value)


def test_one_absolute_value_of_the_sum() -> None:
    """SPEC T10: variances 0.5 and 2 against v = 2.5 cost nothing, though neither is v / d."""
    assert VarianceConstraint(2.5)(Draw(CROSS, CROSS, None, noise()), None).item() == pytest.approx(0)


@pytest.mark.parametrize(
    ("make", "v"),
    [
        (lambda: vcae(DIM, weight=0.7, noise_variance=0.4), 3.0),
        (lambda: vcae(DIM, weight=0.7, target=9.0), 9.0),
        (lambda: dvcae(DIM, weight=0.7), 3.0),
        (lambda: dvcae(DIM, weight=0.7, target=0.01), 0.01),
    ],
)
def test_the_loss_is_the_loops_on_noisy_codes(make: Callable[[], Recipe], v: float) -> None:
    method = build(make)
    z = method.draw(X, noise(4)).z.detach()
    sse = sum(sse_by_loops(X, method.decode(z))) / 6
    penalty = 0.7 * abs(variance_by_loops(z) - v)
    terms = method.terms(X, noise(4))
    assert terms["variance"].item() == pytest.approx(penalty, rel=1e-5)
    assert terms["loss"].item() == pytest.approx(sse + penalty, rel=1e-5)


def test_dvcae_is_vcae_without_noise_bit_for_bit() -> None:
    trained = []
    for make in (lambda: dvcae(DIM, weight=0.5), lambda: vcae(DIM, weight=0.5, noise_variance=0.0)):
        method, batches = build(make), Batches(pixels(40), 16, 8, seed=1)
        outcome = train(training(method, Budget(steps=60), batches), batches)
        trained.append((weights(method), outcome.curve))
    assert trained[0] == trained[1]
    noisy = build(lambda: vcae(DIM, weight=0.5, noise_variance=1e-6))
    batches = Batches(pixels(40), 16, 8, seed=1)
    train(training(noisy, Budget(steps=60), batches), batches)
    assert weights(noisy) != trained[0][0]


def test_training_brings_the_variance_to_its_target() -> None:
    images_ = pixels(64)
    method, batches = build(lambda: vcae(DIM, weight=1.0, target=5.0)), Batches(images_, 16, 64, seed=1)
    train(training(method, Budget(steps=400), batches), batches)
    z = method.draw(images_.float() / 16, noise(9)).z
    assert variance_by_loops(z) == pytest.approx(5, rel=0.1)


def affine(dim: int, values: int) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    J, offset = normal(values, dim, seed=1), normal(values, seed=2)
    return lambda z: z @ J.T + offset, J


def test_proposition_one_is_exact_for_an_affine_decoder() -> None:
    """E_ε SSE(x, G(μ + ε)) = SSE(x, G(μ)) + σ_ε² |J|²: points ±√d σ e_k carry the first two moments of ε, all that a square needs."""
    d, variance = 4, 0.3
    decode, J = affine(d, 10)
    x, mean = uniform(5, 10, seed=3), normal(5, d, seed=4)
    step = math.sqrt(d * variance) * torch.eye(d, dtype=torch.float64)
    points = torch.cat([step, -step])
    expected = torch.stack([squared_error(x, decode(mean + point)) for point in points]).mean(0)
    assert expected.tolist() == pytest.approx((squared_error(x, decode(mean)) + variance * J.square().sum()).tolist(), rel=1e-12)


def test_proposition_one_holds_for_the_encoders_own_noise() -> None:
    d, variance, n = 4, 0.3, 40_000
    decode, J = affine(d, 10)
    x, mean = uniform(1, 10, seed=3).expand(n, -1), normal(1, d, seed=4).expand(n, -1)
    found = squared_error(x, decode(AdditiveNoise(variance)(mean, noise(5)).z))
    expected = squared_error(x[:1], decode(mean[:1])).item() + variance * J.square().sum().item()
    assert found.mean().item() == pytest.approx(expected, abs=4 * found.std().item() / math.sqrt(n))


def test_proposition_one_is_the_limit_of_small_noise_for_a_curved_decoder() -> None:
    """The term of second derivatives, Σ_j (x̂_j - x_j) tr H_j σ_ε², vanishes where x is the mean code's own image."""
    method = build(lambda: vcae(DIM, noise_variance=1e-4)).double()
    mean = normal(1, DIM, seed=4)
    x = method.decode(mean).detach()
    J = torch.autograd.functional.jacobian(lambda z: method.decode(z).flatten(), mean).squeeze(1)
    step = math.sqrt(DIM * 1e-4) * torch.eye(DIM, dtype=torch.float64)
    errors = squared_error(x.expand(2 * DIM, -1, -1, -1), method.decode(mean + torch.cat([step, -step])))
    assert errors.mean().item() == pytest.approx(1e-4 * J.square().sum().item(), rel=1e-2)


def test_recipes_have_the_papers_defaults_and_no_prior() -> None:
    assert [make(5).regularisers for make in (vcae, dvcae)] == [((0.1, VarianceConstraint(5.0)),)] * 2
    assert [make(5).prior for make in (vcae, dvcae)] == [None, None]
    assert [make(5).posterior.variance for make in (vcae, dvcae)] == [0.05, 0]
    assert [vcae(5).target_variance, vcae(5, target=7.0).target_variance, dvcae(5, target=7.0).target_variance] == [5, 7, 7]
    assert str(VarianceConstraint(2.0)) == "|ΣVar - 2|"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vcae(2, weight=-1.0), "weight must be 0 or larger, not -1.0"),
        (lambda: vcae(2, target=0.0), "target must be positive, not 0.0"),
        (lambda: dvcae(2, target=-1.0), "target must be positive, not -1.0"),
        (lambda: vcae(2, noise_variance=1.0), "noise_variance must be below target / latent_dim = 1,"),
        (lambda: vcae(2, noise_variance=0.6, target=1.0), "noise_variance must be below target / latent_dim = 0.5,"),
    ],
)
def test_impossible_values_are_refused(make: Callable[[], Recipe], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
