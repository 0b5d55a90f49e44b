"""Precision, recall, density, coverage: loops, torch-fidelity, and generators whose fault is known."""

import others
import pytest
import torch
from small_methods import normal, uniform
from torch import Tensor

from metrics import precision_recall
from metrics.metric import Unavailable
from metrics.precision_recall import K_DENSITY, K, Scores, real, scores


def distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


def radius(points: list[list[float]], i: int, k: int) -> float:
    return sorted(distance(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]


def by_loops(real_rows: Tensor, sample_rows: Tensor) -> Scores:
    """The papers' four definitions, pair by pair."""
    X, Y = real_rows.tolist(), sample_rows.tolist()
    small, wide = ([radius(X, i, k) for i in range(len(X))] for k in (K, K_DENSITY))
    of_samples = [radius(Y, j, K) for j in range(len(Y))]
    precision = sum(any(distance(x, y) <= r for x, r in zip(X, small, strict=True)) for y in Y) / len(Y)
    recall = sum(any(distance(x, y) <= r for y, r in zip(Y, of_samples, strict=True)) for x in X) / len(X)
    density = sum(distance(x, y) < r for y in Y for x, r in zip(X, wide, strict=True)) / (K_DENSITY * len(Y))
    coverage = sum(min(distance(x, y) for y in Y) < r for x, r in zip(X, wide, strict=True)) / len(X)
    return Scores(precision, recall, density, coverage)


@pytest.mark.parametrize(("n", "m", "seed"), [(30, 20, 1), (20, 30, 2), (25, 25, 3)])
def test_they_are_the_papers_definitions(n: int, m: int, seed: int) -> None:
    a, b = normal(n, 3, seed=seed), 0.8 * normal(m, 3, seed=seed + 10) + 0.8
    found = scores(real(a), b)
    assert found == pytest.approx(by_loops(a, b), rel=1e-12)
    assert all(value > 0 for value in found)
    assert min(found) < 0.9


def test_precision_and_recall_are_torch_fidelitys() -> None:
    a, b = normal(300, 10, seed=1), 0.9 * normal(260, 10, seed=2) + 0.3
    found = scores(real(a), b)
    assert (found.precision, found.recall) == pytest.approx(others.precision_recall(a, b, K), rel=1e-6)
    assert found.precision != found.recall


def faces(n: int, seed: int) -> Tensor:
    """Four well-separated modes.   -> (n, 6)"""
    return normal(n, 6, seed=seed) + 10 * torch.eye(6, dtype=torch.float64)[torch.arange(n) % 4]


def test_a_collapsed_generator_has_high_precision_and_low_recall() -> None:
    """torch-fidelity had the two swapped before its release 0.4."""
    collapsed = faces(400, seed=2)[::4]  # one mode of four
    found = scores(real(faces(400, seed=1)), collapsed)
    assert found.precision > 0.7
    assert found.recall < 0.3
    assert found.density > 0.7
    assert found.coverage < 0.3


def test_a_generator_of_anything_has_low_precision() -> None:
    found = scores(real(faces(400, seed=1)), 20 * normal(400, 6, seed=2))
    assert found.precision < 0.1
    assert found.density < 0.1
    assert found.recall > 0.5  # its wide balls hold everything: what density and coverage were made for
    assert found.coverage < 0.2


def test_one_outlier_does_not_raise_density_as_it_raises_precision() -> None:
    a = torch.cat([normal(200, 4, seed=1), torch.full((1, 4), 40.0, dtype=torch.float64)])
    near_outlier = 25 + normal(200, 4, seed=2)
    found = scores(real(a), near_outlier)
    assert found.precision == 1
    assert found.density < 0.3


def test_copies_of_the_real_images_are_perfect_and_copies_of_one_are_not() -> None:
    a = uniform(50, 5, seed=1)
    perfect = scores(real(a), a.clone())
    assert (perfect.precision, perfect.recall, perfect.coverage) == (1, 1, 1)
    one = scores(real(a), a[:1].repeat(50, 1))
    assert one.precision == 1
    assert one.recall == pytest.approx(1 / 50)  # the balls of copies are points


def test_copies_are_at_distance_zero_however_far_from_the_origin() -> None:
    a = uniform(40, 7, seed=1) + 1000
    found = scores(real(a.repeat(6, 1)), a[:6].repeat(2, 1))  # every real image six times: balls of radius 0
    assert found.precision == 1
    assert found.density == 0  # which has balls without their surface


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_order_and_precision_of_the_features_do_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(60, 4, seed=1).float(), normal(50, 4, seed=2).float()
    found = scores(real(a), b)
    monkeypatch.setattr(precision_recall, "CHUNK", chunk)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert scores(real(a.flip(0)), b[order]) == found


def test_too_few_images_have_no_neighbours() -> None:
    with pytest.raises(Unavailable, match="5 images have no 5 neighbours"):
        real(normal(5, 2))
