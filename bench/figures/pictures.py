"""Pictures of a trained method: samples (SPEC 7, F1) and reconstructions (F2; of signals as curves, F15), as PNG."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.datasets.dataset import Values
from bench.evaluation.evaluate import Evaluation, Method

COLUMNS, ROWS, HEIGHT = 10, 4, 28  # of a sheet; images smaller than HEIGHT pixels are enlarged by whole factors

CURVES, CURVE_HEIGHT, CURVE_WIDTH, MARGIN = 5, 48, 256, 0.1  # of a sheet of signals: columns, pixels, share of the range left free


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


def curves(signals: Tensor, low: float, high: float) -> Tensor:
    """Signals as white curves on black, a column of pixels for each value, `low` at the bottom; longer ones are thinned out.

    (N, ...) -> (N, 1, CURVE_HEIGHT, up to CURVE_WIDTH), 0 or 1
    """
    values = signals.flatten(1)
    values = values[:, :: -(-values.shape[1] // CURVE_WIDTH)]
    rows = ((high - values) / max(high - low, 1e-12) * (CURVE_HEIGHT - 1)).clamp(0, CURVE_HEIGHT - 1).round()  # (N, W)
    before = torch.cat([rows[:, :1], rows[:, :-1]], 1)  # a curve is lit from the last value's row to this one's
    lines = torch.arange(CURVE_HEIGHT, device=signals.device)[:, None]
    return ((lines >= torch.minimum(rows, before)[:, None]) & (lines <= torch.maximum(rows, before)[:, None])).float()[:, None]


@torch.no_grad()
def pictures(method: Method, evaluation: Evaluation) -> dict[str, bytes]:
    """`samples` from the fitted density or else the prior, and `reconstructions` of held-out images from the mean code."""
    method.eval()
    n, noise = COLUMNS * ROWS, evaluation.noise("pictures")
    originals = next(evaluation.batches("test", n // 2))
    codes = method.draw(originals, noise).mean
    shown, columns = drawing(evaluation.values, originals)
    found = {"reconstructions": png(sheet(alternate(shown(originals), shown(method.decode(codes)), columns), columns))}
    density = evaluation.density
    samples = method.sample(n, noise) if density is None else method.decode(density.sample(n, noise))
    return found if samples is None else found | {"samples": png(sheet(shown(samples), columns))}


def drawing(values: Values, originals: Tensor) -> tuple[Callable[[Tensor], Tensor], int]:
    """What turns images or signals into what a sheet takes, all on the scale of the originals; and the sheet's columns."""
    if values == "unit":
        return lambda images: images, COLUMNS
    low, high = originals.min().item(), originals.max().item()
    free = MARGIN * (high - low)
    return lambda signals: curves(signals, low - free, high + free), CURVES
