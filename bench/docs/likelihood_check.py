"""What likelihoods of test images say of samples among which copies were planted: the second table of docs/copies.md.

The Feature Likelihood Divergence stands on narrow Gaussians around samples. A flow fitted to the samples, as FLD+ has it
(arXiv:2411.15584), is a density too; it is asked the same here, to see what it knows of copies. Generators are those of
bench/evaluation/copies_check.py, features are pixels.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import torch
from torch import Tensor

from bench.evaluation.copies_check import GENERATORS, all_digits, parted, planted
from bench.markdown import replace_between, table
from metrics.feature_likelihood import of_real, of_samples, scaled
from models.parts.density import maf

SHARES = (0.0, 0.05, 0.2)  # of copies
STEPS, RATE = 300, 1e-3  # of Adam, on all samples at once but for those held out
HELD_OUT, LOOK = 5, 10  # one sample in five says every ten steps whether the flow has become better
TRANSFORMS, HIDDEN = 3, (64, 64)  # of the flow
LEAST = 0.05  # deviation of a pixel that a flow is of: others are white in nearly all images
COMMAND = "likelihood-check"
NAMES = ("FLD", "gap", "flow", "flow's gap")


class Cell(NamedTuple):
    """What one generator and share of copies has, trial by trial."""

    generator: str
    share: float
    values: list[tuple[float, ...]]  # in the order of NAMES


def surprises(samples: Tensor, sets: Sequence[Tensor], seed: int) -> list[float]:
    """Mean -log p(x), times 100, per feature, of each set under the flow that is best on held-out samples.   (m, D), (N, D) each"""
    noise = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flow = maf(samples.shape[1], transforms=TRANSFORMS, hidden=HIDDEN)
    held = torch.arange(len(samples)) % HELD_OUT == 0
    flow.fit(samples[~held], noise)
    adam, best, found = torch.optim.Adam(flow.parameters(), lr=RATE), math.inf, list[float]()
    for step in range(STEPS + 1):
        if step % LOOK == 0:
            with torch.no_grad():
                if (now := flow.loss(samples[held], noise).mean().item()) < best:
                    best, found = now, [-100 * flow.log_prob(rows).mean().item() / rows.shape[1] for rows in sets]
        adam.zero_grad()
        flow.loss(samples[~held], noise).mean().backward()
        adam.step()
    return found


def trial(images: Tensor, seed: int) -> dict[tuple[str, float], tuple[float, ...]]:
    """The numbers of each generator and share of copies, on one parting of the images.   (N, 1, 8, 8) in [0, 1]"""
    parts = parted(images, seed)
    train, test, new = (rows.flatten(1) for rows in (parts.train, parts.test, parts.new))
    sets, used = scaled(train, test, new), test.std(0) > LEAST
    pair = [flowing(rows, used) for rows in (sets.train, sets.test)]
    real, real_flow = of_real(sets), surprises(flowing(sets.train[: len(new)], used), pair[1:], seed)[0]
    found = dict[tuple[str, float], tuple[float, ...]]()
    for name, generator in GENERATORS.items():
        own = generator.new(parts.new, parts.noise).flatten(1)
        copied = generator.copied(parts.train[parts.chosen], parts.noise).flatten(1)
        for share in SHARES:
            samples = torch.where(planted(share)[:, None], copied, own)
            drawn = scaled(train, test, samples)
            of_train, of_test = of_samples(drawn)
            flow_train, flow_test = surprises(flowing(drawn.samples, used), pair, seed)
            likelihoods = (of_test - real).item(), (of_train - of_test).item()
            found[name, share] = (*likelihoods, flow_test - real_flow, flow_train - flow_test)
    return found


def flowing(rows: Tensor, used: Tensor) -> Tensor:
    """Scaled rows as a flow takes them: the pixels that it is of.   (n, D), (D,) -> (n, F)"""
    return rows[:, used].float()


def check(trials: int, seed: int = 0) -> list[Cell]:
    """Every generator and share of copies, over so many partings of the digits."""
    images = all_digits()
    found = [trial(images, seed + i) for i in range(trials)]
    return [Cell(name, share, [one[name, share] for one in found]) for name in GENERATORS for share in SHARES]


def report(cells: Sequence[Cell]) -> str:
    """Means and standard deviations over trials, a line for each generator and share of copies."""
    rows = [[cell.generator, f"{100 * cell.share:g}", *map(shown, zip(*cell.values, strict=True))] for cell in cells]
    return table(["samples", "copies (%)", *NAMES], rows)


def shown(values: Sequence[float]) -> str:
    """`4.8 ± 0.3`"""
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def publish(page: Path, cells: Sequence[Cell], trials: int, seed: int) -> None:
    """Replace the table of a page, between its two markers; UserError where the page or a marker is missing."""
    said = f"Means of {trials:,} trials, ± their standard deviation; nats per pixel, times 100."
    replace_between(page, COMMAND, f"--trials {trials} --seed {seed}", f"{report(cells)}\n\n{said}")
