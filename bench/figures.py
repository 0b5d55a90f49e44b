"""Pictures of a trained method: samples (SPEC 7, F1) and reconstructions (F2), as PNG."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.evaluate import Evaluation, Method

COLUMNS, ROWS, HEIGHT = 10, 4, 28  # of a sheet; images smaller than HEIGHT pixels are enlarged by whole factors


def sheet(images: Tensor, columns: int = COLUMNS) -> Image.Image:
    """Images side by side on a dark ground, one pixel apart.   (N, C, H, W) in [0, 1], C of 1 or 3 -> picture"""
    factor = -(-HEIGHT // images.shape[-2])
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu().repeat_interleave(factor, 2).repeat_interleave(factor, 3).numpy()
    if pixels.shape[1] == 1:
        pixels = pixels.repeat(3, axis=1)
    n, _, height, width = pixels.shape
    rows = -(-n // columns)
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 40, np.uint8)
    for i, image in enumerate(pixels):
        top, left = 1 + i // columns * (height + 1), 1 + i % columns * (width + 1)
        canvas[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return Image.fromarray(canvas)


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def alternate(originals: Tensor, others: Tensor, columns: int = COLUMNS) -> Tensor:
    """Rows of originals, each above its row of reconstructions (WAE figures 2, 3).   (N, ...), (N, ...) -> (2N, ...)"""
    pairs = zip(originals.split(columns), others.split(columns), strict=True)
    return torch.cat([part for pair in pairs for part in pair])


@torch.no_grad()
def pictures(method: Method, evaluation: Evaluation) -> dict[str, bytes]:
    """`samples` from the fitted density or else the prior, and `reconstructions` of held-out images from the mean code."""
    method.eval()
    n, noise = COLUMNS * ROWS, evaluation.noise("pictures")
    originals = next(evaluation.batches("test", n // 2))
    codes = method.draw(originals, noise).mean
    found = {"reconstructions": png(sheet(alternate(originals, method.decode(codes))))}
    density = evaluation.density
    samples = method.sample(n, noise) if density is None else method.decode(density.sample(n, noise))
    return found if samples is None else found | {"samples": png(sheet(samples))}
