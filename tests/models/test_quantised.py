"""VQ-VAE, FSQ and QLAE: what becomes of an encoder's output, by loops, where gradients go, how many bits there are."""

import math

import pytest
import torch
from small_methods import DIM, build, images, noise, normal, rows, sse_by_loops
from torch import Tensor

from metrics.latent import Channel, channel_capacity
from metrics.reconstruction import bernoulli_nll
from models.fsq import FiniteScalar, fsq
from models.interfaces import Draw
from models.parts.quantised import CodebookLoss, quantised
from models.qlae import LatentQuantiser, qlae
from models.vq_vae import VectorQuantiser, vq_vae

X = images(6)
FEATURES = 2 * normal(9, 4, seed=1).float()


def nearest_by_loops(token: list[float], entries: list[list[float]]) -> list[float]:
    return min(entries, key=lambda entry: sum((a - b) ** 2 for a, b in zip(token, entry, strict=True)))


def squares(one: list[list[float]], other: list[list[float]]) -> float:
    return sum((a - b) ** 2 for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)) / len(one)


def vector_quantiser(dim: int = 4, tokens: int = 2, codes: int = 5) -> VectorQuantiser:
    quantiser = VectorQuantiser(dim, tokens=tokens, codes=codes)
    with torch.no_grad():
        quantiser.codebook.copy_(normal(codes, dim // tokens, seed=2))
    return quantiser


def test_every_token_becomes_the_nearest_entry() -> None:
    quantiser = vector_quantiser()
    entries = rows(quantiser.codebook)
    expected = [nearest_by_loops(row[:2], entries) + nearest_by_loops(row[2:], entries) for row in rows(FEATURES)]
    draw = quantiser(FEATURES, noise())
    assert rows(draw.z) == expected
    assert draw.mean is draw.z


def test_every_latent_becomes_the_nearest_of_its_own_values() -> None:
    quantiser = LatentQuantiser(4, 3)
    assert rows(quantiser.values) == [[-0.5, 0.0, 0.5]] * 4
    with torch.no_grad():
        quantiser.values.copy_(normal(4, 3, seed=2))
    values = rows(quantiser.values)
    expected = [[nearest_by_loops([v], [[value] for value in values[k]])[0] for k, v in enumerate(row)] for row in rows(FEATURES)]
    assert rows(quantiser(FEATURES, noise()).z) == expected


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8])
def test_rounding_is_the_papers_and_reaches_every_level(levels: int) -> None:
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = 0.0 if levels % 2 else 0.5
    wide = torch.linspace(-9, 9, 2001)[:, None]
    draw = FiniteScalar((levels,))(wide, noise())
    expected = [round(math.tanh(v + math.tan(offset / half)) * half - offset) / (levels // 2) for (v,) in rows(wide)]
    assert draw.z.flatten().tolist() == pytest.approx(expected)
    assert draw.z.unique().tolist() == pytest.approx([(k - levels // 2) / (levels // 2) for k in range(levels)])


def test_the_decoders_gradient_goes_to_the_encoder_and_not_to_the_entries() -> None:
    quantiser, features = vector_quantiser(), FEATURES.clone().requires_grad_()
    slope = normal(9, 4, seed=3).float()
    (slope * quantiser(features, noise()).z).sum().backward()
    assert torch.equal(features.grad, slope)
    assert quantiser.codebook.grad is None
    features = FEATURES.clone().requires_grad_()
    scalar = FiniteScalar((5,) * 4)
    (slope * scalar(features, noise()).z).sum().backward()
    by_hand = slope * (1 - torch.tanh(FEATURES).square()) * (4 * (1 - 1e-3) / 2) / 2
    torch.testing.assert_close(features.grad, by_hand)


def test_entries_move_to_what_chose_them_and_the_encoder_to_what_it_chose() -> None:
    method = build(lambda: vq_vae(DIM, codes=4, commitment=0.25))
    draw = method.draw(X, noise())
    codebook, commitment = (part(draw, None) for _, part in method.recipe.regularisers)
    (entries,) = torch.autograd.grad(codebook, method.recipe.posterior.codebook, retain_graph=True)
    chosen = (draw.z.detach()[:, None] == method.recipe.posterior.codebook).all(2).float()  # (6, 4)
    by_hand = 2 * (chosen.sum(0)[:, None] * method.recipe.posterior.codebook - chosen.T @ draw.before) / 6
    torch.testing.assert_close(entries, by_hand.detach())
    assert torch.autograd.grad(codebook, method.encoder[1].weight, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(commitment, method.recipe.posterior.codebook, allow_unused=True, retain_graph=True) == (None,)
    assert torch.autograd.grad(commitment, method.encoder[1].weight)[0].any()


def parts_of(draw: Draw) -> tuple[list[list[float]], list[list[float]]]:
    return rows(draw.before), rows(draw.z)


def test_the_loss_of_vq_vae_is_the_loops() -> None:
    method = build(lambda: vq_vae(DIM, codes=4, commitment=0.3))
    draw = method.draw(X, noise())
    expected = sum(sse_by_loops(X, method.decode(draw.z))) / 6 + 1.3 * squares(*parts_of(draw))
    assert method.terms(X, noise())["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_qlae_is_the_loops() -> None:
    method = build(lambda: qlae(DIM, values=4, quantisation=0.2, commitment=0.5, weight=0.01))
    draw = method.draw(X, noise())
    networks = [p for side in (method.encoder, method.decoder) for p in side.parameters()]
    norm = sum(v * v for p in networks for v in p.flatten().tolist())
    bce = bernoulli_nll(X, method.raw(draw.z)).mean().item()
    expected = bce + 0.7 * squares(*parts_of(draw)) + 0.01 * norm
    assert method.terms(X, noise())["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_fsq_adds_no_term() -> None:
    method = build(lambda: fsq(DIM))
    terms = method.terms(X, noise())
    assert set(terms) == {"loss", "reconstruction"}
    assert not [name for name, _ in method.recipe.posterior.named_parameters()]


@pytest.mark.parametrize(
    ("make", "bits"),
    [
        (lambda: vq_vae(4, tokens=2, codes=32), 10.0),
        (lambda: fsq(4, levels=(8, 5, 5, 4)), math.log2(800)),
        (lambda: fsq(4, levels=(5,)), math.log2(625)),
        (lambda: qlae(4, values=16), 16.0),
    ],
)
def test_the_capacity_is_the_logarithm_of_how_many_codes_there_are(make: object, bits: float) -> None:
    posterior = make().posterior
    assert channel_capacity(Channel(4, posterior.variance, None, posterior.bits)) == pytest.approx(bits)


def test_codes_equal_their_entries_to_the_bit() -> None:
    before, entries = 1e4 * normal(50, 3, seed=4).float(), normal(50, 3, seed=5).float()
    assert torch.equal(quantised(before, entries, noise()).z, entries)


def test_a_regulariser_of_discrete_codes_refuses_others() -> None:
    z: Tensor = normal(3, 2)
    with pytest.raises(TypeError, match="the codes are continuous"):
        CodebookLoss()(Draw(z, z, None, noise()), None)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vq_vae(4, tokens=3), "tokens must divide latent_dim = 4, not 3"),
        (lambda: vq_vae(4, tokens=0), "tokens must divide latent_dim = 4, not 0"),
        (lambda: vq_vae(4, codes=1), "codes must be at least 2, not 1"),
        (lambda: vq_vae(4, commitment=-1.0), "commitment must be 0 or larger, not -1.0"),
        (lambda: fsq(4, levels=(5, 5)), "levels must be one number or latent_dim = 4 of them, not 2"),
        (lambda: fsq(4, levels=(1,)), "levels must be at least 2, not 1"),
        (lambda: qlae(4, values=1), "values must be at least 2, not 1"),
        (lambda: qlae(4, quantisation=-1.0), "quantisation must be 0 or larger, not -1.0"),
    ],
)
def test_impossible_values_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
