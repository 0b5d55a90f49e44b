"""PSNR and SSIM against scikit-image and their definitions."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from small_features import bytes_of

from metrics.metric import Unavailable, Views, measure
from metrics.similarity import PAIRED_METRICS, psnr, ssim


@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 28, 28), (3, 16, 40)])
def test_both_are_scikit_images(shape: tuple[int, int, int]) -> None:
    x = bytes_of(150, 1, shape)
    y = (0.7 * x + 0.3 * bytes_of(150, 2, shape)).round().to(torch.uint8)
    for found, a, b in zip(zip(psnr(x, y), ssim(x, y), strict=True), x.numpy(), y.numpy(), strict=True):
        expected = structural_similarity(
            a, b, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        assert found[0].item() == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), rel=1e-12)
        assert found[1].item() == pytest.approx(expected, rel=1e-9)


def test_known_answers() -> None:
    black, white = torch.zeros(2, 1, 12, 12, dtype=torch.uint8), torch.full((2, 1, 12, 12), 255, dtype=torch.uint8)
    assert psnr(black, white).tolist() == [0, 0]
    assert psnr(black, black + 51).tolist() == pytest.approx([-20 * math.log10(0.2)] * 2)
    assert ssim(black, white).tolist() == pytest.approx([0.0001 / 1.0001] * 2, rel=1e-9)
    assert ssim(white, white).tolist() == [1, 1]
    noise = bytes_of(1, 3, (1, 12, 12))
    assert ssim(noise, 255 - noise).item() < 0 < ssim(noise, noise // 2).item() < 1


def test_small_images_have_no_ssim_and_equal_ones_no_psnr() -> None:
    small = bytes_of(3, 0, (1, 10, 20))
    with pytest.raises(Unavailable, match=r"^SSIM's window is 11 × 11 pixels, the images are 10 × 20$"):
        ssim(small, small)
    entry = measure(PAIRED_METRICS[0], Views({"pairs.psnr": lambda views: psnr(small, small)}))
    assert (entry["value"], entry["reason"]) == (None, "psnr returned inf, not a finite number")


def test_order_and_parts_change_nothing() -> None:
    x, y = bytes_of(230, 4, (1, 12, 12)), bytes_of(230, 5, (1, 12, 12))
    np.testing.assert_array_equal(ssim(x, y)[100:], ssim(x[100:], y[100:]))
