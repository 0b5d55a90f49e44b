"""Paths between the codes of two held-out images: straight (SPEC 7, F3, F4), and where codes are likely (F5, LaDDer Eq. 9)."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.pictures import sheet
from bench.figures.subject import Latent, Subject, innermost
from models.parts.interpolate import shortest_likely_path, straight_path

PAIRS, POINTS, OF_SIGNALS = 4, 8, 2  # paths of a figure; codes between the ends of each, of images and of signals, which are wide
LIKELY_PAIRS = 3  # the paper has three on MNIST


@dataclass(frozen=True)
class Strips:
    """Rows of images: the first of a pair, the path's decoded codes with its ends, the second of the pair."""

    rows: Tensor  # (R, P + 4, C, H, W), P codes between the ends
    nll: Tensor | None = None  # (R, P + 2) -log p of each code, nats


def ends(subject: Subject, latent: Latent, pairs: int) -> tuple[Tensor, Tensor]:
    """Pairs of held-out images and their mean codes, no image twice.   -> (P, 2, C, H, W), (P, 2, D)"""
    images = subject.images(2 * pairs)
    images = images[: 2 * (len(images) // 2)]
    return images.unflatten(0, (-1, 2)), latent.encode(images).unflatten(0, (-1, 2))


def strip(latent: Latent, pair: Tensor, path: Tensor) -> Tensor:
    """A row: both images outside, the decoded path inside.   (2, C, H, W), (P, D) -> (P + 2, C, H, W)"""
    return torch.cat([pair[:1], latent.decode(path), pair[1:]])


def straight(subject: Subject) -> Strips:
    """Straight paths of equal steps."""
    latent = innermost(subject)
    images, codes = ends(subject, latent, PAIRS)
    points = POINTS if subject.values == "unit" else OF_SIGNALS
    paths = [straight_path(start, end, points) for start, end in codes]
    return Strips(torch.stack([strip(latent, pair, path) for pair, path in zip(images, paths, strict=True)]))


def likely(subject: Subject) -> Strips:
    """For each pair two rows: the straight path, and the shortest likely path that starts from it; Unavailable without a density."""
    latent = innermost(subject)
    images, codes = ends(subject, latent, LIKELY_PAIRS)
    latent.log_prob(codes[0])  # whether there is one
    points = POINTS if subject.values == "unit" else OF_SIGNALS
    rows, nll = list[Tensor](), list[Tensor]()
    for pair, (start, end) in zip(images, codes, strict=True):
        with torch.enable_grad():
            found = shortest_likely_path(start, end, latent.log_prob, points=points)
        for path in (straight_path(start, end, points), found):
            rows.append(strip(latent, pair, path))
            nll.append(-latent.log_prob(path))
    return Strips(torch.stack(rows), torch.stack(nll))


def draw_straight(subject: Subject) -> Figure:
    """The straight paths, a row each."""
    rows = straight(subject).rows
    shown = subject.shown(2 * PAIRS)[1]
    caption = (
        f"{subject.name}. Straight lines between the mean codes ({innermost(subject).name}) of two {subject.held_out} images, in equal "
        "steps, decoded; outermost the images themselves, next to them their reconstructions."
    )
    return canvas.of_sheet(sheet(shown(rows.flatten(0, 1)), rows.shape[1]), caption)


def draw_likely(subject: Subject) -> Figure:
    """The rows of both kinds of paths, named with the mean of -log p over the codes between their ends."""
    strips = likely(subject)
    assert strips.nll is not None
    means = strips.nll[:, 1:-1].mean(1).tolist()
    names = [f"{'likely' if number % 2 else 'straight'} {mean:.1f}" for number, mean in enumerate(means)]
    latent = innermost(subject)
    caption = (
        f"{subject.name}. Between the mean codes of two {subject.held_out} images: the straight line, below it the shortest likely path "
        f"(LaDDer Eq. 9 with its code's weights, 10 for length and 100 for evenness) under p({latent.name}) = {latent.law}. Numbers: "
        "mean of -log p over the codes between the ends, nats."
    )
    shown = subject.shown(2 * LIKELY_PAIRS)[1]
    return canvas.of_sheet(sheet(shown(strips.rows.flatten(0, 1)), strips.rows.shape[1]), caption, names)
