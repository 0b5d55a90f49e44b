"""RAE: its terms by loops, its gradient penalty against the decoder's Jacobian, its spectral norms against singular values."""

import pytest
import torch
from small_methods import DIM, LEVELS, build, images, noise, pixels, rows, sse_by_loops, training
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from models.method import AutoEncoder
from models.rae import rae_gp, rae_l2, rae_sn

X = images(6)


def half_squares(z: Tensor) -> float:
    return 0.5 * sum(v * v for row in rows(z) for v in row) / len(z)


def test_the_loss_with_l2_is_the_loops() -> None:
    method = build(lambda: rae_l2(DIM, beta=0.3, weight=0.05))
    z = method.draw(X, noise()).z.detach()
    norm = sum(v * v for p in method.decoder.parameters() for v in p.flatten().tolist())
    expected = sum(sse_by_loops(X, method.decode(z))) / 6 + 0.3 * half_squares(z) + 0.05 * norm
    assert method.terms(X, noise())["loss"].item() == pytest.approx(expected, rel=1e-5)


def jacobians(method: AutoEncoder, z: Tensor) -> list[Tensor]:
    """Of the decoded image in the code, image by image.   -> (values, D) each"""
    return [torch.autograd.functional.jacobian(lambda code: method.decode(code[None]).flatten(), code) for code in z]


def test_the_gradient_penalty_is_of_one_random_direction_of_the_jacobian() -> None:
    method = build(lambda: rae_gp(DIM, beta=0.0, weight=1.0))
    z = method.draw(X, noise()).z
    directions = torch.randn(X.shape, generator=noise(3)).flatten(1)
    expected = sum(0.5 * (v @ J).square().sum().item() for v, J in zip(directions, jacobians(method, z.detach()), strict=True)) / 6
    assert method.terms(X, noise(3))["gradient_penalty"].item() == pytest.approx(expected, rel=1e-5)


def test_its_mean_is_half_the_squared_norm_of_the_jacobian() -> None:
    method = build(lambda: rae_gp(DIM, beta=0.0, weight=1.0))
    exact = sum(0.5 * J.square().sum().item() for J in jacobians(method, method.draw(X, noise()).z.detach())) / 6
    stream = noise(5)
    found = torch.tensor([method.terms(X, stream)["gradient_penalty"].item() for _ in range(400)])
    assert found.mean().item() == pytest.approx(exact, abs=4 * found.std().item() / 20)


def test_a_step_down_the_penalty_makes_the_decoder_flatter() -> None:
    method = build(lambda: rae_gp(DIM, beta=0.0, weight=1.0))
    z = method.draw(X, noise()).z.detach()
    before = sum(J.square().sum().item() for J in jacobians(method, z))
    loss = sum(method.terms(X, noise(seed))["gradient_penalty"] for seed in range(20))
    with torch.no_grad():
        for p, gradient in zip(method.parameters(), torch.autograd.grad(loss, list(method.parameters()), allow_unused=True), strict=True):
            p -= 0.01 * (0 if gradient is None else gradient)
    assert sum(J.square().sum().item() for J in jacobians(method, z)) < before


def test_spectral_norms_of_a_trained_decoder_are_one() -> None:
    method, batches = build(lambda: rae_sn(DIM)), Batches(pixels(40), LEVELS, 8, seed=1)
    outcome = train(training(method, Budget(steps=150), batches), batches)
    assert outcome.status == "done"
    layers = [layer for layer in method.decoder.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 2
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, rel=0.02)
    assert torch.linalg.matrix_norm(method.encoder[1].weight, 2).item() != pytest.approx(1, rel=0.02)
    assert "spectral" in method.recipe.description()["posterior"]


def test_none_has_a_prior_or_noise() -> None:
    for make in (rae_l2, rae_gp, rae_sn):
        recipe = make(DIM)
        assert (recipe.prior, recipe.posterior.variance) == (None, 0.0)
        assert next(str(part) for _, part in recipe.regularisers) == "½|z|²"


@pytest.mark.parametrize("make", [rae_l2, rae_gp])
def test_impossible_values_are_refused(make: object) -> None:
    for values, message in (
        ({"beta": -1.0}, "beta must be 0 or larger, not -1.0"),
        ({"weight": -1.0}, "weight must be 0 or larger, not -1.0"),
    ):
        with pytest.raises(ValueError, match=message):
            make(DIM, **values)
