"""Histograms of the latents with the Gaussians of their moments (SPEC 7, F10; VCAE Fig. 5, 10-12)."""

import math
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.subject import Subject
from bench.figures.traversal import latents_by_variance

LATENTS, BINS, COLUMNS = 9, 30, 3
MOST = 3.0  # times as high as the codes' own densities that a plot may be, to hold N(0, 1)
REACH = 4.0  # standard deviations of the codes, to either side of their mean, that a plot is wide


@dataclass(frozen=True)
class Histogram:
    """One latent's codes, with the encoder's noise."""

    latent: int
    edges: Tensor  # (BINS + 1,)
    counts: Tensor  # (BINS,) codes of each bin; those beyond the ends are in none
    mean: float
    std: float  # divisor N
    n: int


def histogram(z: Tensor, latent: int) -> Histogram:
    """Of one column of the codes.   (N, D)"""
    values = z[:, latent].double().cpu()
    mean, std = values.mean().item(), max(values.std(correction=0).item(), 1e-9)
    edges = torch.linspace(mean - REACH * std, mean + REACH * std, BINS + 1, dtype=torch.float64)
    return Histogram(latent, edges, torch.histogram(values, edges).hist, mean, std, len(values))


def normal(x: Tensor, mean: float, std: float) -> Tensor:
    """Density of N(mean, std²)."""
    return torch.exp(-0.5 * ((x - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))


def histograms(subject: Subject) -> list[Histogram]:
    """Of the latents that vary most, widest first."""
    codes = subject.codes()
    return [histogram(codes.z, latent) for latent in latents_by_variance(codes.z, LATENTS)]


def draw(subject: Subject) -> Figure:
    """A plot a latent: counts as a density, the Gaussian of the same moments, and N(0, 1)."""
    found = histograms(subject)
    columns = min(COLUMNS, len(found))
    caption = (
        f"{subject.name}. Codes of {found[0].n:,} {subject.held_out} images with the encoder's noise, the {len(found)} latents of "
        f"{subject.evaluation.method.dim} that vary most. Blue: Gaussian of the same mean and variance; dashed: N(0, 1)."
    )
    figure, axes = canvas.of_plots(caption, -(-len(found) // columns), columns, height=0.95)
    for place, one in zip(axes, found, strict=False):
        x = torch.linspace(float(one.edges[0]), float(one.edges[-1]), 200, dtype=torch.float64)
        heights = one.counts / (one.n * (one.edges[1] - one.edges[0]))
        place.stairs(heights.numpy(), one.edges.numpy(), fill=True, color="#BBBBBB")
        place.plot(x.numpy(), normal(x, one.mean, one.std).numpy(), color=canvas.COLOURS[0])
        place.plot(x.numpy(), normal(x, 0, 1).numpy(), color="black", linestyle="--", linewidth=0.6)
        place.set_title(f"z{one.latent + 1}, σ = {one.std:.2f}")
        place.set_xlim(float(one.edges[0]), float(one.edges[-1]))
        own = max(heights.max().item(), normal(torch.tensor(0.0), 0, one.std).item())
        place.set_ylim(0, 1.1 * max(own, min(normal(torch.tensor(0.0), 0, 1).item(), MOST * own)))
        place.set_yticks([])
    for place in axes[len(found) :]:
        place.set_axis_off()
    return figure
