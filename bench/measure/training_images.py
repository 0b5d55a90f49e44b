"""Training images beside what a model made that was trained on them: does it copy them, and how likely are new images to it?

Pixels of all of them are compared, as evaluation compares a run's samples with the images that it was trained on; their features are
those of as many as there are reference images, at random.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.environment import release_freed_memory
from bench.measure.collect import Collected, Keeper
from bench.measure.image_sets import ImageSet
from bench.measure.networks import Chosen
from metrics import copies, neighbours
from metrics.fixed_subset import subset, subset_indices
from metrics.frechet import pixel_features
from metrics.metric import Views

HELD = 2**28  # values of pixels that are kept, 1 GiB; of more the images pass anew for each comparison
COMPARED = ("test", "samples")  # sets that are compared with training images


@dataclass(frozen=True)
class Training:
    """Training images that have passed."""

    collected: Collected  # of some of them
    about: dict[str, Any]  # what a record says of them
    fitted: Tensor  # (n, F) rows of pixels that cells are fitted to
    batches: Callable[[], Iterable[Tensor]]  # (b, F) rows of pixels of all


def collect_training(images: ImageSet, chosen: Chosen, count: int, device: torch.device) -> Training:
    """They pass once, and anew where their pixels are too many to be kept.   count: of those whose features are kept"""
    keeper, digest = Keeper(images, chosen, count, device), hashlib.sha256()
    of_cells, start = torch.zeros(images.count, dtype=torch.bool), 0
    of_cells[subset_indices(images.count, copies.FITTED)] = True
    rows, fitted, held = list[Tensor](), list[Tensor](), True
    for block in images.passing(digest.update):
        keeper.add(block)
        if chosen.pixels:
            pixels = pixel_features(block.to(device))
            fitted.append(pixels[of_cells[start : start + len(block)].to(device)])
            start += len(block)
            held = images.count * pixels.shape[1] <= HELD
            if held:
                rows.append(pixels)
        release_freed_memory()

    def batches() -> Iterable[Tensor]:
        return rows if held else (pixel_features(block.to(device)) for block in images.passing())

    about = images.about(digest.hexdigest())
    return Training(keeper.collected(), about, torch.cat(fitted) if fitted else torch.empty(0), batches)


def makers(training: Training, sides: Mapping[str, Any]) -> dict[str, Callable[[Views], Any]]:
    """Views of how the images of each side lie among the training images, where pixels of both are there."""
    found: dict[str, Callable[[Views], Any]] = {"train.cells": lambda views: copies.centres(training.fitted)}
    for name in COMPARED:
        side = sides.get(name)
        if isinstance(side, Collected) and side.pixels is not None:
            found[f"{name}.nearest"] = partial(nearest, training, name)
            found[f"{name}.copies"] = partial(among, training, name)
    return found


def queries(name: str, views: Views) -> Tensor:
    """The images of a set that are compared.   -> (n, F)"""
    return subset(views[f"{name}.features.pixels"], neighbours.IMAGES)


def nearest(training: Training, name: str, views: Views) -> Tensor:
    """Their distances to the nearest training image.   -> (n,)"""
    return neighbours.nearest(queries(name, views), training.batches())


def among(training: Training, name: str, views: Views) -> copies.Copies:
    """How they lie among the training images."""
    return copies.copies(queries(name, views), training.batches, views["train.cells"])
