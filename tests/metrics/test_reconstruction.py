"""Errors of reconstructions against loops, PCA against scikit-learn, and which view each metric reads."""

import math

import pytest
import torch
from sklearn.decomposition import PCA
from small_methods import rows, sigmoid, sse_by_loops, uniform
from torch import Tensor

from metrics.metric import Views, measure
from metrics.reconstruction import METRICS, Baselines, Errors, bernoulli_nll, errors, pca_sse, squared_error, target_entropy


def bce_by_loops(x: Tensor, x_hat: Tensor) -> list[float]:
    return [
        -sum(t * math.log(p) + (1 - t) * math.log(1 - p) for t, p in zip(ts, ps, strict=True))
        for ts, ps in zip(rows(x), rows(x_hat), strict=True)
    ]


X, X_HAT = uniform(4, 2, 3, 3, seed=1), uniform(4, 2, 3, 3, seed=2)


def test_squared_error_is_the_loops() -> None:
    assert squared_error(X, X_HAT).tolist() == pytest.approx(sse_by_loops(X, X_HAT))


def test_bernoulli_nll_is_the_loops_of_its_logits() -> None:
    logits = 6 * X_HAT - 3
    assert bernoulli_nll(X, logits).tolist() == pytest.approx(bce_by_loops(X, logits.clone().apply_(sigmoid)))


def test_bernoulli_nll_keeps_a_saturated_logit_finite() -> None:
    assert bernoulli_nll(torch.ones(1, 1), torch.tensor([[-200.0]])).item() == pytest.approx(200)


def test_errors_are_the_loops() -> None:
    found = errors(X, X_HAT)
    l1 = [sum(abs(a - b) for a, b in zip(u, v, strict=True)) / 18 for u, v in zip(rows(X), rows(X_HAT), strict=True)]
    assert found.sse.tolist() == pytest.approx(sse_by_loops(X, X_HAT))
    assert found.l1.tolist() == pytest.approx(l1)
    assert found.bce.tolist() == pytest.approx(bce_by_loops(X, X_HAT))


def test_errors_of_a_perfect_and_of_a_saturated_image() -> None:
    x = torch.tensor([[0.0, 1.0], [0.25, 0.25]])
    perfect = errors(x, x)
    assert perfect.sse.tolist() == perfect.l1.tolist() == [0, 0]
    entropy = -2 * (0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert perfect.bce.tolist() == pytest.approx([-2 * math.log(1 - 1e-6), entropy])
    wrong = errors(x[:1], 1 - x[:1])
    assert (wrong.sse.item(), wrong.l1.item()) == (2, 1)
    assert wrong.bce.item() == pytest.approx(-2 * math.log(1e-6))  # a clamped pixel costs 13.8 nats
    assert wrong.sse.dtype == torch.float64


@pytest.mark.parametrize("components", [1, 4, 9])
def test_pca_is_scikit_learns(components: int) -> None:
    train, test = uniform(60, 10, seed=1) @ uniform(10, 10, seed=3), uniform(25, 10, seed=2) @ uniform(10, 10, seed=3)
    reference = PCA(components).fit(train.numpy())

    def residual(part: Tensor) -> float:
        found = reference.inverse_transform(reference.transform(part.numpy()))
        return float(((part.numpy() - found) ** 2).sum(1).mean())

    mean = [sum(column) / len(train) for column in zip(*rows(train), strict=True)]
    constant = sum(sse_by_loops(test, torch.tensor([mean] * len(test), dtype=test.dtype))) / len(test)
    assert pca_sse(train, test, components) == pytest.approx((constant, residual(train), residual(test)), rel=1e-9)


def test_pca_with_every_component_loses_nothing() -> None:
    found = pca_sse(uniform(30, 5, seed=1), uniform(9, 5, seed=2), 5)
    assert (found.pca_train, found.pca_test) == pytest.approx((0, 0), abs=1e-12)


def constant_errors(start: float) -> Errors:
    return Errors(*(torch.tensor([start + k, start + k + 1], dtype=torch.float64) for k in (0, 10, 20)))


VIEWS = {
    "test.errors.draw": constant_errors(100),
    "test.errors.mean": constant_errors(200),
    "train.errors.draw": constant_errors(300),
    "train.errors.mean": constant_errors(400),
    "baselines": Baselines(1.0, 2.0, 3.0),
    "test.entropy": 20.0,
}
EXPECTED = {
    "rec_sse_test": 100.5,
    "rec_sse_train": 300.5,
    "rec_l1_per_pixel_x100_test": 11050,
    "rec_l1_per_pixel_x100_train": 31050,
    "rec_bce_sum_test": 120.5,
    "rec_bce_excess_test": 100.5,
    "rec_bce_sum_train": 320.5,
    "rec_sse_test_mean_code": 200.5,
    "rec_sse_train_mean_code": 400.5,
    "rec_l1_per_pixel_x100_test_mean_code": 21050,
    "rec_l1_per_pixel_x100_train_mean_code": 41050,
    "rec_bce_sum_test_mean_code": 220.5,
    "rec_bce_sum_train_mean_code": 420.5,
    "overfit_gap": -200,  # the test images are easier: the sign is kept
    "overfit_ratio": 100.5 / 300.5,
    "overfit_gap_bce": -200,
    "overfit_ratio_bce": 120.5 / 320.5,
    "overfit_gap_l1": -20_000,  # times 100, as the errors are
    "overfit_ratio_l1": 110.5 / 310.5,
    "mean_image_sse_test": 1,
    "pca_sse_train": 2,
    "pca_sse_test": 3,
}


def test_the_least_cross_entropy_is_that_of_the_image_itself() -> None:
    x = uniform(5, 1, 2, 3, seed=7)
    x[0, 0, 0] = torch.tensor([0.0, 1.0, 0.5])  # 0 log 0 = 0
    loops = [-sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in row if 0 < p < 1) for row in rows(x)]
    assert target_entropy(x.split(2)).item() == pytest.approx(sum(loops) / 5, rel=1e-12)
    assert errors(x, x).mean("bce").item() == pytest.approx(sum(loops) / 5, abs=1e-4)  # x̂ is clamped
    assert errors(x, 0.9 * x + 0.05).mean("bce") > target_entropy([x])


def test_each_metric_reads_its_own_view() -> None:
    views = Views({name: lambda views, value=value: value for name, value in VIEWS.items()})
    assert {metric.on("test").name: measure(metric, views)["value"] for metric in METRICS} == pytest.approx(EXPECTED)


def test_units_and_directions() -> None:
    assert {metric.on("test").name for metric in METRICS if metric.unit == "nats"} == {
        name for name in EXPECTED if "bce" in name and "ratio" not in name
    }
    assert {metric.on("test").name for metric in METRICS if metric.better is None} == {
        "mean_image_sse_test",
        "pca_sse_train",
        "pca_sse_test",
    }
    assert {metric.better for metric in METRICS} == {"lower", None}
