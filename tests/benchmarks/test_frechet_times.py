"""The Fréchet distance at Inception's 2,048 dimensions: this project's against scipy's matrix square root and torch-fidelity's.

The comparison takes minutes on two cores: `nox -s kernels -- tests/benchmarks/test_frechet_times.py -m slow`.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import scipy.linalg
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

from metrics.frechet import frechet_distance, frechet_of_features, moments

N, DIM, FEW = 10_000, 2048, 1000


@cache
def features(seed: int, n: int, dim: int) -> Tensor:
    """Correlated rows that are as positive and skewed as a network's pooled features.   -> (n, dim) float32"""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dim, dim, generator=torch.Generator().manual_seed(0)) / dim**0.5
    return (torch.randn(n, dim, generator=generator) @ mixing + 0.1 * seed).relu()


@cache
def statistics(seed: int, dim: int) -> tuple[Tensor, Tensor]:
    return moments(features(seed, N, dim))


def ours(dim: int) -> float:
    return frechet_distance(*statistics(1, dim), *statistics(2, dim)).item()


def sqrtm(dim: int) -> float:
    (m1, C1), (m2, C2) = ([part.numpy() for part in statistics(seed, dim)] for seed in (1, 2))
    root = scipy.linalg.sqrtm(C1 @ C2)
    return float(((m1 - m2) ** 2).sum() + np.trace(C1 + C2 - 2 * root.real))


def torch_fidelitys(dim: int) -> float:
    one, other = ({"mu": m.numpy(), "sigma": C.numpy()} for m, C in (statistics(seed, dim) for seed in (1, 2)))
    return float(fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID])


def check(benchmark: BenchmarkFixture, distance: Callable[[int], float], dim: int, rounds: int) -> None:
    expected = ours(dim)
    assert benchmark.pedantic(distance, (dim,), rounds=rounds) == pytest.approx(expected, rel=1e-6)
    assert expected > 0.01


@pytest.mark.benchmark(group="Fréchet distance, 128 dimensions")
@pytest.mark.parametrize("distance", [ours, sqrtm, torch_fidelitys])
def test_small(benchmark: BenchmarkFixture, distance: Callable[[int], float]) -> None:
    check(benchmark, distance, 128, 5)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.benchmark(group="Fréchet distance, 2048 dimensions")
@pytest.mark.parametrize("distance", [ours, torch_fidelitys, sqrtm])
def test_inceptions_size(benchmark: BenchmarkFixture, distance: Callable[[int], float]) -> None:
    check(benchmark, distance, DIM, 3)


@pytest.mark.slow
@pytest.mark.benchmark(group="Fréchet distance of 1,000 rows, 2048 dimensions")
@pytest.mark.parametrize("form", ["rows", "covariances"])
def test_fewer_rows_than_dimensions(benchmark: BenchmarkFixture, form: str) -> None:
    a, b = (features(seed, N, DIM)[:FEW] for seed in (1, 2))
    distance = {"rows": lambda: frechet_of_features(a, b), "covariances": lambda: frechet_distance(*moments(a), *moments(b))}[form]
    found = benchmark.pedantic(distance, rounds=3).item()
    assert found == pytest.approx(frechet_of_features(a, b).item(), rel=1e-5)
