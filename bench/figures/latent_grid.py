"""The decoder's manifold: a regular grid of the innermost latent, decoded (SPEC 7, F6; StackedWAE Fig. 2b, 4b)."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.pictures import drawing, sheet
from bench.figures.subject import Subject, innermost
from metrics.metric import Unavailable
from models.stacked import StackedWAE

SIDE, REACH = 12, 2.0  # cells of a row, standard deviations to either side of the middle
SIGNALS = 5  # cells of a row of signals, whose curves are wide


@dataclass(frozen=True)
class Plane:
    """Where the grid lies: codes middle + a · right + b · up."""

    name: str
    middle: Tensor  # (D,)
    right: Tensor  # (D,), a standard deviation long
    up: Tensor  # (D,)
    words: str

    def codes(self, side: int) -> Tensor:
        """Row by row from the top, which is +REACH.   -> (side², D)"""
        steps = torch.linspace(-REACH, REACH, side, device=self.middle.device)
        return torch.cat([self.middle + steps[:, None] * self.right + height * self.up for height in reversed(steps)])


def principal(codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, and the first two principal directions, each a standard deviation long; the axes where there are two.   (N, D)"""
    middle = codes.mean(0)
    if codes.shape[1] == 2:
        std = codes.std(0, correction=0)
        return middle, torch.stack([std[0], std[0] * 0]), torch.stack([std[1] * 0, std[1]])
    _, singular, directions = torch.linalg.svd(codes - middle, full_matrices=False)
    signs = torch.sign(directions.gather(1, directions.abs().argmax(1, keepdim=True)))  # the largest part of each is positive
    first, second = (directions * signs)[:2] * (singular[:2, None] / len(codes) ** 0.5)
    return middle, first, second


def plane(subject: Subject) -> Plane:
    """Of a hierarchy, its top latent around the prior's mean; of any other the codes' own plane. Unavailable for one latent."""
    method = subject.evaluation.method
    if isinstance(method, StackedWAE):
        dim = method.dims[-1]
        if dim < 2:
            raise Unavailable("its top latent has one dimension; a grid needs two")
        axes = torch.eye(dim, device=subject.evaluation.device)
        return Plane(f"z_{len(method.dims)}", torch.zeros_like(axes[0]), axes[0], axes[1], "its first two axes under N(0, I)")
    latent = innermost(subject)
    if latent.dim < 2:
        raise Unavailable("its code has one dimension; a grid needs two")
    codes = torch.cat([latent.encode(x) for x in subject.evaluation.batches("test")])
    words = "both axes" if latent.dim == 2 else "the first two principal directions of its codes"
    return Plane(latent.name, *principal(codes), words)


def draw(subject: Subject) -> Figure:
    """The grid, +2 standard deviations at the top and on the right."""
    found, method = plane(subject), subject.evaluation.method
    codes = found.codes(SIDE if subject.values == "unit" else SIGNALS)
    images = method.decode_from(len(method.dims), codes) if isinstance(method, StackedWAE) else innermost(subject).decode(codes)
    shown = drawing(subject.values, subject.images(1000))[0]
    caption = f"{subject.name}. Decoded grid of {found.name}, from -2 to +2 standard deviations along {found.words}."
    return canvas.of_sheet(sheet(shown(images), round(len(codes) ** 0.5)), caption)
