"""Six panels by which a run is judged at a glance (SPEC 7, F18; the monitor of WAE's released code).

Reconstructions of training and held-out images, samples, images, codes beside the prior where they differ most, and training terms.
The code follows sharpness through training; here it is that of the trained method.
"""

from contextlib import suppress

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas, training
from bench.figures.pictures import alternate, drawing, draws, sheet
from bench.figures.subject import CODES, Subject
from metrics.metric import Unavailable
from metrics.sharpness import sharpness

SIDE, OF_SIGNALS = 6, 2  # images of a row and of a column of each sheet; signals are wide
FIRST, TERMS = ("loss", "reconstruction"), 4  # terms that are shown before others, and how many at most
SHOWN, STEPS, RATE = 1000, 300, 0.1  # points of each law; of the search for the plane: steps, and their size beside the largest eigenvalue


def departure(codes: Tensor, plane: Tensor) -> float:
    """|PᵀCP - I|² + |Pᵀm|² of the codes' mean m and covariance C in a plane: 0 if its moments are the prior's.   (N, D), (D, 2)"""
    covariance, mean = moments(codes)
    inside = plane.T @ covariance @ plane
    return float((inside - torch.eye(2, dtype=torch.float64)).square().sum() + (plane.T @ mean).square().sum())


def moments(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Covariance (divisor N) and mean, float64.   (N, D) -> (D, D), (D,)"""
    values = codes.double().cpu()
    return torch.cov(values.T, correction=0), values.mean(0)


def least_gaussian(codes: Tensor) -> Tensor:
    """Two orthonormal directions in which the codes' first two moments are farthest from N(0, I): a local maximum of `departure`.

    Ascent from the two leading eigenvectors of (C - I)² + m mᵀ, which are the maximum where m = 0, each step made orthonormal again.
    ValueError for one latent.   (N, D) -> (D, 2) float64
    """
    if codes.shape[1] < 2:
        raise ValueError("a plane needs two latents")
    covariance, mean = moments(codes)
    outer, excess = torch.outer(mean, mean), covariance - torch.eye(len(mean), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(excess @ excess + outer)
    best = plane = vectors[:, -2:].flip(1)
    size = RATE / max(values[-1].item(), 1e-12)
    for _ in range(STEPS):
        gradient = 2 * excess @ plane @ (plane.T @ excess @ plane) + outer @ plane
        plane, _ = torch.linalg.qr(plane + size * gradient)
        best = plane if departure(codes, plane) > departure(codes, best) else best
    signs = torch.sign(best.gather(0, best.abs().argmax(0, keepdim=True)))  # the largest part of each is positive
    return best * signs


def codes_and_prior(subject: Subject) -> tuple[Tensor, Tensor | None]:
    """Drawn codes of held-out images, and as many draws of the prior, or else of the fitted density; None without either."""
    method, noise = subject.evaluation.method, subject.evaluation.noise("figures.monitor")
    z = torch.cat([method.draw(x, noise).z for x in subject.evaluation.batches("test", CODES)]).cpu()
    law = subject.evaluation.density if method.prior is None else method.prior
    return z, None if law is None else law.sample(len(z), noise).cpu()


def cloud(axes: Axes, subject: Subject) -> None:
    """Codes over draws of the prior, in the plane where they differ most."""
    z, prior = codes_and_prior(subject)
    plane = least_gaussian(z).to(z.dtype) if z.shape[1] > 1 else None
    for points, number, marker in ((prior, 1, "x"), (z, 0, "o")):
        if points is not None:
            flat = torch.cat([points, torch.zeros_like(points)], 1) if plane is None else points @ plane
            x, y = flat[:SHOWN].T.numpy()
            axes.scatter(x, y, s=2, marker=marker, c=canvas.COLOURS[number], linewidths=0.4, alpha=0.7, rasterized=True)
    axes.set_title("codes and prior" if prior is not None else "codes")


def terms(axes: Axes, subject: Subject) -> None:
    """The first terms of the autoencoder's objective through training."""
    players = training.terms(subject.curve)
    if not players:
        axes.text(0.5, 0.5, "no training curve", ha="center", va="center", transform=axes.transAxes)
        return
    lines = next((of for name, of in players.items() if name == "autoencoder"), next(iter(players.values())))
    few = sorted(lines, key=lambda term: (term not in FIRST, term))[:TERMS]
    training.player(axes, "training", {term: lines[term] for term in few})


def sheets(subject: Subject) -> tuple[dict[str, Tensor], int]:
    """Images by the title of their panel, in rows as they are shown; and how many stand in a row."""
    method, noise = subject.evaluation.method, subject.evaluation.noise("figures.monitor.images")
    side = SIDE if subject.values == "unit" else OF_SIGNALS
    count = side * side // 2
    shown = drawing(subject.values, subject.images(1000))[0]
    found = dict[str, Tensor]()
    for title, split in (("training", "train"), (subject.held_out, "test")):
        originals = next(subject.evaluation.batches(split, count))  # type: ignore[arg-type]
        again = method.decode(method.draw(originals, noise).mean)
        found[f"{title}, reconstructed"] = alternate(shown(originals), shown(again), side)
    try:
        found["samples"] = shown(draws(subject.evaluation, 2 * count, "pictures.samples"))
    except Unavailable:
        found["no samples"] = torch.zeros_like(found[f"{subject.held_out}, reconstructed"])
    found[f"{subject.held_out} images"] = shown(subject.images(2 * count))
    return found, side


def sharpness_words(subject: Subject) -> str:
    """Mean sharpness of held-out images, of their reconstructions and of samples, for the caption."""
    if subject.values != "unit":
        return ""
    method, images = subject.evaluation.method, subject.images(1000)
    said = {subject.held_out: images}
    said["reconstructions"] = method.decode(method.draw(images, subject.evaluation.noise("figures.monitor.sharpness")).mean)
    with suppress(Unavailable):
        said["samples"] = draws(subject.evaluation, len(images), "pictures.samples")
    means = {name: sharpness(of).mean().item() for name, of in said.items() if min(of.shape[-2:]) > 2}
    return f" Sharpness: {', '.join(f'{name} {value:.3g}' for name, value in means.items())}." * bool(means)


def draw(subject: Subject) -> Figure:
    """Two rows of three panels."""
    found, side = sheets(subject)
    caption = (
        f"{subject.name}. In the two sheets of reconstructions odd rows are the images. Codes: with the encoder's noise, in the plane "
        "where their mean and covariance depart most from N(0, I), over draws of the prior or else of the fitted density (crosses)."
        f"{sharpness_words(subject)}"
    )
    figure, axes = canvas.of_plots(caption, 2, 3, height=1.45, gridspec_kw={"width_ratios": (1, 1, 0.85)})
    for place, (title, images) in zip((axes[0], axes[1], axes[3], axes[4]), found.items(), strict=True):
        place.imshow(sheet(images, side), interpolation="nearest", aspect="auto" if subject.values == "real" else "equal")
        place.set_title(title)
        place.set_axis_off()
    cloud(axes[2], subject)
    terms(axes[5], subject)
    return figure
