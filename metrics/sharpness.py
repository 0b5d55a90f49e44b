"""How sharp images are: the variance of their Laplacian, which blur takes away.

Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558, section 4 and its released code; SPEC 5.1:

    grey = 0.2989 R + 0.587 G + 0.114 B,   sharpness = Var over positions of (L * grey),   L = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]

without padding. A value near that of test images is good: noise is sharper than any photograph.
"""

import torch
from torch import Tensor

from metrics.finite import or_nan
from metrics.metric import Metric

GREY = (0.2989, 0.587, 0.114)


def sharpness(images: Tensor) -> Tensor:
    """Variance (divisor 1/n) of each image's Laplacian, float64.   (N, C, H, W) in [0, 1], C = 1 or 3, H, W > 2 -> (N,)

    An image of fewer than three rows or columns has no position: nan.
    """
    weights = torch.tensor(GREY if images.shape[1] == 3 else (1.0,), dtype=images.dtype, device=images.device)
    grey = torch.einsum("nchw,c->nhw", images, weights).double()
    centre = grey[:, 1:-1, 1:-1]
    laplacian = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * centre
    return laplacian.flatten(1).var(1, correction=0)


def least_of(values: Tensor) -> Tensor:
    """The least; NaN where a value is not finite.   (N,) -> ()"""
    return or_nan(values.min(), values)


def of_images(view: str, suffix: str, words: str, group: str) -> list[Metric]:
    """Mean and least sharpness of one set of images."""
    return [
        Metric(
            name=f"sharpness_{least}{suffix}",
            fn=fn,
            needs=(view,),
            protocol=f"variance of the Laplacian, {which} {words}, pixels in [0, 1]",
            source="WAE's code; SPEC 5.1",
            group=group,
        )
        for least, fn, which in (
            ("", lambda values: values.mean(), "mean over"),
            ("min_", lambda values: or_nan(values.min(), values), "least of"),
        )
    ]


METRICS = [
    *of_images("samples.sharpness", "pz", "decoded prior draws, as many as {held_out} images, up to 10,000", "samples"),
    *of_images("density_samples.sharpness", "qz", "decoded draws of the density fitted to its codes, up to 10,000", "samples"),
    *of_images("test.sharpness", "{held_out}", "up to 10,000 {held_out} images", "reference"),
]
