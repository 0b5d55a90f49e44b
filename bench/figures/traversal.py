"""Latent traversals (SPEC 7, F11; VCAE Fig. 4, 9): one latent at a time is moved through its range, the others stay. Still and moving."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from bench.figures import canvas
from bench.figures.pictures import sheet
from bench.figures.subject import Subject

SETTINGS, OF_SIGNALS, FRAMES = 9, 5, 16  # of a latent: in the still figure, of images and of signals; in the moving one
LATENTS = 10  # rows at most: those whose mean codes vary most
SHOWN = 6  # images of the moving figure
LOW, HIGH = 0.01, 0.99  # quantiles of the codes between which a latent moves; the papers do not state a range
PAUSE = 80  # milliseconds a frame


def latents_by_variance(mean: Tensor, most: int = LATENTS) -> list[int]:
    """The latents whose mean codes vary most, the widest first; of equals the first.   (N, D) -> indices"""
    order = torch.argsort(mean.var(0, correction=0), descending=True, stable=True)
    return order[:most].tolist()


def settings(codes: Tensor, latent: int, count: int) -> Tensor:
    """Equal steps between two quantiles of a latent's codes.   (N, D) -> (count,)"""
    low, high = torch.quantile(codes[:, latent], torch.tensor([LOW, HIGH], device=codes.device, dtype=codes.dtype)).tolist()
    return torch.linspace(low, high, count, device=codes.device)


def moved(code: Tensor, latent: int, values: Tensor) -> Tensor:
    """A code with one latent at each of these values.   (D,), (S,) -> (S, D)"""
    codes = code.repeat(len(values), 1)
    codes[:, latent] = values
    return codes


def traversal(subject: Subject) -> tuple[Tensor, list[int]]:
    """Images by latent and setting, of the first of the held-out images that figures show.   -> (L, S, C, H, W), the latents"""
    mean = subject.codes().mean
    (code,) = subject.evaluation.method.draw(subject.images(1), subject.evaluation.noise("figures.traversal")).mean
    rows = latents_by_variance(mean)
    count = SETTINGS if subject.values == "unit" else OF_SIGNALS
    codes = torch.stack([moved(code, row, settings(mean, row, count)) for row in rows])
    return subject.evaluation.method.decode(codes.flatten(0, 1)).unflatten(0, (len(rows), count)), rows


def draw(subject: Subject) -> Figure:
    """A row a latent; above them the image and its reconstruction."""
    images, rows = traversal(subject)
    original, shown = subject.shown(1)
    method = subject.evaluation.method
    again = method.decode(method.draw(original, subject.evaluation.noise("figures.traversal")).mean)
    top = shown(torch.cat([original, again]))
    cells = torch.cat([top, torch.zeros_like(shown(images[0, 2:])), shown(images.flatten(0, 1))])
    caption = (
        f"{subject.name}. Top: a {subject.held_out} image and its reconstruction. Below: one latent of its code moved from the 1st to the "
        f"99th percentile of the {subject.held_out} codes; the {len(rows)} latents of {method.dim} that vary most, widest first."
    )
    return canvas.of_sheet(sheet(cells, images.shape[1]), caption, ["image", *(f"z{row + 1}" for row in rows)])


def frames(subject: Subject) -> Sequence[Image.Image]:
    """There and back through the settings: a column an image, a row a latent."""
    method, mean = subject.evaluation.method, subject.codes().mean
    images, shown = subject.shown(SHOWN)
    codes = method.draw(images, subject.evaluation.noise("figures.traversal")).mean
    rows = latents_by_variance(mean)
    values = [settings(mean, row, FRAMES) for row in rows]
    pictures = list[Image.Image]()
    for frame in range(FRAMES):
        grid = torch.stack([torch.cat([moved(code, row, values[i][frame : frame + 1]) for code in codes]) for i, row in enumerate(rows)])
        pictures.append(sheet(shown(method.decode(grid.flatten(0, 1))), len(images)))
    return [*pictures, *pictures[-2:0:-1]]
