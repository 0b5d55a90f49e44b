"""A distance in multiples of the floor: of the Fréchet distance between two random halves of the real images.

The scale of a Fréchet distance is that of its network's features, so that only multiples of what real images themselves are at mean
something without others beside them. Heusel et al., arXiv:1706.08500, Eq. 6. The halves have half the images, and a Fréchet distance is
too high by about a constant over their count: the floor is about twice that of the whole set, and multiples are too small by as much.
"""

import torch
from torch import Tensor

from metrics.features.scores import FRECHET, SAMPLES, Family
from metrics.fixed_subset import subset_indices
from metrics.frechet import Gaussian, distance, fit
from metrics.metric import Metric

BIAS = "too small: the floor is that of half as many images, about twice as high as at the full count; compare at one count only"


def halves_distance(features: Tensor) -> Tensor:
    """The Fréchet distance between two random halves of the rows, always the same ones.   (N, D) -> (); Unavailable of fewer than 4"""
    first = torch.zeros(len(features), dtype=torch.bool)
    first[subset_indices(len(features), len(features) // 2)] = True
    first = first.to(features.device)
    return distance(fit(features[first]), fit(features[~first]))


def multiple(real: Gaussian, side: Gaussian, floor: Tensor) -> Tensor:
    """A Fréchet distance over the floor.   -> ()"""
    return distance(real, side) / floor


def halves_metrics(family: Family) -> list[Metric]:
    """The floor of a network's features, and the distances of samples and reconstructions in multiples of it."""
    halves = f"test.halves.{family.network}"
    stem = family.frechet_name("halves").removesuffix("_halves")
    group = f"samples, {family.label} features"
    details = (f"protocol.{family.network}", "counts")
    sides = {**SAMPLES, "reconstruction": ("reconstructions", "their reconstructions from one noise draw")}
    floor = Metric(
        name=f"{stem}_halves",
        fn=lambda found: found,
        needs=(halves,),
        protocol="Fréchet distance of two random halves of {held_out} images",
        source=FRECHET,
        group="reference",
        details=details[:1],
        bias="too high, by about a constant over the count of images in a half",
    )
    multiples = [
        Metric(
            name=f"{stem}_{of}_over_halves",
            fn=multiple,
            needs=(f"test.gaussian.{family.network}", f"{side}.gaussian.{family.network}", halves),
            protocol=f"Fréchet distance of {{held_out}} images and {words}, over {stem}_halves",
            source=FRECHET,
            better="lower",
            group=group,
            details=details,
            bias=BIAS,
        )
        for of, (side, words) in sides.items()
    ]
    return [floor, *multiples]
