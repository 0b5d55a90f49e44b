"""Sharpness against loops and convolution, and what blur and noise do to it."""

import pytest
import torch
import torch.nn.functional as F
from small_methods import normal, uniform
from torch import Tensor

from metrics.metric import Views, measure
from metrics.sharpness import METRICS, sharpness


def by_loops(image: Tensor) -> float:
    channels = image.tolist()
    weights = (0.2989, 0.587, 0.114) if len(channels) == 3 else (1.0,)
    rows, columns = len(channels[0]), len(channels[0][0])
    grey = [[sum(w * c[i][j] for w, c in zip(weights, channels, strict=True)) for j in range(columns)] for i in range(rows)]
    values = [
        grey[i - 1][j] + grey[i + 1][j] + grey[i][j - 1] + grey[i][j + 1] - 4 * grey[i][j]
        for i in range(1, rows - 1)
        for j in range(1, columns - 1)
    ]
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9), (1, 3, 4)])
def test_sharpness_is_the_loops(shape: tuple[int, int, int]) -> None:
    images = uniform(4, *shape, seed=1)
    assert sharpness(images).tolist() == pytest.approx([by_loops(image) for image in images])


def test_sharpness_is_torchs_convolution() -> None:
    images = uniform(3, 3, 12, 10, seed=2)
    kernel = torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=torch.float64)
    grey = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64)
    found = F.conv2d(images, grey[None, :, None, None] * kernel)
    assert sharpness(images).tolist() == pytest.approx(found.flatten(1).var(1, correction=0).tolist())


def test_a_ramp_has_no_sharpness_and_twice_the_range_four_times() -> None:
    ramp = torch.linspace(0, 1, 8).expand(1, 1, 8, 8)
    assert sharpness(ramp).item() == pytest.approx(0, abs=1e-12)
    images = uniform(2, 1, 8, 8, seed=3)
    assert sharpness(2 * images - 1).tolist() == pytest.approx((4 * sharpness(images)).tolist())


def test_blur_lowers_it_and_noise_raises_it() -> None:
    images = F.avg_pool2d(uniform(50, 1, 18, 18, seed=4), 3, 1)
    blurred, noisy = F.avg_pool2d(images, 3, 1), images + 0.3 * normal(*images.shape, seed=5)
    assert sharpness(blurred).mean() < 0.3 * sharpness(images).mean() < 0.3 * 0.3 * sharpness(noisy).mean()


def test_each_metric_reads_its_own_view() -> None:
    given = {"samples.sharpness": [1, 2, 6], "density_samples.sharpness": [10, 20, 60], "test.sharpness": [100, 200, 600]}
    views = Views({name: lambda v, values=values: torch.tensor(values).double() for name, values in given.items()})
    found = {metric.on("test").name: measure(metric, views)["value"] for metric in METRICS}
    means = {"sharpness_pz": 3, "sharpness_qz": 30, "sharpness_test": 300}
    assert found == {**means, "sharpness_min_pz": 1, "sharpness_min_qz": 10, "sharpness_min_test": 100}
    assert all(metric.better is None for metric in METRICS), "good is near that of test images"
