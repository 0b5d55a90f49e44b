"""Every kind of figure: its name, what it shows, how it is drawn, and of which runs it is drawn unless others are asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure

from bench.figures import (
    canvas,
    histograms,
    interpolation,
    kl_curves,
    latent_grid,
    layers,
    monitor,
    neighbours,
    posteriors,
    reconstructions,
    samples,
    scatter,
    training,
    traversal,
)
from bench.figures.canvas import Format
from bench.figures.subject import Subject, innermost
from models.stacked import StackedWAE


@dataclass(frozen=True)
class Kind:
    """A kind of figure of one run."""

    name: str
    words: str
    draw: Callable[[Subject], Figure]
    default: Callable[[Subject], bool] = lambda subject: True


def has_likely_paths(subject: Subject) -> bool:
    """Whether the codes have a density."""
    return hasattr(innermost(subject).law, "log_prob")


def has_plane(subject: Subject) -> bool:
    """Whether the innermost latent is one of two numbers."""
    method = subject.evaluation.method
    return (method.dims[-1] if isinstance(method, StackedWAE) else innermost(subject).dim) == 2


def has_levels(subject: Subject) -> bool:
    """Whether the method is a hierarchy with several encoders."""
    method = subject.evaluation.method
    return isinstance(method, StackedWAE) and len(method.encoders) > 1


KINDS = [
    Kind("monitor", "six panels: reconstructions, samples, images, codes beside the prior, training terms", monitor.draw),
    Kind("samples", "decoded draws of the density fitted to the codes, or of the prior", samples.draw),
    Kind("reconstructions", "held-out images and their reconstructions", reconstructions.draw),
    Kind("interpolation", "straight lines between the codes of two held-out images", interpolation.draw_straight),
    Kind("likely-interpolation", "shortest likely paths, beside straight ones", interpolation.draw_likely, has_likely_paths),
    Kind("traversal", "one latent at a time moved through its range", traversal.draw),
    Kind("latent-grid", "a decoded grid of the innermost latent", latent_grid.draw, has_plane),
    Kind("layers", "of a hierarchy: encoded up to each level and decoded back down", layers.draw, has_levels),
    Kind("scatter", "mean codes in the plane by class, with ellipses and the density map", scatter.draw),
    Kind("histograms", "the codes of each latent with the Gaussian of their moments", histograms.draw),
    Kind("neighbours", "samples and the training images nearest to them", neighbours.draw),
    Kind("posteriors", "the mean of q(z|x) over a batch, in the plane", posteriors.draw, has_plane),
    Kind("kl-curves", "AEVB's mean KL and WiSE-ALE's bound of two posteriors, analytic", kl_curves.draw, lambda s: s.method == "wise_ale"),
    Kind("training", "every term of the training curve", training.draw, lambda subject: bool(subject.curve)),
]
ANIMATION = "traversal-animation"  # the one that moves, a GIF in whatever form the others are asked for
OF_RUNS: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
OF_SUITES: Mapping[str, str] = {
    "samples": "a contact sheet: samples of every row",
    "densities": "log densities in the plane that rows have over their codes",
    "rate-distortion": "the rate-distortion plane of all rows, from their records",
    "anytime": "metrics against seconds of training, of runs that were measured while they trained",
}


def names(subject: Subject) -> list[str]:
    """The kinds that are drawn of a run by default."""
    return [*(kind.name for kind in KINDS if kind.default(subject)), ANIMATION]


@torch.no_grad()
def render(name: str, subject: Subject, form: Format) -> tuple[str, bytes]:
    """A figure of a run as a file: the name's ending and the content. Unavailable, with the reason, for one that cannot be drawn."""
    subject.evaluation.eval()
    if name == ANIMATION:
        return "gif", canvas.animation(traversal.frames(subject), traversal.PAUSE)
    with canvas.style():
        return form, canvas.save(OF_RUNS[name].draw(subject), form)
