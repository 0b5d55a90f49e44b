"""Tests of copying: nearest two by loops and scikit-learn, Z_U and C_T against scipy and the paper's definition, known generators."""

import math

import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.neighbors import NearestNeighbors
from small_methods import noise, normal, uniform
from torch import Tensor

from metrics.copies import LEAST, Copies, authenticity, c_t, centres, copies, two_nearest, z_u
from metrics.metric import Unavailable

TRAIN, QUERIES = uniform(90, 16, seed=1), uniform(25, 16, seed=2)


def measured(queries: Tensor, train: Tensor = TRAIN, size: int = 20) -> Copies:
    return copies(queries, lambda: train.split(size), centres(train))


@pytest.mark.parametrize("size", [1, 7, 90])
def test_the_two_nearest_are_scikit_learns_whatever_the_batches(size: int) -> None:
    distance, rows = two_nearest(QUERIES, TRAIN.split(size))
    found, index = NearestNeighbors(n_neighbors=2).fit(TRAIN.numpy()).kneighbors(QUERIES.numpy())
    assert distance.flatten().tolist() == pytest.approx(found.flatten().tolist(), rel=1e-12)
    assert torch.equal(rows, TRAIN[torch.from_numpy(index[:, 0])])


def test_an_images_own_distance_is_that_of_its_training_image_to_any_other() -> None:
    found = measured(QUERIES)
    loops = []
    for query in QUERIES.tolist():
        nearest = min(range(90), key=lambda i: math.dist(query, TRAIN[i].tolist()))
        loops.append(min(math.dist(TRAIN[nearest].tolist(), TRAIN[i].tolist()) for i in range(90) if i != nearest))
    assert found.own.tolist() == pytest.approx(loops, rel=1e-12)
    share = sum(d > own for d, own in zip(found.distance.tolist(), loops, strict=True)) / 25
    assert authenticity(found).item() == share
    assert 0 < share < 1


def test_z_u_is_the_standardised_u_of_scipy() -> None:
    samples, test = uniform(50, seed=4), uniform(30, seed=5)
    u = mannwhitneyu(samples, test).statistic
    assert z_u(samples, test) == pytest.approx((u - 750) / math.sqrt(50 * 30 * 81 / 12))
    p = mannwhitneyu(samples, test, alternative="less", use_continuity=False, method="asymptotic").pvalue
    assert 0.5 * math.erfc(-z_u(samples, test) / math.sqrt(2)) == pytest.approx(p)


def test_c_t_is_the_mean_over_cells_by_test_images() -> None:
    cells = torch.tensor([0.0] * LEAST + [1.0] * (LEAST + 5) + [2.0] * (LEAST - 1))
    samples = Copies(uniform(len(cells), seed=6), cells, cells)
    of_test = torch.tensor([0.0] * 10 + [1.0] * 30 + [2.0] * 7)
    test = Copies(uniform(len(of_test), seed=7), of_test, of_test)
    z = [z_u(samples.distance[cells == k], test.distance[of_test == k]) for k in (0, 1)]  # cell 2 has too few samples
    assert c_t(samples, test) == pytest.approx((10 * z[0] + 30 * z[1]) / 40)
    with pytest.raises(Unavailable, match=f"no cell with test images has {LEAST} samples"):
        c_t(Copies(*(part[: LEAST - 1] for part in samples)), test)


def test_copies_are_caught_and_new_images_are_not() -> None:
    train, test, new = (normal(n, 6, seed=seed) for n, seed in ((600, 1), (400, 2), (400, 3)))
    real, honest = measured(test, train), measured(new, train)
    copied = measured(train[torch.randint(600, (400,), generator=noise(4))] + 0.01 * normal(400, 6, seed=5), train)
    assert z_u(copied.distance, real.distance) < -20
    assert c_t(copied, real) < -4
    assert authenticity(copied).item() < 0.05
    assert abs(z_u(honest.distance, real.distance)) < 3
    assert abs(c_t(honest, real)) < 2
    assert authenticity(honest).item() == pytest.approx(authenticity(real).item(), abs=0.12)
    assert z_u(measured(3 * new, train).distance, real.distance) > 10


def test_cells_are_k_means_of_the_training_images() -> None:
    points = torch.cat([normal(50, 2, seed=k) * 0.01 + 10 * k for k in range(10)])
    found = centres(points)
    assert sorted(found[:, 0].tolist()) == pytest.approx([10 * k for k in range(10)], abs=0.02)
    assert torch.equal(found, centres(points))
    assert measured(points[::50], points).cell.unique().numel() == 10
    with pytest.raises(Unavailable, match="9 training images are too few for 10 cells"):
        centres(points[:9])


def test_distances_that_are_not_finite_are_refused() -> None:
    bad = measured(torch.cat([QUERIES[:3], torch.full((1, 16), math.nan, dtype=torch.float64)]))
    assert bad.distance.isnan().all()
    for fn in (authenticity, lambda found: c_t(found, found)):
        with pytest.raises(Unavailable, match="4 of 4 distances"):
            fn(bad)
