"""Which known variant of a measurement gives a number that someone else reports? `measure WHAT --against REFERENCE --explain 1.50`.

One distance between two sets of images is measured again in every way of bench/measure/variants.py. A variant gives a number if it
rounds to it at the digits that the number has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import torch
from torch import Tensor

from bench.datasets.storage.progress_bar import bar
from bench.errors import UserError, unknown
from bench.measure import views
from bench.measure.collect import Collected, collect
from bench.measure.image_sets import ImageSet
from bench.measure.measure import Options, chosen_for
from bench.measure.networks import FAMILIES, PIXELS, Chosen
from bench.measure.subjects import Reading, images_of
from bench.measure.variants import Side, Sizes, Variant, variants
from metrics.features import inception, lite0
from metrics.fixed_subset import subset_indices
from metrics.metric import Metric

EXPLAINED = (inception.NAME, lite0.NAME, PIXELS)  # whose Fréchet distance is explained if nothing is said, the first that is here
GAUSSIAN = ("fid", "frechet")  # begin the names of metrics of mean and covariance
INPUT_SIDES = {inception.NAME: 299}


class Claim(NamedTuple):
    """A number as it was reported."""

    text: str
    value: float
    step: float  # of its last digit

    def given_by(self, found: float) -> bool:
        """Whether that rounds to it."""
        return abs(found - self.value) <= self.step / 2 * (1 + 1e-9)


class Explained(NamedTuple):
    """A metric's value in a variant."""

    words: str
    value: float | None
    reason: str | None
    gives: bool  # the number that was claimed


def claim_of(text: str) -> Claim:
    """The number of a text; UserError where it is none."""
    try:
        number = Decimal(text)
        exponent = number.as_tuple().exponent
    except InvalidOperation:
        raise UserError(f"--explain {text}: a number with the digits that were reported is expected, such as 1.50") from None
    if not isinstance(exponent, int):
        raise UserError(f"--explain {text}: it is not finite")
    return Claim(text, float(number), 10.0**exponent)


def explain(text: str, what: str, against: str, options: Options) -> tuple[str, list[Explained]]:
    """The metric's name and its value in every variant, that of a plain measurement first. UserError as `measure` raises it."""
    claim, reading = claim_of(text), options.reading()
    sets = images_of(what, reading, "explain:"), images_of(against, reading, "--against")
    chosen = one_network(options, chosen_for(against, options, reading))
    base = Variant("as measured", Side(what, options.preparation), Side(against, options.preparation))
    task = Task(chosen, options, reading, metric_of(options, chosen, reading))
    every = distinct(variants(base, sizes_of(sets, chosen, options), reading.known))
    every = [variant for variant in every if not variant.divisor_n or task.name.startswith(GAUSSIAN)]
    found = []
    with bar("variants", len(every), 0, "images") as advance:
        for variant in every:
            found.append(task.explained(variant, claim))
            advance(1)
    return task.name, found


def distinct(every: Iterator[Variant]) -> list[Variant]:
    """Each way once, under the first of its names."""
    found = dict[Variant, Variant]()
    for variant in every:
        found.setdefault(replace(variant, words=""), variant)
    return list(found.values())


def one_network(options: Options, chosen: Chosen) -> Chosen:
    """The network whose distance is explained: that of the metric or network that was asked for, else the first that is here."""
    here = [*chosen.networks, *[PIXELS] * chosen.pixels]
    asked = [name for name in here if options.metrics and f"_{label(name)}" in options.metrics[0]]
    if options.metrics and options.metrics[0] in ("fid", "kid"):
        asked = [name for name in here if name == inception.NAME]
    name = next(iter(asked or [name for name in EXPLAINED if name in here] or here))
    return Chosen({name: chosen.networks[name]} if name in chosen.networks else {}, name == PIXELS)


def label(network: str) -> str:
    """What metrics call a network."""
    return FAMILIES[network].label if network in FAMILIES else network


def metric_of(options: Options, chosen: Chosen, reading: Reading) -> tuple[str, Metric]:
    """The metric that is explained, the Fréchet distance if nothing is said; UserError for one that there is not."""
    one = Collected(2, torch.zeros(2, 1) if chosen.pixels else None, torch.zeros(2), {name: torch.zeros(2, 1) for name in chosen.networks})
    every = views.measurable(reading.known, views.of_sets({"test": one, "samples": one}, chosen), on_request=True)
    network = next(iter(chosen.networks), PIXELS)
    plain = FAMILIES[network].frechet_name("").removesuffix("_") if network in FAMILIES else f"frechet_{PIXELS}"
    name = options.metrics[0] if options.metrics else plain
    if name not in every or len(options.metrics) > 1:
        raise UserError(f"--metrics: {unknown('metric', ','.join(options.metrics), every)}; one is explained at a time")
    return name, every[name]


def sizes_of(sets: tuple[ImageSet, ImageSet], chosen: Chosen, options: Options) -> Sizes:
    """What decides which variants there are."""
    (what, against) = ((images.shape[1], images.shape[2]) for images in sets)
    network = next(iter(chosen.networks), PIXELS)
    side = INPUT_SIDES.get(network)
    if network == lite0.NAME:
        side = lite0.input_side(torch.empty(0, 3, *against))
    return Sizes(what, against, (sets[0].count, sets[1].count), side, options.count)


class Task:
    """One metric, measured in variants; what passed is kept for those that share a side."""

    def __init__(self, chosen: Chosen, options: Options, reading: Reading, metric: tuple[str, Metric]):
        self.chosen, self.options, self.reading = chosen, options, reading
        self.name, self.metric = metric
        self.kept = dict[Side, Collected]()

    def explained(self, variant: Variant, claim: Claim) -> Explained:
        """The metric in a variant."""
        sides = {name: self.rows(side, variant.every) for name, side in (("test", variant.against), ("samples", variant.what))}
        if variant.divisor_n:
            sides = {name: divided_by_n(side) for name, side in sides.items()}
        entry = views.entries({self.name: self.metric}, views.of_sets(sides, self.chosen))[self.name]
        value = entry["value"]
        return Explained(variant.words, value, entry.get("reason"), value is not None and claim.given_by(value))

    def rows(self, side: Side, every: bool) -> Collected:
        """What is kept of a side."""
        whole = self.passed(replace(side, first=None))
        if side.first is not None:
            return of_rows(whole, torch.arange(min(side.first, len(whole))))
        return whole if every else of_rows(whole, subset_indices(len(whole), self.options.count))

    def passed(self, side: Side) -> Collected:
        """All images of a side; what changes no side but another is not read again."""
        if side not in self.kept:
            images = images_of(side.given, self.reading.prepared_as(side.preparation), "explain:")
            found = collect(images, self.chosen, images.count, self.reading.device).collected
            if len(self.kept) >= 2:  # the two of the plain measurement stay, a third is replaced
                self.kept = dict(list(self.kept.items())[:2])
            self.kept[side] = found
        return self.kept[side]


def of_rows(whole: Collected, rows: Tensor) -> Collected:
    """Some images of a set.   rows: (n,)"""
    pixels = None if whole.pixels is None else whole.pixels[rows]
    features: Mapping[str, Tensor] = {name: of[rows.to(of.device)] for name, of in whole.features.items()}
    return Collected(len(rows), pixels, whole.sharpness[rows], dict(features))


def divided_by_n(whole: Collected) -> Collected:
    """Rows of the same mean whose covariance with the divisor N - 1 is that of the given ones with the divisor N."""

    def drawn_in(rows: Tensor) -> Tensor:
        rows, n = rows.double(), len(rows)
        mean = rows.mean(0)
        return mean + (rows - mean) * ((n - 1) / n) ** 0.5

    pixels = None if whole.pixels is None else drawn_in(whole.pixels)
    return replace(whole, pixels=pixels, features={name: drawn_in(rows) for name, rows in whole.features.items()})
