"""The Fréchet distance against scipy's matrix square root, closed forms and hand-made images."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from small_methods import normal, uniform
from torch import Tensor

from metrics.frechet import METRICS, frechet_distance, frechet_of_features, moments, pixel_features


def gaussian(dim: int, seed: int) -> tuple[Tensor, Tensor]:
    factor = normal(dim, dim, seed=seed)
    return normal(dim, seed=seed + 100), factor @ factor.T + 0.5 * torch.eye(dim, dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 3, 8])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_formula_with_scipys_square_root(dim: int, seed: int) -> None:
    (m1, C1), (m2, C2) = gaussian(dim, seed), gaussian(dim, seed + 10)
    root = scipy.linalg.sqrtm((C1 @ C2).numpy())
    formula = ((m1 - m2).numpy() ** 2).sum() + np.trace(C1.numpy() + C2.numpy() - 2 * np.real(root))
    assert frechet_distance(m1, C1, m2, C2).item() == pytest.approx(float(formula), rel=1e-9)
    assert frechet_distance(m2, C2, m1, C1).item() == pytest.approx(float(formula), rel=1e-9)


def test_diagonal_gaussians_have_a_closed_form() -> None:
    m1, m2 = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, -1.0, 2.0]).double()
    v1, v2 = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([4.0, 4.0, 0.25]).double()
    closed = (1 + 4 + 0) + (1 - 2) ** 2 + (2 - 2) ** 2 + (3 - 0.5) ** 2
    assert frechet_distance(m1, v1.diag(), m2, v2.diag()).item() == pytest.approx(closed)


def test_nothing_is_between_a_gaussian_and_itself_and_singular_ones_are_finite() -> None:
    m, C = gaussian(5, 3)
    assert frechet_distance(m, C, m, C).item() == pytest.approx(0, abs=1e-10)
    zero, flat = torch.zeros(2).double(), torch.tensor([1.0, 0.0]).double().diag()
    assert frechet_distance(zero, flat, zero, 4 * flat).item() == pytest.approx(1)


def test_moments_are_numpys() -> None:
    features = normal(20, 4, seed=1).float()
    mean, covariance = moments(features)
    np.testing.assert_allclose(mean.numpy(), features.numpy().astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance.numpy(), np.cov(features.numpy().astype(np.float64), rowvar=False), rtol=1e-10)


def test_shifted_and_scaled_features() -> None:
    features = uniform(40, 3, seed=1)
    assert frechet_of_features(features, features + 0.5).item() == pytest.approx(3 * 0.25)
    doubled = 2 * (features - features.mean(0)) + features.mean(0)
    assert frechet_of_features(features, doubled).item() == pytest.approx(torch.cov(features.T).trace().item())


def test_a_collapsed_generator_is_far_and_a_fresh_sample_near() -> None:
    test, fresh = uniform(300, 9, seed=1), uniform(300, 9, seed=2)
    collapsed = test[:1].repeat(300, 1) + 1e-3 * uniform(300, 9, seed=3)
    assert frechet_of_features(test, fresh) < 0.1 < 0.5 < frechet_of_features(test, collapsed)


def test_small_images_are_their_pixels_and_large_ones_area_means() -> None:
    small, large = uniform(2, 1, 28, 28, seed=1), uniform(2, 3, 64, 64, seed=2)
    assert torch.equal(pixel_features(small), small.reshape(2, 784))
    features = pixel_features(large).reshape(2, 3, 32, 32)
    block = sum(large[1, 2, 2 * 5 + a, 2 * 7 + b].item() for a in (0, 1) for b in (0, 1)) / 4
    assert features[1, 2, 5, 7].item() == pytest.approx(block)
    assert features.shape == (2, 3, 32, 32)
    assert pixel_features(uniform(1, 1, 16, 64)).shape == (1, 16 * 32)


def test_each_metric_compares_its_view_with_the_test_images() -> None:
    views = {metric.name: metric.needs for metric in METRICS}
    assert views == {
        "frechet_pixels_pz": ("test.features.pixels", "samples.features.pixels"),
        "frechet_pixels_qz": ("test.features.pixels", "density_samples.features.pixels"),
        "frechet_pixels_reconstruction": ("test.features.pixels", "reconstructions.features.pixels"),
        "frechet_pixels_floor": ("test.features.pixels", "train.features.pixels"),
    }
    a, b = uniform(30, 2, seed=1), uniform(30, 2, seed=2)
    assert all(math.isclose(metric.fn(a, b), frechet_of_features(a, b)) for metric in METRICS)
    assert not any("fid" in metric.name for metric in METRICS)  # that name is Inception's
