"""The ways in which tools and papers are known to differ where they measure one distance between the same two sets of images.

Reports of numbers that cannot be reproduced name these causes again and again: one side was cut to a square and the other was not, or was
resized by another filter; files went through JPEG; another split was the reference; another count of images, or the last batch was
dropped; a tool resizes to the network's input in its own way, divides covariances by N, or has the channels in the order of OpenCV.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.measure.preparation import FILTERS, Preparation
from bench.measure.subjects import DATASET, SPLITS
from bench.registry import Catalogue

COUNTS = (1000, 2000, 5000, 10_000, 20_000, 50_000)  # that papers take
BATCHES = (16, 32, 50, 64, 100, 128, 200, 250, 256, 500, 512, 1000)  # of which the last is dropped where it is not full
QUALITIES = (75, 90, 95)  # of JPEG: Pillow's own value, and common ones
FOLDERS = (*SPLITS, "val", "valid", "eval")


@dataclass(frozen=True)
class Side:
    """One side of a distance."""

    given: str
    preparation: Preparation
    first: int | None = None  # only so many images, in their order; None: all, or the random ones of a measurement


@dataclass(frozen=True)
class Variant:
    """A way to measure the distance."""

    words: str
    what: Side
    against: Side
    every: bool = False  # all images, where a measurement takes a random part
    divisor_n: bool = False  # covariances divided by N instead of N - 1


@dataclass(frozen=True)
class Sizes:
    """What is known of the two sets as they are given: (height, width) and count."""

    what: tuple[int, int]
    against: tuple[int, int]
    counts: tuple[int, int]
    input_side: int | None  # of the network's input
    count: int  # of images that a measurement takes of each


def variants(base: Variant, sizes: Sizes, known: Catalogue) -> Iterator[Variant]:
    """Every variant that may change the value, the base itself first."""
    yield base
    yield from of_covariance(base)
    yield from of_counts(base, sizes)
    yield from of_references(base, known)
    for words, what, against in of_images(base, sizes):
        yield replace(base, words=words, what=replace(base.what, preparation=what), against=replace(base.against, preparation=against))


def of_covariance(base: Variant) -> Iterator[Variant]:
    """The other divisor."""
    yield replace(base, words="covariances divided by N instead of N - 1", divisor_n=True)


def of_counts(base: Variant, sizes: Sizes) -> Iterator[Variant]:
    """Other counts of images, and last batches that were dropped."""
    what, against = sizes.counts
    if max(what, against) > sizes.count:
        yield replace(base, words="all images of both sides", every=True)
    for n in COUNTS:
        if n < max(what, against):
            yield at(base, f"the first {n:,} images of each side", min(n, what), min(n, against))
        if n < what:
            yield at(base, f"the first {n:,} measured images", n, None)
        if n < against:
            yield at(base, f"the first {n:,} images of the reference", None, n)
    for side, n in (("measured images", what), ("images of the reference", against)):
        kept = {n // size * size: size for size in reversed(BATCHES) if n > size and n % size}
        for count, size in kept.items():
            first = (count, None) if side == "measured images" else (None, count)
            yield at(base, f"{side} without the last batch of {size}", *first)
            if what == against and side == "measured images":
                yield at(base, f"both sides without the last batch of {size}", count, count)


def at(base: Variant, words: str, what: int | None, against: int | None) -> Variant:
    """The base at other counts."""
    return replace(base, words=words, what=replace(base.what, first=what), against=replace(base.against, first=against), every=True)


def of_references(base: Variant, known: Catalogue) -> Iterator[Variant]:
    """Other splits of the reference: of a dataset, or folders beside or in the one given."""
    given = base.against.given
    if given.startswith(DATASET):
        place, _, split = given.rpartition(":")
        whole = place if split in SPLITS and place.removeprefix(DATASET) in known.datasets else given
        others = [f"{whole}:{name}" for name in SPLITS]
    else:
        path = Path(given)
        beside = [path.parent / name for name in FOLDERS] if path.name in FOLDERS else []
        others = [str(folder) for folder in (*beside, *(path / name for name in FOLDERS)) if folder.is_dir()]
    for other in others:
        if other != given and other.removesuffix(":test") != given:
            yield replace(base, words=f"{other} as the reference", against=replace(base.against, given=other))


def of_images(base: Variant, sizes: Sizes) -> Iterator[tuple[str, Preparation, Preparation]]:
    """Other preparations: (words, of what is measured, of the reference)."""
    what, against = base.what.preparation, base.against.preparation
    both = (("measured images", True, False), ("reference", False, True), ("both sides", True, True))
    oblong = [side[0] != side[1] for side in (sizes.what, sizes.against)]

    def changed(words: str, of_what: bool, of_against: bool, **values: object) -> tuple[str, Preparation, Preparation]:
        one = replace(what, **values) if of_what else what  # type: ignore[arg-type]
        other = replace(against, **values) if of_against else against  # type: ignore[arg-type]
        return words, one, other

    for side, one, other in both:
        if (oblong[0] or not one) and (oblong[1] or not other):
            yield changed(f"{side}: the largest square in the middle", one, other, crop=True)
    if sizes.what != sizes.against:
        for by in FILTERS:
            words = f"reference resized to the size of the measured images, {by}"
            yield changed(words, False, True, size=sizes.what, filter=by)
            if oblong[1] and (min(sizes.against),) * 2 != sizes.what:  # else the square alone has that size
                yield changed(f"{words}, after its largest square was cut out", False, True, size=sizes.what, filter=by, crop=True)
            yield changed(f"measured images resized to the size of the reference, {by}", True, False, size=sizes.against, filter=by)
    if sizes.input_side and (sizes.input_side,) * 2 not in (sizes.what, sizes.against):
        square = (sizes.input_side, sizes.input_side)
        for by in FILTERS:
            for side, one, other in both:
                yield changed(
                    f"{side} resized to the network's {sizes.input_side}×{sizes.input_side} beforehand, {by}",
                    one,
                    other,
                    size=square,
                    filter=by,
                )
    for quality in QUALITIES:
        for side, one, other in both:
            yield changed(f"{side} through JPEG of quality {quality}", one, other, jpeg=quality)
    for side, one, other in both:
        yield changed(f"{side} with the channels reversed", one, other, reversed_channels=True)
