"""Generators and codes whose fault is known, through the views and protocols of a real evaluation of digits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_methods import noise
from torch import Tensor, nn

from bench.datasets import digits
from bench.evaluation.evaluate import Evaluation, baselines_of, evaluate
from bench.evaluation.feature_networks import FeatureNetworks
from bench.leaderboard.render import Column
from bench.registry import catalogue
from metrics.latent import Channel
from models.interfaces import Draw
from models.parts.prior import StandardNormal

DATA = digits.load(Path())
TRAIN, TEST, LABELS = (torch.from_numpy(part) for part in (DATA.train, DATA.test, DATA.train_labels))
HALF, REST = TRAIN[:700], TRAIN[700:]  # what is trained on, and new images of the same law
KNOWN = catalogue()


class Lookup(nn.Module):
    """A generator that shows given images one after the other, and an encoder of given moments: q(z|x) = N(shift + scale ε', s² I)."""

    likelihood, channel = None, Channel(2, None, None)

    def __init__(self, shown: Tensor, shift: float = 0.0, scale: float = 1.0):
        super().__init__()
        self.shown, self.shift, self.scale, self.dim, self.next = shown, shift, scale, 2, 0
        self.prior = StandardNormal(2)

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """Codes that are N(shift, scale²) over the images."""
        mean = self.shift + self.scale * 0.8 * torch.randn(len(x), 2, generator=noise)
        std = torch.full_like(mean, self.scale * 0.6)
        return Draw(mean + std * torch.randn(len(x), 2, generator=noise), mean, 2 * std.log(), noise)

    def decode(self, z: Tensor) -> Tensor:
        """The next images."""
        found = self.shown[self.next : self.next + len(z)]
        self.next = (self.next + len(z)) % len(self.shown)
        return found / 16

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """The first ones."""
        return self.shown[:n] / 16


def blur(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images.float(), (1, 1, 1, 1), mode="replicate"), 3, 1)


@cache
def shown(kind: str) -> Tensor:
    """As many as test images."""
    turn = torch.randint(len(HALF), (360,), generator=noise(1))
    ones = TRAIN[LABELS == 1]
    return {
        "fresh": REST[:360],
        "collapsed": ones[torch.arange(360) % len(ones)],
        "memorised": HALF[turn],
        "blurred": blur(REST[:360]),
        "blurred twice": blur(blur(REST[:360])),
    }[kind]


@dataclass(frozen=True)
class Shown:
    """A metric of each kind of samples, by name."""

    kind: str

    def __getattr__(self, name: str) -> float:
        if name not in KNOWN.metrics:  # pytest asks every name of a module for attributes of its own
            raise AttributeError(name)
        value: float = entries(Lookup(shown(self.kind)), self.kind)[name]["value"]
        return value


@cache
def entries(method: Any, key: str) -> dict[str, dict[str, Any]]:
    networks = FeatureNetworks("digits", HALF, 16, Path("nowhere"), None)
    known = Evaluation(method, HALF, TEST, 16, 0, baselines_of(HALF, TEST, 16), networks=networks)
    names = [name for name in KNOWN.metrics if name.endswith("_pz") or name in CODES or name in ("sharpness_test", "nn_distance_test")]
    return evaluate(known, [KNOWN.metrics[name] for name in names], "test")


CODES = ("mmd_prior", "sliced_wasserstein_prior", "agg_posterior_cross_entropy", "kl_sample", "sum_latent_variance")
FRESH, COLLAPSED, MEMORISED, BLURRED, TWICE = map(Shown, ("fresh", "collapsed", "memorised", "blurred", "blurred twice"))


def test_a_collapsed_generator_has_precision_and_no_recall() -> None:
    assert COLLAPSED.precision_classifier_pz > 0.7 > 0.3 > COLLAPSED.recall_classifier_pz
    assert COLLAPSED.density_classifier_pz > 0.7 > 0.3 > COLLAPSED.coverage_classifier_pz
    assert min(FRESH.precision_classifier_pz, FRESH.recall_classifier_pz, FRESH.coverage_classifier_pz) > 0.7
    for name in ("frechet_classifier_pz", "frechet_pca_pz", "frechet_pixels_pz", "kernel_distance_classifier_pz"):
        assert getattr(COLLAPSED, name) > 5 * getattr(FRESH, name)


def test_only_the_nearest_training_images_tell_a_memorising_generator() -> None:
    assert MEMORISED.frechet_classifier_pz < 3 * FRESH.frechet_classifier_pz
    assert min(MEMORISED.precision_classifier_pz, MEMORISED.recall_classifier_pz) > 0.7
    assert MEMORISED.nn_distance_pz == 0
    assert MEMORISED.data_copying_pz == 1
    assert FRESH.data_copying_pz == pytest.approx(0.5, abs=0.1)
    assert FRESH.nn_distance_pz == pytest.approx(entries(Lookup(shown("fresh")), "fresh")["nn_distance_test"]["value"], rel=0.1)


def test_blur_is_seen_by_sharpness_and_by_every_distance() -> None:
    real = entries(Lookup(shown("fresh")), "fresh")["sharpness_test"]["value"]
    assert FRESH.sharpness_pz == pytest.approx(real, rel=0.1)
    assert TWICE.sharpness_pz < 0.5 * BLURRED.sharpness_pz < 0.5 * 0.1 * FRESH.sharpness_pz
    for name in ("frechet_classifier_pz", "frechet_pca_pz", "frechet_pixels_pz"):
        assert 3 * getattr(FRESH, name) < getattr(BLURRED, name) < getattr(TWICE, name)


def of_codes(shift: float, scale: float) -> dict[str, float]:
    found = entries(Lookup(shown("fresh"), shift, scale), f"{shift}, {scale}")
    return {name: found[name]["value"] for name in CODES}


def test_shifted_and_scaled_codes_are_seen_by_every_distance_to_the_prior() -> None:
    """Codes are N(shift, scale²) in each of two latents; their own noise is 0.36 of it."""
    prior, shifted, wide, narrow = of_codes(0, 1), of_codes(2, 1), of_codes(0, 3), of_codes(0, 0.1)
    for name in ("mmd_prior", "sliced_wasserstein_prior"):
        assert 5 * abs(prior[name]) < min(shifted[name], wide[name], narrow[name])
    assert shifted["sliced_wasserstein_prior"] == pytest.approx(2, abs=0.2)  # every direction has 2² in the mean
    assert wide["sliced_wasserstein_prior"] == pytest.approx(2, abs=0.3)
    expected = {0: prior, 4: shifted, 8: wide, -0.99: narrow}  # E|z|² / 2 above that of the prior, for both latents
    for more, found in expected.items():
        assert found["agg_posterior_cross_entropy"] == pytest.approx(prior["agg_posterior_cross_entropy"] - more, abs=1.2)
    assert narrow["agg_posterior_cross_entropy"] > prior["agg_posterior_cross_entropy"], "it grows as codes shrink: why the rate is there"
    assert min(shifted["kl_sample"], wide["kl_sample"], narrow["kl_sample"]) > prior["kl_sample"] + 1
    assert [found["sum_latent_variance"] for found in (prior, wide)] == pytest.approx([2, 18], rel=0.15)


@pytest.mark.parametrize("of", [lambda e: e["frechet_classifier_pz"], lambda e: e["precision_classifier_pz"]])
def test_faults_are_of_values_and_not_of_protocols(of: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    columns = {Column.of("x", of(entries(Lookup(shown(kind)), kind))) for kind in ("fresh", "collapsed", "memorised")}
    assert len(columns) == 1
