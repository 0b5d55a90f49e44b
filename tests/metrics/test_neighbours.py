"""Nearest training images against loops and scikit-learn; a generator that copies is caught."""

import math

import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.neighbors import NearestNeighbors
from small_methods import noise, normal, uniform

from metrics.frechet import frechet_of_features
from metrics.metric import Views, measure
from metrics.neighbours import METRICS, data_copying, nearest

TRAIN, QUERIES = uniform(90, 16, seed=1), uniform(25, 16, seed=2)


def test_distances_are_the_loops_and_scikit_learns() -> None:
    found = nearest(QUERIES, TRAIN.split(20))
    loops = [min(math.dist(q, t) for t in TRAIN.tolist()) for q in QUERIES.tolist()]
    assert found.tolist() == pytest.approx(loops, rel=1e-12)
    reference = NearestNeighbors(n_neighbors=1).fit(TRAIN.numpy()).kneighbors(QUERIES.numpy())[0][:, 0]
    assert found.tolist() == pytest.approx(reference.tolist(), rel=1e-12)


@pytest.mark.parametrize("size", [1, 7, 90])
def test_batches_and_order_change_nothing(size: int) -> None:
    order = torch.randperm(90, generator=noise(1))
    queries, train = QUERIES.float(), TRAIN.float()
    assert nearest(queries, train[order].split(size)).tolist() == pytest.approx(nearest(queries, [train]).tolist(), rel=1e-6)


def test_a_copy_is_at_no_distance() -> None:
    images = 1000 + uniform(40, 64, seed=3).float()  # the expanded square would have lost every digit
    assert nearest(images[:9], images.split(11)).tolist() == [0] * 9


def test_data_copying_is_the_loops_and_the_u_statistic() -> None:
    samples, test = torch.tensor([1.0, 2, 2, 5]), torch.tensor([2.0, 3, 1])
    pairs = [(s < t) + 0.5 * (s == t) for s in samples.tolist() for t in test.tolist()]
    assert data_copying(samples, test) == pytest.approx(sum(pairs) / 12)
    samples, test = uniform(50, seed=4), uniform(30, seed=5)
    assert data_copying(samples, test) == pytest.approx(mannwhitneyu(test, samples).statistic / 1500)


def test_a_memorising_generator_is_caught_where_the_frechet_distance_praises_it() -> None:
    train, test, honest = (normal(n, 8, seed=seed) for n, seed in ((400, 1), (300, 2), (300, 3)))
    copies = train[torch.randint(400, (300,), generator=noise(4))] + 0.01 * normal(300, 8, seed=5)
    of_test = nearest(test, [train])
    assert data_copying(nearest(copies, [train]), of_test) == 1
    assert data_copying(nearest(honest, [train]), of_test) == pytest.approx(0.5, abs=3 * math.sqrt(601 / (12 * 300 * 300)))
    assert data_copying(nearest(3 * honest, [train]), of_test) < 0.1
    assert frechet_of_features(test, copies) < 1.5 * frechet_of_features(test, honest)


def test_each_metric_reads_its_own_view() -> None:
    given = {"samples.nearest": [1.0, 3], "density_samples.nearest": [2.0, 8], "test.nearest": [4.0, 6]}
    views = Views({name: lambda v, values=values: torch.tensor(values).double() for name, values in given.items()})
    assert {metric.on("test").name: measure(metric, views)["value"] for metric in METRICS} == {
        "nn_distance_test": 5,
        "nn_distance_pz": 2,
        "nn_distance_qz": 5,
        "data_copying_pz": 1,
        "data_copying_qz": 0.5,
    }
