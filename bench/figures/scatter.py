"""Codes in the plane, coloured by class, over the density of their law, with ellipses (SPEC 7, F8, F9, F17; VCAE Fig. 2, LaDDer Fig. 4).

Two latents are drawn as they are, more by their first two principal components. A hierarchy has a plot for each of its levels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from bench.figures import canvas
from bench.figures.subject import CODES, Latent, Subject, innermost
from bench.markdown import counted
from models.parts.density import Mixture
from models.parts.mixture import Refitted
from models.stacked import StackedWAE

REACH = 2.0  # standard deviations that an ellipse reaches
CELLS = 100  # of a density map, along each side
LEAST = 0.01  # weight of a component whose ellipse is drawn
NATS = 8.0  # below its highest value, what a density map shows
COLUMNS = 3  # of the levels of a hierarchy


@dataclass(frozen=True)
class Outline:
    """An ellipse of a Gaussian in the plane."""

    middle: tuple[float, float]
    width: float  # whole axes, REACH deviations to either side
    height: float
    angle: float  # degrees from the horizontal to the axis of `width`, the longer one
    weight: float = 1.0  # of a component
    number: int | None = None  # of a class


@dataclass(frozen=True)
class Plot:
    """A cloud of codes, and what is drawn around it."""

    name: str  # of the latent
    points: Tensor  # (N, 2)
    dim: int  # of the codes
    outlines: list[Outline] = field(default_factory=list)
    latent: Latent | None = None  # whose density is mapped below it


def outline(middle: Tensor, covariance: Tensor, weight: float = 1.0, number: int | None = None) -> Outline:
    """The ellipse |L⁻¹(z - middle)| = REACH of a covariance L Lᵀ.   (2,), (2, 2)"""
    values, vectors = torch.linalg.eigh(covariance.double())
    long = vectors[:, 1]
    angle = torch.rad2deg(torch.atan2(long[1], long[0])).item() % 180
    height, width = (2 * REACH * values.clamp(min=0).sqrt()).tolist()
    x, y = middle.tolist()
    return Outline((x, y), width, height, angle, weight, number)


def of_mixture(law: object) -> list[Outline]:
    """An ellipse for each component of a mixture in the plane that has weight; [] for any other law."""
    mixture = law.current if isinstance(law, Refitted) else law
    if not isinstance(mixture, Mixture) or mixture.means.shape[1] != 2:
        return []
    parts = zip(mixture.log_weights.exp().tolist(), mixture.means, mixture.roots @ mixture.roots.mT, strict=True)
    return [outline(mean, covariance, weight) for weight, mean, covariance in parts if weight >= LEAST]


def of_classes(points: Tensor, classes: Tensor) -> list[Outline]:
    """An ellipse for each class of three codes or more.   (N, 2), (N,)"""
    clouds = ((number, points[classes.to(points.device) == number]) for number in classes.unique().tolist())
    return [outline(cloud.mean(0), torch.cov(cloud.T, correction=0), number=number) for number, cloud in clouds if len(cloud) > 2]


def projected(codes: Tensor) -> Tensor:
    """The first two principal components, signs by their largest weights; one or two latents as they are.   (N, D) -> (N, 2)"""
    if codes.shape[1] == 1:
        return torch.cat([codes, torch.zeros_like(codes)], 1)
    if codes.shape[1] == 2:
        return codes
    centred = codes - codes.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    signs = torch.sign(directions.gather(1, directions.abs().argmax(1, keepdim=True)))
    return centred @ (directions * signs)[:2].T


def levels(method: StackedWAE, batches: Iterable[Tensor], classes: Tensor | None) -> list[Plot]:
    """A plot a level, the bottom first."""
    images = list(batches)
    plots = list[Plot]()
    for level in range(1, len(method.encoders) + 1):
        codes = torch.cat([method.encode_to(level, x) for x in images])
        points = projected(codes)
        plots.append(Plot(f"z_{level}", points, codes.shape[1], [] if classes is None else of_classes(points, classes)))
    return plots


def plots(subject: Subject) -> list[Plot]:
    """What is drawn: mean codes of up to CODES held-out images."""
    evaluation, classes = subject.evaluation, subject.classes()
    batches = evaluation.batches("test", CODES)
    if isinstance(evaluation.method, StackedWAE):
        return levels(evaluation.method, batches, classes)
    latent = innermost(subject)
    codes = torch.cat([latent.encode(x) for x in batches])
    points = projected(codes)
    outlines = of_mixture(latent.law) if latent.dim == 2 else []
    if not outlines and classes is not None:
        outlines = of_classes(points, classes)
    mapped = latent if latent.dim == 2 and hasattr(latent.law, "log_prob") else None
    return [Plot(latent.name, points, latent.dim, outlines, mapped)]


def density_map(log_prob: Callable[[Tensor], Tensor], points: Tensor) -> tuple[Tensor, tuple[float, float, float, float]]:
    """log p on a grid around the points, nats.   -> (CELLS, CELLS) from the bottom; left, right, bottom, top

    Values are those at the middles of cells.
    """
    low, high = points.min(0).values, points.max(0).values
    free = 0.1 * (high - low).clamp(min=1e-6)
    (left, bottom), (right, top) = (low - free).tolist(), (high + free).tolist()
    share = (torch.arange(CELLS, device=points.device) + 0.5) / CELLS
    x, y = left + share * (right - left), bottom + share * (top - bottom)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
    values = log_prob(grid).reshape(CELLS, CELLS)
    return values, (left, right, bottom, top)


def cloud(axes: Axes, plot: Plot, classes: Tensor | None) -> None:
    """Points by class, ellipses over them, the density below."""
    if plot.latent is not None:
        values, extent = density_map(plot.latent.log_prob, plot.points)
        values = values - values.max()
        axes.imshow(
            values.clamp(-NATS, 0).cpu().numpy(), origin="lower", extent=extent, cmap="Greys", vmin=-NATS, vmax=2 * NATS, aspect="auto"
        )
        axes.set(xlim=extent[:2], ylim=extent[2:], autoscale_on=False)
    of = torch.zeros(len(plot.points), dtype=torch.int64) if classes is None else classes.cpu()
    for number in of.unique().tolist():
        points = plot.points.cpu()[of == number]
        tint, marker = canvas.colour(number)
        name = None if classes is None else str(number)
        axes.scatter(
            points[:, 0].numpy(), points[:, 1].numpy(), s=3, c=tint, marker=marker, linewidths=0, alpha=0.7, label=name, rasterized=True
        )
    for ring in plot.outlines:
        heaviest = max(other.weight for other in plot.outlines)
        width, tint = (0.3 + ring.weight / heaviest, "black") if ring.number is None else (0.6, canvas.colour(ring.number)[0])
        axes.add_patch(Ellipse(ring.middle, ring.width, ring.height, angle=ring.angle, fill=False, color=tint, linewidth=width))
    axes.set_title(f"{plot.name}, {counted(plot.dim, 'latent')}")


def draw(subject: Subject) -> Figure:
    """A plot, or one a level of a hierarchy."""
    found, classes = plots(subject), subject.classes()
    columns = min(COLUMNS, len(found))
    caption = f"{subject.name}. Mean codes of {len(found[0].points):,} {subject.held_out} images{legend_words(found, classes)}."
    rows = -(-len(found) // columns)
    figure, axes = canvas.of_plots(caption, rows, columns, height=2.4 if columns == 1 else 1.3)
    for place, plot in zip(axes, found, strict=False):
        cloud(place, plot, classes)
    for place in axes[len(found) :]:
        place.set_axis_off()
    if classes is not None and len(classes.unique()) > 1:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", frameon=False, markerscale=2, handletextpad=0.1, borderaxespad=0.2)
    return figure


def legend_words(found: list[Plot], classes: Tensor | None) -> str:
    """What colours, ellipses and shades are, for the caption."""
    latent, words = found[0].latent, "" if classes is None else " by class"
    if found[0].outlines:
        fitted = latent is not None and bool(of_mixture(latent.law))
        words += f"; ellipses: {REACH:g} standard deviations of each " + ("component, wider by weight" if fitted else "class")
    words += "; first two principal components" * (found[-1].dim > 2)
    return words + (f"; grey: log density of {latent.law}, down to {NATS:g} nats below its peak" if latent else "")
