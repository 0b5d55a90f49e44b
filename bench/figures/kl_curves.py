"""Two posteriors of a common width: AEVB's mean KL and WiSE-ALE's bound against that width (SPEC 7, F14, 7.2; WiSE-ALE Fig. 4).

Analytic, of no run: q_1 = N(-m, σ²), q_2 = N(m, σ²), p = N(0, 1).
"""

import math
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.figures import canvas
from bench.figures.histograms import normal
from bench.figures.subject import Subject
from metrics.divergences import gaussian_kl
from metrics.mixture_bound import kl_bound_broadcast

MEANS = (1.0, 2.0, 3.0)  # m, as in SPEC 7.2
SHOWN = 2.0  # whose densities are drawn
LOW, HIGH, STEPS = 0.2, 2.0, 361  # σ in steps of 0.005


@dataclass(frozen=True)
class Curves:
    """Both divergences of one m at each σ."""

    m: float
    sigma: Tensor  # (STEPS,)
    mean_kl: Tensor  # (STEPS,) mean of KL(q_i || p), nats
    bound: Tensor  # (STEPS,) KL_UB of the mixture, nats

    def lowest(self, values: Tensor) -> tuple[float, float]:
        """σ of the least value, and that value."""
        place = int(values.argmin())
        return self.sigma[place].item(), values[place].item()


def curves(m: float) -> Curves:
    """Both at all σ, float64."""
    sigma = torch.linspace(LOW, HIGH, STEPS, dtype=torch.float64)
    means = torch.tensor([[-m], [m]], dtype=torch.float64)
    logs = [torch.full_like(means, 2 * math.log(s)) for s in sigma.tolist()]
    mean_kl = torch.stack([gaussian_kl(means, log).mean() for log in logs])
    return Curves(m, sigma, mean_kl, torch.stack([kl_bound_broadcast(means, log) for log in logs]))


def draw(subject: Subject) -> Figure:
    """The same whatever the run."""
    return picture()


def values() -> str:
    """What the curves are made of, as CSV."""
    found = [curves(m) for m in MEANS]
    heads = ["sigma", *(f"{name}, m = {one.m:g}" for one in found for name in ("mean KL", "KL_UB"))]
    columns = [found[0].sigma, *(values for one in found for values in (one.mean_kl, one.bound))]
    lines = [",".join(f"{value:.6g}" for value in line) for line in torch.stack(columns, 1).tolist()]
    return "\n".join([",".join(f'"{head}"' for head in heads), *lines]) + "\n"


def picture() -> Figure:
    """Left the densities at the width that the bound asks for, right the curves with their lowest points."""
    found = [curves(m) for m in MEANS]
    width, _ = curves(SHOWN).lowest(curves(SHOWN).bound)
    caption = (
        f"Two posteriors N(±m, σ²) under the prior N(0, 1). Left: m = {SHOWN:g}, the σ = {width:.2f} of the least KL_UB. Right: AEVB's "
        "mean KL (dashed), least at σ = 1 whatever m is, and WiSE-ALE's KL_UB of their mixture; dots are the least values. Analytic."
    )
    figure, (left, right) = canvas.of_plots(caption, 1, 2, height=1.7)
    x = torch.linspace(-SHOWN - 3, SHOWN + 3, 400, dtype=torch.float64)
    parts = [normal(x, middle, width) for middle in (-SHOWN, SHOWN)]
    for part in parts:
        left.plot(x.numpy(), part.numpy(), color=canvas.COLOURS[4], linewidth=0.6)
    left.plot(x.numpy(), torch.stack(parts).mean(0).numpy(), color=canvas.COLOURS[0], label="mixture")
    left.plot(x.numpy(), normal(x, 0, 1).numpy(), color="black", linestyle=":", label="prior")
    left.set(xlabel="z", ylabel="density", ylim=(0, 0.72))
    canvas.legend(left, loc="upper center", ncols=2)
    for number, one in enumerate(found):
        tint, _ = canvas.colour(number)
        right.plot(one.sigma.numpy(), one.mean_kl.numpy(), color=tint, linestyle="--", linewidth=0.7)
        right.plot(one.sigma.numpy(), one.bound.numpy(), color=tint, label=f"m = {one.m:g}")
        for values in (one.mean_kl, one.bound):
            right.plot(*one.lowest(values), marker="o", markersize=2.5, color=tint, linestyle="none")
    right.set(xlabel="σ", ylabel="nats", ylim=(0, 7.5))
    canvas.legend(right, loc="upper right", ncols=3)
    return figure
