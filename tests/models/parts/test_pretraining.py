"""The extras of WAE's released code: noise on the encoder's images, and an encoder that is trained alone first."""

import math
from dataclasses import replace

import pytest
import torch
from small_methods import DIM, build, images, noise, normal, pixels, training, weights
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from models.method import AutoEncoder, truncated_normal_like
from models.parts.pretraining import MomentPretraining, moment_mismatch
from models.parts.prior import StandardNormal
from models.wae import wae_gan, wae_mmd


def draw_images(n: int) -> Tensor:
    return images(min(n, 400), seed=5)


def codes_and_draws(method: AutoEncoder) -> tuple[Tensor, Tensor]:
    return method.draw(draw_images(400), noise()).z.detach(), StandardNormal(DIM).sample(4000, noise(1))


def test_the_mismatch_by_loops() -> None:
    z, target = normal(7, 2), 3 * normal(7, 2, seed=1)

    def moments(rows: list[list[float]]) -> tuple[list[float], list[list[float]]]:
        mean = [sum(row[k] for row in rows) / 7 for k in range(2)]
        covariance = [[sum((row[k] - mean[k]) * (row[m] - mean[m]) for row in rows) / 6 for m in range(2)] for k in range(2)]
        return mean, covariance

    (m1, c1), (m2, c2) = moments(z.tolist()), moments(target.tolist())
    known = sum((a - b) ** 2 for a, b in zip(m1, m2, strict=True)) / 2
    known += sum((c1[k][m] - c2[k][m]) ** 2 for k in range(2) for m in range(2)) / 4
    assert moment_mismatch(z, target).item() == pytest.approx(known)


def test_codes_get_the_priors_moments_and_the_decoder_stays() -> None:
    method = build(lambda: replace(wae_mmd(DIM), pretraining=MomentPretraining(batch=100, lr=0.02)))
    decoder, before = weights(method.decoder), moment_mismatch(*codes_and_draws(method))
    method.run_hook("training_begins", 0, draw_images, noise())
    assert moment_mismatch(*codes_and_draws(method)) < min(0.15, before / 3)
    assert weights(method.decoder) == decoder


def seen_sizes(method: AutoEncoder) -> list[int]:
    """How many images the encoder gets each time, from now on."""
    sizes = list[int]()
    method.encoder.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    return sizes


def test_the_amounts_are_those_of_the_code() -> None:
    part = MomentPretraining()
    assert (part.batch, part.steps, part.tolerance, part.lr) == (1000, 200, 0.1, 1e-3)
    recipe = wae_mmd(DIM, pretraining_batch=50)
    assert recipe.pretraining == MomentPretraining(batch=50)
    method, asked = build(lambda: recipe), list[int]()
    sizes = seen_sizes(method)

    def pool(n: int) -> Tensor:
        asked.append(n)
        return draw_images(n)

    replace(part, batch=50, steps=7, tolerance=0.0).training_begins(0, method, pool, noise())
    assert sizes == [50] * 7
    assert asked == [1000], "20 batches to choose from"


def test_it_stops_once_the_moments_match() -> None:
    method = build(lambda: wae_mmd(DIM))
    sizes = seen_sizes(method)
    MomentPretraining(batch=400, lr=0.02).training_begins(0, method, draw_images, noise())
    assert 1 < len(sizes) < 200
    assert moment_mismatch(*codes_and_draws(method)) < 0.15


def test_a_step_is_adams_down_the_mismatch_of_its_own_batch() -> None:
    """Adam's first steps have the size of its rate; the gradient that is left is of one batch, not the sum of all."""
    method = build(lambda: wae_mmd(DIM))
    bias = method.encoder[-1].bias
    before = bias.detach().clone()
    MomentPretraining(batch=400, steps=1, tolerance=0.0, lr=0.02).training_begins(0, method, draw_images, noise())
    assert (bias - before).abs().tolist() == pytest.approx([0.02] * DIM, rel=1e-3)
    other = build(lambda: wae_mmd(DIM))
    MomentPretraining(batch=400, steps=20, tolerance=0.0, lr=1e-12).training_begins(0, other, draw_images, noise())
    one, last = (torch.cat([p.grad.flatten() for p in m.encoder.parameters()]).norm() for m in (method, other))
    assert last < 3 * one


def test_a_matched_encoder_is_left_alone() -> None:
    method = build(lambda: wae_mmd(DIM))
    before = weights(method)
    MomentPretraining(batch=100, tolerance=1e6).training_begins(0, method, draw_images, noise())
    assert weights(method) == before
    MomentPretraining(batch=100, steps=1, tolerance=1e-9).training_begins(0, method, draw_images, noise())
    assert weights(method) != before


def test_it_happens_once_and_a_resumed_run_does_not_repeat_it() -> None:
    def run(stop: int) -> dict[str, bytes]:
        method, batches = build(lambda: wae_gan(DIM, pretraining_batch=20, width=8)), Batches(pixels(60), 16, 20, seed=3)
        first, state = training(method, Budget(steps=6), batches, seed=1), None
        if stop:
            first.call_hooks("training_begins", batches)
            first.take_steps(batches, stop)
            first.read([torch.zeros(len(first.names))])
            state = first.state(1.0)
            method = build(lambda: wae_gan(DIM, pretraining_batch=20, width=8), seed=9)
        train(training(method, Budget(steps=6), batches, seed=1), batches, state=state)
        return weights(method)

    assert run(0) == run(2)


def test_truncated_normal_draws() -> None:
    x = truncated_normal_like(torch.zeros(200_000, dtype=torch.float64), noise())
    assert x.abs().max() <= 2
    within = math.erf(1 / math.sqrt(2)) / math.erf(math.sqrt(2))  # of one deviation, given that of two
    assert (x.abs() < 1).double().mean().item() == pytest.approx(within, abs=0.005)
    assert x.mean().item() == pytest.approx(0, abs=0.01)
    assert torch.equal(x, truncated_normal_like(x, noise()))


def test_noise_is_on_what_the_encoder_sees_in_training_alone() -> None:
    method = build(lambda: wae_mmd(DIM, input_noise=0.01))
    seen = list[Tensor]()
    method.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = images(50)
    terms = method.terms(x, noise())
    spread = (seen[0] - x).flatten()
    assert 0.005 < spread.std() < 0.01
    assert spread.abs().max() <= 0.02 + 1e-6
    assert (seen[0] - x).std(0).min() > 0.004, "each image has noise of its own"
    assert method.draw(x, noise()).x is x, "regularisers see the images without it"
    y = method.decoder(method.recipe.posterior(method.encoder(seen[0]), noise()).z)
    assert terms["reconstruction"].item() == pytest.approx((x - y.sigmoid()).square().flatten(1).sum(1).mean().item(), rel=1e-5)
    method.eval()
    method.draw(x, noise())
    assert torch.equal(seen[-1], x)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"input_noise": -0.1}, "input_noise must be 0 or larger and below 1, not -0.1"),
        ({"pretraining_batch": 1}, "pretraining_batch must be 0 or at least 2, not 1"),
    ],
)
def test_impossible_values(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wae_mmd(DIM, **values)  # type: ignore[arg-type]


def test_a_record_says_so() -> None:
    words = wae_mmd(DIM, input_noise=0.01, pretraining_batch=256).description()
    assert words["posterior"] == "deterministic, input noise 0.01, encoder pre-trained on 256 images a step"
    assert wae_mmd(DIM).description()["posterior"] == "deterministic"


def test_a_hidden_layer_of_the_encoder_moves_too() -> None:
    method = build(lambda: wae_mmd(DIM, pretraining_batch=100))
    layer = next(module for module in method.encoder.modules() if isinstance(module, nn.Linear))
    before = layer.weight.clone()
    method.run_hook("training_begins", 0, draw_images, noise())
    assert not torch.equal(layer.weight, before)
