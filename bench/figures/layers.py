"""Layer-wise reconstructions of a hierarchy (SPEC 7, F7; StackedWAE Fig. 3b, 5b, 6b)."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.pictures import sheet
from bench.figures.subject import Subject, hierarchy

IMAGES = 10


def layers(subject: Subject) -> Tensor:
    """Rows from the top: encoded up to level M and decoded back down, ..., up to level 1, the images.   -> (M + 1, n, C, H, W)"""
    method, images = hierarchy(subject), subject.images(IMAGES)
    levels = range(len(method.encoders), 0, -1)
    return torch.stack([*(method.decode_from(level, method.encode_to(level, images)) for level in levels), images])


def draw(subject: Subject) -> Figure:
    """The rows, named by their levels."""
    rows = layers(subject)
    shown = subject.shown(IMAGES)[1]
    levels = len(rows) - 1
    names = [*(f"level {level}" for level in range(levels, 0, -1)), subject.held_out]
    caption = (
        f"{subject.name}. Bottom: {subject.held_out} images. Each row above: encoded up to that level and decoded back down, by the means."
    )
    return canvas.of_sheet(sheet(shown(rows.flatten(0, 1)), rows.shape[1]), caption, names)
