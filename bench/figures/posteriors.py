"""The aggregate posterior of a batch in the plane (SPEC 7, F13; WiSE-ALE Fig. 1)."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from bench.figures import canvas
from bench.figures.subject import Subject
from bench.figures.traversal import latents_by_variance
from metrics.metric import Unavailable

IMAGES, CELLS, REACH = 64, 160, 3.5  # of the batch, of the map's sides; half its width in standard deviations of the prior


@dataclass(frozen=True)
class Batch:
    """q(z|x) of each image of a batch, in two of its latents: a diagonal Gaussian's marginal is its entries."""

    latents: list[int]
    mean: Tensor  # (B, 2)
    std: Tensor  # (B, 2)

    def density(self, z: Tensor) -> Tensor:
        """1/B Σ_i q(z|x_i).   (N, 2) -> (N,)"""
        log_q = torch.distributions.Normal(self.mean, self.std).log_prob(z[:, None]).sum(-1)
        return log_q.exp().mean(1)


def batch(subject: Subject) -> Batch:
    """Of IMAGES random training images, in the two latents whose means vary most; Unavailable without a Gaussian posterior."""
    (images,) = subject.evaluation.batches("train", IMAGES)
    draw = subject.evaluation.method.draw(images, subject.evaluation.noise("figures.posteriors"))
    if draw.log_variance is None:
        raise Unavailable("its posterior is no diagonal Gaussian with a density")
    if draw.mean.shape[1] < 2:
        raise Unavailable("its code has one dimension; the map needs two")
    latents = sorted(latents_by_variance(draw.mean, 2))
    return Batch(latents, draw.mean[:, latents].double().cpu(), (0.5 * draw.log_variance[:, latents].double().cpu()).exp())


def grid(reach: float) -> Tensor:
    """Middles of cells, row by row from the bottom.   -> (CELLS², 2)"""
    side = ((torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS * 2 - 1) * reach
    return torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)


def draw(subject: Subject) -> Figure:
    """Left the density, right each posterior as an ellipse of one standard deviation; the prior's circles at 1 and 2."""
    found = batch(subject)
    reach = max(REACH, (found.mean.abs() + 2 * found.std).max().item())
    values = found.density(grid(reach)).reshape(CELLS, CELLS)
    number = len(found.mean)
    caption = (
        f"{subject.name}. Left: density of the mean of q(z|x) of {number} training images, in the latents "
        f"{' and '.join(f'z{latent + 1}' for latent in found.latents)}. "
        "Right: each q(z|x) at one standard deviation. Dashed: N(0, I) at 1 and 2."
    )
    figure, (left, right) = canvas.of_plots(caption, 1, 2, height=1.7, sharey=True)
    left.imshow(values, origin="lower", extent=(-reach, reach, -reach, reach), cmap="cividis")
    for mean, std in zip(found.mean.tolist(), found.std.tolist(), strict=True):
        right.add_patch(Ellipse(mean, 2 * std[0], 2 * std[1], fill=False, color=canvas.COLOURS[0], linewidth=0.5))
    right.scatter(found.mean[:, 0], found.mean[:, 1], s=1.5, color=canvas.COLOURS[5], linewidths=0)
    right.set(xlim=(-reach, reach), aspect="equal")
    for axes, tint in ((left, "white"), (right, "black")):
        for radius in (1, 2):
            axes.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, color=tint, linewidth=0.5, linestyle="--"))
        axes.set_xlabel(f"z{found.latents[0] + 1}")
    left.set_ylabel(f"z{found.latents[1] + 1}")
    return figure
