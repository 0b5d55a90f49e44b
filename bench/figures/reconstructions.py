"""Held-out images and their reconstructions (SPEC 7, F2; of signals F15)."""

from matplotlib.figure import Figure

from bench.figures import canvas, pictures
from bench.figures.subject import Subject


def draw(subject: Subject) -> Figure:
    """The reconstructions that a run leaves when it ends."""
    caption = f"{subject.name}. {subject.held_out.capitalize()} images (odd rows), below each its reconstruction from the mean code."
    return canvas.of_sheet(pictures.reconstructions(subject.evaluation), caption)
