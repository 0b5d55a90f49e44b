"""Samples and the training images that are nearest to them (SPEC 7, F12; VCAE Fig. 7): copies would show."""

from collections.abc import Iterable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.pictures import alternate, drawing, draws, sheet
from bench.figures.subject import Subject

SAMPLES, COLUMNS = 20, 10


def nearest(queries: Tensor, batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The image of all batches that is nearest to each query by Euclidean distance, of equals the first; and its distance.

    (Q, C, H, W), batches of (B, C, H, W) -> (Q, C, H, W), (Q,) float64
    """
    images = queries.clone()
    best = torch.full((len(queries),), torch.inf, dtype=torch.float64, device=queries.device)
    flat = queries.flatten(1).double()
    for batch in batches:
        apart = torch.cdist(flat, batch.flatten(1).double(), compute_mode="donot_use_mm_for_euclid_dist")  # differences, not products
        distance, index = apart.min(1)
        nearer = distance < best
        images[nearer], best[nearer] = batch[index[nearer]], distance[nearer]
    return images, best


def draw(subject: Subject) -> Figure:
    """Rows of samples, each above its row of nearest training images."""
    made = draws(subject.evaluation, SAMPLES, "figures.neighbours")
    found, distances = nearest(made, subject.evaluation.batches("train"))
    _, held_out = nearest(subject.images(SAMPLES), subject.evaluation.batches("train"))
    shown, columns = drawing(subject.values, subject.images(SAMPLES))
    caption = (
        f"{subject.name}. Samples (odd rows) and below each the nearest of {len(subject.evaluation.data.train):,} training images, by "
        f"Euclidean distance: {distances.mean():.2f} in the mean, of as many {subject.held_out} images {held_out.mean():.2f}."
    )
    return canvas.of_sheet(sheet(alternate(shown(made), shown(found), columns), columns), caption)
