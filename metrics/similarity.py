"""How alike a reconstruction and its original are, image by image, in the two numbers that every paper on compression has.

    PSNR = 10 log₁₀ (1 / MSE), dB, of pixels in [0, 1]
    SSIM = mean over positions and channels of  (2 μ_x μ_y + C₁)(2 σ_xy + C₂) / ((μ_x² + μ_y² + C₁)(σ_x² + σ_y² + C₂))

Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004,
doi:10.1109/TIP.2003.819861, section III.B: moments under a Gaussian window of 11 × 11 pixels and standard deviation 1.5, K₁ = 0.01,
K₂ = 0.03, only where the whole window is inside the image. Colour images: the mean of the three channels' values. Both are taken of
8-bit images, which is what is published, compared and stored.
"""

import torch
from torch import Tensor

from metrics.metric import Metric, Unavailable

WINDOW, SIGMA = 11, 1.5  # pixels
C1, C2 = 0.01**2, 0.03**2
PART = 100  # images at a time, whose moments in float64 take some 20 times their pixels
GROUP = "reconstruction"


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Decibels of each pair; infinite for one that is equal.   (N, C, H, W) uint8 x2 -> (N,) float64"""
    return torch.cat([-10 * ((a.double() - b.double()) / 255).square().flatten(1).mean(1).log10() for a, b in parts(x, y)])


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of each pair, at most 1; Unavailable for images smaller than the window.   (N, C, H, W) uint8 x2 -> (N,) float64"""
    if min(x.shape[-2:]) < WINDOW:
        raise Unavailable(f"SSIM's window is {WINDOW} × {WINDOW} pixels, the images are {x.shape[-2]} × {x.shape[-1]}")
    return torch.cat([ssim_of_part(a.double() / 255, b.double() / 255) for a, b in parts(x, y)])


def parts(x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """PART images at a time."""
    return list(zip(x.split(PART), y.split(PART), strict=True))


def ssim_of_part(x: Tensor, y: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1] x2 -> (N,)"""
    rows, columns = (window_matrix(side).to(x) for side in x.shape[-2:])

    def mean(values: Tensor) -> Tensor:
        return rows @ values @ columns.T  # the window is a product, of one vector with itself

    mu_x, mu_y = mean(x), mean(y)
    var_x, var_y, both = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
    value = (2 * mu_x * mu_y + C1) * (2 * both + C2) / ((mu_x**2 + mu_y**2 + C1) * (var_x + var_y + C2))
    return value.flatten(1).mean(1)


def window_matrix(side: int) -> Tensor:
    """W with (W x)_i = Σ_k g_k x_{i+k}, g the Gaussian window of sum 1.   -> (side - WINDOW + 1, side) float64"""
    g = torch.exp(-((torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    return torch.stack([torch.nn.functional.pad(g / g.sum(), (i, side - WINDOW - i)) for i in range(side - WINDOW + 1)])


# of files of originals and reconstructions; not of runs, whose pixels are no 8-bit values
PAIRED_METRICS = [
    Metric(
        name="psnr",
        fn=lambda values: values.mean(),
        needs=("pairs.psnr",),
        protocol="10 log₁₀ (1 / MSE) of each pair of 8-bit images, pixels in [0, 1]; mean over all pairs",
        source="doi:10.1109/TIP.2003.819861",
        unit="dB",
        better="higher",
        group=GROUP,
    ),
    Metric(
        name="ssim",
        fn=lambda values: values.mean(),
        needs=("pairs.ssim",),
        protocol=(
            f"Gaussian window of {WINDOW} × {WINDOW}, σ = {SIGMA:g}, inside the image, K₁ = 0.01, K₂ = 0.03, mean over positions and "
            "channels of each pair of 8-bit images; mean over all pairs"
        ),
        source="doi:10.1109/TIP.2003.819861 section III.B",
        better="higher",
        group=GROUP,
    ),
]
