"""Log densities in the plane that rows of a suite have over their codes (SPEC 7, F17; LaDDer Fig. 2), beside the codes themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.scatter import density_map
from bench.figures.subject import Latent, Subject, innermost
from metrics.metric import Unavailable

CODES, DOTS = 10_000, 300  # training images whose codes are taken, and of these, how many are dots on a map
DRAWS = 64  # of importance sampling
BINS, NATS, COLUMNS = 60, 12.0, 3  # of the histogram's sides; below the highest density of all maps, what they show


@dataclass(frozen=True)
class Map:
    """A row's density in the plane."""

    label: str
    law: str
    codes: Tensor  # (N, 2) of training images
    values: Tensor  # (CELLS, CELLS) log p from the bottom, nats
    extent: tuple[float, float, float, float]  # left, right, bottom, top


def aggregate(subject: Subject) -> Tensor:
    """Codes of up to CODES training images with the encoder's noise: draws of the aggregate posterior; of a nested prior means of t."""
    latent, noise = innermost(subject), subject.evaluation.noise("figures.densities")
    batches = subject.evaluation.batches("train", CODES)
    if latent.name == "z":
        return torch.cat([subject.evaluation.method.draw(x, noise).z for x in batches]).cpu()
    return torch.cat([latent.encode(x) for x in batches]).cpu()


def log_density(latent: Latent, subject: Subject, codes: Tensor) -> Tensor:
    """log p, nats; of a law that has but a bound of it by importance sampling, which is nearer and smooth.   (N, D) -> (N,)"""
    nested, noise = getattr(latent.law, "prior", latent.law), subject.evaluation.noise("figures.densities.map")
    if not hasattr(nested, "importance_log_prob"):
        return latent.log_prob(codes)
    values: Tensor = nested.importance_log_prob(codes, DRAWS, noise)
    return values


def maps(subjects: Mapping[str, Subject]) -> list[Map]:
    """Of the rows whose innermost latent is of two numbers and has a law with a density."""
    found = []
    for label, subject in subjects.items():
        subject.evaluation.eval()
        latent = innermost(subject)
        if latent.dim == 2 and hasattr(latent.law, "log_prob"):
            codes = aggregate(subject)
            values, extent = density_map(partial(log_density, latent, subject), codes.to(subject.evaluation.device))
            found.append(Map(label, str(latent.law), codes, values.cpu(), extent))
    return found


def histogram(axes: Axes, of: Map) -> None:
    """The codes of a row, darker where they are more."""
    left, right, bottom, top = of.extent
    x, y = of.codes.T.numpy()
    axes.hist2d(x, y, bins=BINS, range=((left, right), (bottom, top)), cmap="Greys", vmin=0)
    axes.set_title(f"codes of {of.label}")


def draw(subjects: Mapping[str, Subject], suite: str, seed: int) -> Figure:
    """First the codes of the first row, then a map a row, all on one scale. Unavailable without a row that has one."""
    found = maps(subjects)
    if not found:
        raise Unavailable("no row has a density over two latents")
    missing = [label for label in subjects if label not in {of.label for of in found}]
    highest = max(of.values.max().item() for of in found)
    caption = (
        f"Suite {suite}, seed {seed}. First: codes of {len(found[0].codes):,} training images with the encoder's noise. Others: log "
        f"density that each row fitted, or else has as its prior, in bands of a nat from {highest:.1f} (yellow) to {NATS:g} below (blue), "
        "and codes of the row."
    )
    caption += f" Without a density in the plane: {', '.join(missing)}." * bool(missing)
    rows = -(-(len(found) + 1) // COLUMNS)
    figure, axes = canvas.of_plots(caption, rows, COLUMNS, height=1.15)
    histogram(axes[0], found[0])
    for place, of in zip(axes[1:], found, strict=False):
        low = highest - NATS
        values = of.values.clamp(min=low).round().numpy()  # bands of a nat read as contours, and compress
        place.imshow(
            values, origin="lower", extent=of.extent, cmap="cividis", vmin=low, vmax=highest, aspect="auto", interpolation="nearest"
        )
        x, y = of.codes[:DOTS].T.numpy()
        place.scatter(x, y, s=0.5, c="white", linewidths=0, alpha=0.6, rasterized=True)
        place.set(xlim=of.extent[:2], ylim=of.extent[2:], title=of.label)
    for place in axes[len(found) + 1 :]:
        place.set_axis_off()
    return figure
