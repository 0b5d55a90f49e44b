"""The Fréchet distance against scipy's matrix square root, closed forms and hand-made images."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from small_methods import normal, uniform
from torch import Tensor

from metrics.frechet import METRICS, fit, frechet_distance, frechet_of_features, lower_congruence, moments, moments_of, pixel_features, root


def gaussian(dim: int, seed: int) -> tuple[Tensor, Tensor]:
    factor = normal(dim, dim, seed=seed)
    return normal(dim, seed=seed + 100), factor @ factor.T + 0.5 * torch.eye(dim, dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 3, 8])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_formula_with_scipys_square_root(dim: int, seed: int) -> None:
    (m1, C1), (m2, C2) = gaussian(dim, seed), gaussian(dim, seed + 10)
    product_root = scipy.linalg.sqrtm((C1 @ C2).numpy())
    formula = ((m1 - m2).numpy() ** 2).sum() + np.trace(C1.numpy() + C2.numpy() - 2 * np.real(product_root))
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


@pytest.mark.parametrize("singular", [False, True])
def test_a_root_is_triangular_unless_its_covariance_is_singular_and_says_so(singular: bool) -> None:
    rows = normal(20, 5, seed=1)
    rows[:, 3] *= not singular
    C = rows.T @ rows
    factor, triangular = root(C)
    assert triangular == (not singular) == torch.equal(factor, factor.tril())
    torch.testing.assert_close(factor @ factor.T, C)


@pytest.mark.parametrize("panel", [1, 3, 4, 256])
@pytest.mark.parametrize("dim", [1, 4, 9])
def test_half_of_a_congruence_is_the_whole_ones(panel: int, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.frechet.PANEL", panel)
    (_, C1), (_, C2) = gaussian(dim, 1), gaussian(dim, 2)
    L = torch.linalg.cholesky(C1)
    torch.testing.assert_close(lower_congruence(L, C2).tril(), (L.T @ C2 @ L).tril(), rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("least", [1.0, 1e-6, 1e-12])
def test_panels_change_no_distance_however_close_to_singular(least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    basis, other = (torch.linalg.qr(normal(40, 40, seed=seed)).Q for seed in (1, 2))
    spread = torch.logspace(0, math.log10(least), 40, dtype=torch.float64)
    (m1, C1), (m2, C2) = (normal(40, seed=3), basis * spread @ basis.T), (normal(40, seed=4), other * spread @ other.T)
    exact = torch.linalg.svdvals((basis * spread.sqrt()).T @ (other * spread.sqrt())).sum()
    monkeypatch.setattr("metrics.frechet.PANEL", 7)
    found = frechet_distance(m1, C1, m2, C2).item()
    assert found == pytest.approx(((m1 - m2).square().sum() + C1.trace() + C2.trace() - 2 * exact).item(), rel=1e-7)


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


@pytest.mark.parametrize(("n", "m"), [(6, 40), (40, 6), (6, 7), (8, 8), (9, 8)])
def test_few_rows_give_the_distance_of_their_singular_covariances(n: int, m: int) -> None:
    a, b = normal(n, 8, seed=1), 2 * normal(m, 8, seed=2) + 1
    product_root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T))
    formula = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * np.real(product_root))
    assert frechet_of_features(a, b).item() == pytest.approx(float(formula), rel=1e-6)  # sqrtm's own error on singular products
    by_moments = frechet_distance(*moments(a), *moments(b)).item()
    assert frechet_of_features(a, b).item() == pytest.approx(by_moments, rel=1e-6)
    assert (fit(a).rows is None) == (n > 8)


def test_one_image_repeated_has_no_spread() -> None:
    a, b = normal(1, 5, seed=1).repeat(4, 1), normal(1, 5, seed=2).repeat(9, 1)
    assert frechet_of_features(a, b).item() == pytest.approx((a[0] - b[0]).square().sum().item())


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [7, 30, 1, 12], [2, 48]])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_batches_have_numpys_moments_however_far_from_zero(sizes: list[int], offset: float) -> None:
    rows = normal(50, 4, seed=1) * torch.tensor([1e-2, 1.0, 3.0, 10.0]) + offset
    found = moments_of(rows.split(sizes), 4)
    np.testing.assert_allclose(found.mean.numpy(), rows.numpy().mean(0), rtol=1e-14, atol=1e-13)
    reference = np.cov(rows.numpy(), rowvar=False)  # float64, in two passes
    np.testing.assert_allclose(found.covariance().numpy(), reference, rtol=1e-7, atol=1e-8 * abs(reference).max())
    assert found.count == 50


def test_the_textbook_sum_of_products_would_lose_what_batches_keep() -> None:
    rows = 1e-2 * normal(50, 3, seed=1) + 1e6
    textbook = (rows.T @ rows - 50 * torch.outer(rows.mean(0), rows.mean(0))) / 49
    reference = torch.cov(rows.T)
    kept = moments_of(rows.split(9), 3).covariance()
    assert (kept - reference).abs().max() < 1e-6 * reference.abs().max() < (textbook - reference).abs().max()


@pytest.mark.parametrize(("n", "dim"), [(60, 5), (20, 30)])
def test_order_and_batches_do_not_matter(n: int, dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(n, dim, seed=1).float(), normal(n, dim, seed=2).float() + 3
    found = frechet_of_features(a, b).item()
    monkeypatch.setattr("metrics.frechet.CHUNK", 7)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(3))
    assert frechet_of_features(a[order], b).item() == pytest.approx(found, rel=1e-9)
