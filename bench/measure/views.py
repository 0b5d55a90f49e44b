"""What has passed as the views that the project's metrics are functions of, and the metrics in the words of a measurement.

The metrics are those of the catalogue, which evaluation computes of runs: there is no second formula. A measurement has some of their
views: `test` is the reference, `samples` what is measured, `reconstructions` what was made of the reference.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import generator
from bench.errors import UserError
from bench.evaluation import code_views, feature_views
from bench.evaluation.evaluate import SAMPLES, entry_of
from bench.measure.collect import Collected, Pairs
from bench.measure.networks import FAMILIES, Chosen
from bench.measure.statistics_file import Statistics
from bench.registry import Catalogue
from metrics.features import lite0
from metrics.features.halves import halves_metrics
from metrics.frechet import Gaussian, fit
from metrics.latent import Codes
from metrics.metric import Metric, Unavailable, Views
from metrics.similarity import PAIRED_METRICS

Maker = Callable[[Views], Any]
Side = Collected | Statistics
REFERENCE, TRAIN = "reference", "train"
ROWS = ("random training images", "random rows")  # in protocols of metrics of codes, none of which are of training images
EXTRA = [*PAIRED_METRICS, *(metric for name, family in FAMILIES.items() if name != lite0.NAME for metric in halves_metrics(family))]
WORDS = (  # of protocols, where runs are not what is measured
    ("decoded prior draws", "measured images"),
    ("their reconstructions from one noise draw", "their reconstructions"),
    ("; one noise draw; pixels", "; pixels"),
    ("; batch norm in evaluation mode", ""),
    ("mean codes of up to", "codes of up to"),
    (" with one noise draw", ""),
    (f"{REFERENCE} codes", "codes"),
    ("prior draws", "draws of N(0, I)"),
)
OF_COPIES = (".copies", ".nearest")  # end the views of images among training images
PER_IMAGE: dict[str, Callable[[Pairs], Tensor | str]] = {  # means over images, which have intervals
    "rec_sse": lambda pairs: pairs.errors.sse,
    "rec_l1_per_pixel_x100": lambda pairs: 100 * pairs.errors.l1,
    "rec_bce_sum": lambda pairs: torch.as_tensor(pairs.errors.bce),
    "psnr": lambda pairs: pairs.psnr,
    "ssim": lambda pairs: pairs.ssim,
}


class Given:
    """Features that were collected while images passed, in the place of networks."""

    def __init__(self, chosen: Chosen):
        self.chosen = chosen

    def protocol(self, network: str) -> str:
        """What a protocol says of a network; Unavailable where it is absent."""
        return self.chosen.protocol(network)

    def of(self, network: str, images: Any, keep: bool) -> Tensor:
        """Those of a set.   Collected -> (n, D)"""
        features: Tensor = images.features[network]
        return features


def of_sets(sides: Mapping[str, Side], chosen: Chosen) -> dict[str, Maker]:
    """Views of sets of images, by the names that evaluation has for them."""
    names = [*chosen.networks, *chosen.absent]
    absent = [name for name in feature_views.SETS if name not in sides]
    every = feature_views.makers(names, Given(chosen))
    found = {view: maker for view, maker in every.items() if view.partition(".")[0] not in absent and view != "counts.train"}
    if "test" not in sides:
        alone = ("samples.features", "samples.gaussian", feature_views.ON_NETWORKS)
        found = {view: maker for view, maker in found.items() if view.startswith(alone)}
    for name, side in sides.items():
        match side:
            case Collected():
                found |= of_collected(name, side)
            case Statistics():
                found |= of_statistics(name, side, chosen)
    found["counts"] = partial(counts, [side for name, side in sides.items() if name != TRAIN])
    if TRAIN in sides:  # beside a reference alone
        found["counts.train"] = partial(counts, [sides["test"], sides[TRAIN]])
    return found


def of_collected(name: str, side: Collected) -> dict[str, Maker]:
    """Views of a set that passed."""
    found: dict[str, Maker] = {f"{name}.eight_bit": lambda views: side, f"{name}.sharpness": partial(sharp, side)}
    if side.pixels is not None:
        found[f"{name}.features.pixels"] = lambda views: side.pixels
    return found


def sharp(side: Collected, views: Views) -> Tensor:
    """Sharpness of each image; Unavailable for images that are too small for it."""
    if side.sharpness.isnan().any():
        raise Unavailable("images of fewer than three rows or columns have no edges")
    return side.sharpness


def of_statistics(name: str, side: Statistics, chosen: Chosen) -> dict[str, Maker]:
    """Views of mean and covariance alone."""

    def no_rows(views: Views) -> Any:
        raise Unavailable(f"{side.given} has only mean and covariance of the features")

    views = ("features", "halves", "precision_recall") if name == "test" else ("features", "precision_recall")
    found: dict[str, Maker] = {f"{name}.{view}.{network}": no_rows for view in views for network in chosen.networks}
    return found | {f"{name}.gaussian.{network}": lambda views: side.gaussian for network in chosen.networks}


def counts(sides: Sequence[Side], views: Views) -> str:
    """`10,000 against 10,000 images`, as protocols end."""
    found = [len(side) if isinstance(side, Collected) else side.count for side in sides]
    one, other = ("an unknown count" if n is None else f"{n:,}" for n in (found * 2)[:2])
    return f"{one} against {other} images"


def of_pairs(pairs: Pairs, chosen: Chosen) -> dict[str, Maker]:
    """Views of originals and reconstructions."""

    def similar(views: Views) -> Tensor:
        if isinstance(pairs.ssim, str):
            raise Unavailable(pairs.ssim)
        return pairs.ssim

    sides = {"test": pairs.originals.collected, "reconstructions": pairs.reconstructions.collected}
    return of_sets(sides, chosen) | {
        "test.errors.draw": lambda views: pairs.errors,
        "pairs.psnr": lambda views: pairs.psnr,
        "pairs.ssim": similar,
    }


def of_codes(rows: Tensor, factors: Tensor | None) -> dict[str, Maker]:
    """Views of codes, against draws of N(0, I), and beside factors of variation where there are some.   (N, D), (N, K)"""
    codes = Codes(rows, rows, None)
    n = min(SAMPLES, len(rows))

    def draws(views: Views) -> Tensor:
        return torch.randn(n, rows.shape[1], generator=generator(rows.device, 0, "measure", "prior"), device=rows.device)

    found: dict[str, Maker] = {"test.codes": lambda views: codes, "prior.codes": draws}
    if factors is not None:
        found |= {
            "train.codes": lambda views: codes,
            "train.factors": lambda views: factors,
            "train.dci": lambda views: code_views.scored(views["train.codes"], views["train.factors"]),
        }
    return found


def name_of(metric: Metric) -> str:
    """What a measurement calls a metric: `fid` for `fid_pz`, `rec_sse` for `rec_sse_{held_out}`."""
    name = metric.name.removesuffix("_{held_out}") if metric.name.startswith("rec_") else metric.name.replace("{held_out}", REFERENCE)
    return re.sub("_pz(?=_|$)", "", name)


def measurable(known: Catalogue, makers: Mapping[str, Maker], on_request: bool = False) -> dict[str, Metric]:
    """Every metric whose views there are, by the name that it has here.

    Of those on request only lite0's and, beside training images, those of copies, unless others are asked for.
    """
    every = {
        name: metric
        for name, metric in known.every_metric.items()
        if on_request or name in known.metrics or lite0.NAME in name or any(need.endswith(OF_COPIES) for need in metric.needs)
    }
    own = [known.measured_by(name) for name, metric in every.items() if set(metric.needs) <= makers.keys()]
    return {name_of(metric): metric for metric in [*own, *(metric for metric in EXTRA if set(metric.needs) <= makers.keys())]}


def entries(metrics: Mapping[str, Metric], makers: Mapping[str, Maker]) -> dict[str, dict[str, Any]]:
    """The entry of each metric, as in a record of a run; its protocol in the words of a measurement."""
    views, found = Views(makers), dict[str, dict[str, Any]]()
    words = [*WORDS, ROWS] if "train.codes" in makers else WORDS
    for name, metric in metrics.items():
        entry = entry_of(metric.on(REFERENCE), views)
        found[name] = entry | {"protocol": in_words(entry["protocol"], words)}
    return found


def in_words(protocol: str, words: Iterable[tuple[str, str]]) -> str:
    """A protocol of runs as that of a measurement."""
    return reduce(lambda text, pair: text.replace(*pair), words, protocol)


def fitted(features: Tensor) -> Gaussian:
    """The Gaussian of rows of features; UserError of fewer than two.   (N, D)"""
    try:
        return fit(features)
    except Unavailable as reason:
        raise UserError(f"no mean and covariance: {reason}") from None
