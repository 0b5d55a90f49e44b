"""Midpoints of codes by loops; interpolated and mixture distances of methods whose faults are known."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small_methods import build, noise, normal, rows
from torch import Tensor

from bench.datasets import digits
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.feature_networks import FeatureNetworks
from bench.registry import catalogue
from metrics.features.second import midpoints, mixture_draws
from metrics.metric import Unavailable
from models.fsq import fsq
from models.method import AutoEncoder
from models.vae import ae

KNOWN = catalogue()
NAMES = ("frechet_pca_interpolated", "frechet_pca_mixture", "frechet_pca_floor")
DATA = digits.load(Path())
TRAIN, TEST = torch.from_numpy(DATA.train), torch.from_numpy(DATA.test)


def test_midpoints_are_the_loops() -> None:
    codes = normal(12, 3, seed=1)
    expected = []
    for i, z in enumerate(rows(codes)):
        other = min((w for j, w in enumerate(rows(codes)) if j != i), key=lambda w: math.dist(z, w))
        expected.append([(a + b) / 2 for a, b in zip(z, other, strict=True)])
    torch.testing.assert_close(midpoints(codes), torch.tensor(expected, dtype=torch.float64))


def test_a_code_that_is_there_twice_is_its_own_midpoint() -> None:
    codes = normal(5, 2, seed=2).repeat(2, 1)
    assert torch.equal(midpoints(codes), codes)
    with pytest.raises(Unavailable, match="needs at least 2 codes"):
        midpoints(codes[:1])


def distances(method: AutoEncoder, train: Tensor = TRAIN, test: Tensor = TEST, levels: int = 16) -> dict[str, dict[str, Any]]:
    networks = FeatureNetworks("made up", train, levels, Path("nowhere"), None)
    evaluation = Evaluation(method, DeviceDataset(train, test, levels, networks=networks), 0)
    return evaluate(evaluation, [KNOWN.get("metric", name) for name in NAMES])


class Plain:
    """The cost of a decoder whose outputs are images already."""

    def image(self, y: torch.Tensor) -> torch.Tensor:
        return y.clamp(0, 1)


def linear(axes: Tensor, mean: Tensor, scale: float = 1.0, shift: float = 0.0) -> AutoEncoder:
    """An autoencoder of those axes of images, which decodes wider by `scale` and brighter by `shift`.   (d, 64), (64,)"""
    method = build(lambda: ae(len(axes)), shape=(1, 8, 8), dim=len(axes))
    encoder, decoder = torch.nn.Linear(64, len(axes)), torch.nn.Linear(len(axes), 64)
    with torch.no_grad():
        encoder.weight.copy_(axes)
        encoder.bias.copy_(-axes @ mean)
        decoder.weight.copy_(scale * axes.T)
        decoder.bias.copy_(mean + shift)
    method.encoder = torch.nn.Sequential(torch.nn.Flatten(), encoder)
    method.decoder = torch.nn.Sequential(decoder, torch.nn.Unflatten(1, (1, 8, 8)))
    object.__setattr__(method.recipe, "cost", Plain())
    return method.eval()


def pca(components: int) -> AutoEncoder:
    """An autoencoder of so many principal components of the digits."""
    x = TRAIN.flatten(1).double() / 16
    mean = x.mean(0)
    return linear(torch.linalg.svd(x - mean, full_matrices=False).Vh[:components], mean)


def test_codes_that_are_good_everywhere_are_near_the_floor_and_a_useless_one_far_away() -> None:
    good, useless = pca(32), build(lambda: ae(8), shape=(1, 8, 8), dim=8)
    found, bad = distances(good), distances(useless)
    floor = found["frechet_pca_floor"]["value"]
    for name in NAMES[:2]:
        assert found[name]["value"] < 0.1 * bad[name]["value"]
    assert found["frechet_pca_mixture"]["value"] < 8 * floor


def test_a_linear_autoencoder_of_gaussian_images_has_the_distances_of_the_closed_form() -> None:
    """Images N(m, C) of rank two, decoded k times as wide and brighter by s: |s|² + (k - 1)² tr C, of all draws and of midpoints.

    Midpoints of many codes in a plane are as good as the codes; a wider decoder alone, and a brighter one alone, have a term each.
    """
    axes = torch.linalg.qr(normal(64, 2, seed=3)).Q.T
    images = 0.5 + normal(5000, 2, seed=4) @ (torch.tensor([[0.15], [0.1]]) * axes)
    assert 0.02 < images.min() < images.max() < 0.98
    train, test = (255 * images).round().to(torch.uint8).reshape(-1, 1, 8, 8).split([3000, 2000])
    x = test.flatten(1).double() / 255
    trace = (x - x.mean(0)).square().sum() / (len(x) - 1)
    for scale, shift in ((2.0, 0.0), (1.0, 0.02), (0.3, 0.02)):
        found = distances(linear(axes, torch.full((64,), 0.5, dtype=torch.float64), scale, shift), train, test, 255)
        expected = 64 * shift**2 + (scale - 1) ** 2 * float(trace)
        assert [found[name]["value"] for name in NAMES[:2]] == pytest.approx([expected] * 2, rel=0.15), (scale, shift)


def test_the_mixture_is_the_law_of_the_codes() -> None:
    """Two far groups of three to one, with means and covariances of their own."""
    codes = torch.cat([normal(3000, 2, seed=1) * torch.tensor([1.0, 0.1]) + 50, normal(1000, 2, seed=2)])
    drawn = mixture_draws(codes, 4000, noise(3))
    assert drawn.shape == (4000, 2)
    assert (drawn[:, 0] > 25).double().mean().item() == pytest.approx(0.75, abs=0.03)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0.04, atol=0.1)
    far = drawn[drawn[:, 0] > 25]
    torch.testing.assert_close(far.std(0), torch.tensor([1.0, 0.1], dtype=torch.float64), rtol=0.08, atol=0.01)
    with pytest.raises(Unavailable, match="needs at least 10 codes, there are 9"):
        mixture_draws(codes[:9], 5, noise())


def test_discrete_codes_have_neither() -> None:
    found = distances(build(lambda: fsq(4), shape=(1, 8, 8), dim=4))
    assert [found[name]["value"] for name in NAMES[:2]] == [None, None]
    assert "discrete" in found["frechet_pca_interpolated"]["reason"]


def test_the_same_weights_give_the_same_values() -> None:
    method = build(lambda: ae(4), shape=(1, 8, 8), dim=4)
    assert distances(method) == distances(method)
