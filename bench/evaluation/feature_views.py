"""Views on the features of networks: rows of each set of images, the Gaussian fitted to them, how they lie among the test images."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from torch import Tensor

from metrics.features.halves import halves_distance
from metrics.frechet import Gaussian, fit
from metrics.metric import Metric, Unavailable, Views
from metrics.precision_recall import Real, Scores, real, scores

SETS = ("test", "train", "samples", "density_samples", "reconstructions", "interpolated", "mixture")
REFERENCES = ("test", "train")  # sets that are the same for every method
ON_NETWORKS = "protocol."  # begins the view of what a network is

Maker = Callable[[Views], Any]


class Features(Protocol):
    """Feature networks of one dataset."""

    def protocol(self, network: str) -> str:
        """What a protocol says of a network; Unavailable without its weights."""

    def of(self, network: str, images: Tensor, keep: bool) -> Tensor:
        """(N, C, H, W) uint8 -> (N, D) float32; `keep` for sets that other runs have too."""


def networks_of(metrics: Iterable[Metric]) -> list[str]:
    """The networks whose features the metrics are on."""
    names = {detail.removeprefix(ON_NETWORKS) for metric in metrics for detail in metric.details if detail.startswith(ON_NETWORKS)}
    return sorted(names)


def makers(networks: Iterable[str], features: Features | None) -> dict[str, Maker]:
    """The views of every network; they stand on `<set>.eight_bit`."""

    def given() -> Features:
        if features is None:
            raise Unavailable("no feature networks see these data")
        return features

    found: dict[str, Maker] = {"counts": partial(counts, "test", "test"), "counts.train": partial(counts, "test", "train")}
    for network in networks:
        found[f"{ON_NETWORKS}{network}"] = partial(network_protocol, network, given)
        for name in SETS:
            found[f"{name}.features.{network}"] = partial(rows, name, network, given)
            found[f"{name}.gaussian.{network}"] = partial(gaussian, f"{name}.features.{network}")
            found[f"{name}.precision_recall.{network}"] = partial(precision_recall, name, network)
        found[f"test.halves.{network}"] = partial(halves, network)
        found[f"real.{network}"] = partial(references, network)
    return found


def counts(one: str, other: str, views: Views) -> str:
    """`10,000 against 10,000 images`"""
    sizes = [len(views[f"{name}.eight_bit"]) for name in (one, other)]
    return f"{sizes[0]:,} against {sizes[1]:,} images"


def network_protocol(network: str, given: Callable[[], Features], views: Views) -> str:
    """What a protocol says of a network."""
    return given().protocol(network)


def rows(name: str, network: str, given: Callable[[], Features], views: Views) -> Tensor:
    """A network's features of a set; without its weights nothing is decoded for it.   -> (N, D)"""
    features = given()
    features.protocol(network)
    return features.of(network, views[f"{name}.eight_bit"], name in REFERENCES)


def gaussian(of: str, views: Views) -> Gaussian:
    """The Gaussian fitted to rows."""
    return fit(views[of])


def halves(network: str, views: Views) -> Tensor:
    """The Fréchet distance between two halves of the test images.   -> ()"""
    return halves_distance(views[f"test.features.{network}"])


def references(network: str, views: Views) -> Real:
    """The test images' side of precision and recall."""
    return real(views[f"test.features.{network}"])


def precision_recall(name: str, network: str, views: Views) -> Scores:
    """Precision, recall, density, coverage of a set among the test images."""
    return scores(views[f"real.{network}"], views[f"{name}.features.{network}"])
