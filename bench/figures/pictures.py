"""Pictures of a trained method: samples (SPEC 7, F1) and reconstructions (F2; of signals as curves, F15), as PNG."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.datasets.dataset import Values
from bench.errors import FOREIGN, in_a_line
from bench.evaluation.evaluate import Evaluation
from metrics.features.network import eight_bit
from metrics.metric import Unavailable

COLUMNS, ROWS, HEIGHT = 10, 4, 28  # of a sheet; images smaller than HEIGHT pixels are enlarged by whole factors

CURVES, CURVE_HEIGHT, CURVE_WIDTH, MARGIN = 5, 48, 256, 0.1  # of a sheet of signals: columns, pixels, share of the range left free


def sheet(images: Tensor, columns: int = COLUMNS) -> Image.Image:
    """Images side by side on a dark ground, one pixel apart.   (N, C, H, W) in [0, 1] -> picture

    One channel is grey, three are colour; of any other number, each image is its channels side by side in grey.
    ValueError for values that are not finite: as bytes they would look like any other.
    """
    if not images.isfinite().all():
        raise ValueError(f"{int((~images.isfinite()).flatten(1).any(1).sum())} of {len(images)} images have values that are not finite")
    if images.shape[1] not in (1, 3):
        images = torch.cat(images.split(1, dim=1), dim=3)
    factor = -(-HEIGHT // images.shape[-2])
    pixels = eight_bit(images).cpu().repeat_interleave(factor, 2).repeat_interleave(factor, 3).numpy()
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

    (N, ...) -> (N, 1, CURVE_HEIGHT, up to CURVE_WIDTH), 0 or 1; ValueError for values that are not finite, which no row has
    """
    values = signals.flatten(1)
    if not values.isfinite().all():
        raise ValueError(f"{int((~values.isfinite()).any(1).sum())} of {len(values)} signals have values that are not finite")
    values = values[:, :: -(-values.shape[1] // CURVE_WIDTH)]
    rows = ((high - values) / max(high - low, 1e-12) * (CURVE_HEIGHT - 1)).clamp(0, CURVE_HEIGHT - 1).round()  # (N, W)
    before = torch.cat([rows[:, :1], rows[:, :-1]], 1)  # a curve is lit from the last value's row to this one's
    lines = torch.arange(CURVE_HEIGHT, device=signals.device)[:, None]
    return ((lines >= torch.minimum(rows, before)[:, None]) & (lines <= torch.maximum(rows, before)[:, None])).float()[:, None]


@torch.no_grad()
def pictures(evaluation: Evaluation) -> tuple[dict[str, bytes], dict[str, str]]:
    """PNG files by name, `samples` and `reconstructions`; and of those that cannot be drawn, the reason.

    A run has its weights and metrics when its pictures are drawn: whatever goes wrong with one costs that picture alone.
    """
    evaluation.eval()
    drawn, absent = dict[str, bytes](), dict[str, str]()
    for name, draw in {"reconstructions": reconstructions, "samples": samples}.items():
        try:
            drawn[name] = png(draw(evaluation))
        except Unavailable as reason:
            absent[name] = str(reason)
        except FOREIGN as error:  # a plugin's method may raise anything
            absent[name] = in_a_line(error)
    return drawn, absent


def reconstructions(evaluation: Evaluation) -> Image.Image:
    """Held-out images, and below each row of them their reconstructions from the mean code."""
    originals = held_out(evaluation)
    codes = evaluation.method.draw(originals, evaluation.noise("pictures.reconstructions")).mean
    shown, columns = drawing(evaluation.data.values, originals)
    return sheet(alternate(shown(originals), shown(evaluation.method.decode(codes)), columns), columns)


def samples(evaluation: Evaluation) -> Image.Image:
    """Decoded draws of the density fitted to the codes, or else of the prior; Unavailable where there is neither."""
    images = draws(evaluation, COLUMNS * ROWS, "pictures.samples")
    shown, columns = drawing(evaluation.data.values, held_out(evaluation))
    return sheet(shown(images), columns)


def draws(evaluation: Evaluation, n: int, stream: str) -> Tensor:
    """Samples of a random stream: of the density fitted to the codes, or else of the prior, as in `samples`.   -> (n, C, H, W)"""
    noise, density = evaluation.noise(stream), evaluation.density
    images = evaluation.method.sample(n, noise) if density is None else evaluation.method.decode(density.sample(n, noise))
    if images is None:
        raise Unavailable("no prior, and no density was fitted to its codes")
    return images


def held_out(evaluation: Evaluation) -> Tensor:
    """The images whose reconstructions are shown, never training images.   -> (n, C, H, W)"""
    return next(evaluation.batches("test", COLUMNS * ROWS // 2))


def drawing(values: Values, originals: Tensor) -> tuple[Callable[[Tensor], Tensor], int]:
    """What turns images or signals into what a sheet takes, all on the scale of the originals; and the sheet's columns."""
    if values == "unit":
        return lambda images: images, COLUMNS
    low, high = originals.min().item(), originals.max().item()
    free = MARGIN * (high - low)
    return lambda signals: curves(signals, low - free, high + free), CURVES
