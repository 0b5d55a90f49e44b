"""The aggregate posterior of a batch in the plane (SPEC 7, F13; WiSE-ALE Fig. 1)."""

from dataclasses import dataclass

import torch
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from bench.figures import canvas
from bench.figures.subject import Subject
from bench.figures.traversal import latents_by_variance
from metrics.metric import Unavailable

IMAGES, CELLS, REACH = 64, 100, 3.5  # of the batch, of the map's sides; half its width in standard deviations of the prior


@dataclass(frozen=True)
class Batch:
    """q(z|x) of each image of a batch, in two of its latents: a diagonal Gaussian's marginal is its entries."""

    latents: list[int]
    mean: Tensor  # (B, 2)
    std: Tensor  # (B, 2)

    def mass(self, reach: float) -> Tensor:
        """Of 1/B Σ_i q(z|x_i) in each cell of a square from -reach to reach, exactly: narrow ones show too.   -> (CELLS, CELLS)

        Rows from the bottom.
        """
        edges = torch.linspace(-reach, reach, CELLS + 1, dtype=torch.float64)[:, None, None]
        shares = torch.distributions.Normal(self.mean, self.std).cdf(edges).diff(dim=0)  # (CELLS, B, 2)
        return shares[..., 1] @ shares[..., 0].T / len(self.mean)


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


def draw(subject: Subject) -> Figure:
    """Left the mixture, right each posterior as an ellipse of one standard deviation; the prior's circles at 1 and 2."""
    found = batch(subject)
    reach = max(REACH, (found.mean.abs() + 2 * found.std).max().item())
    number = len(found.mean)
    caption = (
        f"{subject.name}. Left: the mean of q(z|x) of {number} training images (colour by the square root of its density), in the latents "
        f"{' and '.join(f'z{latent + 1}' for latent in found.latents)}. Right: each q(z|x) at one standard deviation. "
        "Dashed: N(0, I) at 1 and 2."
    )
    figure, (left, right) = canvas.of_plots(caption, 1, 2, height=1.7, sharey=True)
    left.imshow(found.mass(reach).numpy(), origin="lower", extent=(-reach, reach, -reach, reach), cmap="cividis", norm=PowerNorm(0.5))
    for mean, std in zip(found.mean.tolist(), found.std.tolist(), strict=True):
        right.add_patch(Ellipse(mean, 2 * std[0], 2 * std[1], fill=False, color=canvas.COLOURS[0], linewidth=0.5))
    right.scatter(found.mean[:, 0].numpy(), found.mean[:, 1].numpy(), s=1.5, color=canvas.COLOURS[5], linewidths=0)
    right.set(xlim=(-reach, reach), aspect="equal")
    for axes, tint in ((left, "white"), (right, "black")):
        for radius in (1, 2):
            axes.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, color=tint, linewidth=0.5, linestyle="--"))
        axes.set_xlabel(f"z{found.latents[0] + 1}")
    left.set_ylabel(f"z{found.latents[1] + 1}")
    return figure
