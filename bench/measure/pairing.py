"""Two sets side by side: images of one size, and pairs by the names of files where both sides have some, else by their order."""

from pathlib import Path

from bench.errors import UserError
from bench.measure.image_sets import ImageSet


def check_shapes(one: ImageSet, other: ImageSet) -> None:
    """UserError for images of two sizes or kinds."""
    if one.shape != other.shape:
        words = ["×".join(map(str, images.shape)) for images in (one, other)]
        how = "grey and colour" if one.shape[1:] == other.shape[1:] else "bring both to one with --size"
        raise UserError(f"{one.given} has images of {words[0]} (channels, height, width), {other.given} of {words[1]}; {how}")


def check_paired(one: ImageSet, other: ImageSet) -> None:
    """UserError where an image has no partner."""
    if one.names is None or other.names is None:
        if one.count != other.count:
            raise UserError(f"{one.given} has {one.count:,} images, {other.given} {other.count:,}; pairs are by order")
        return
    stems, others = stems_of(one.given, one.names), stems_of(other.given, other.names)
    check_partners(one.given, stems, other.given, others)
    check_partners(other.given, others, one.given, stems)
    if stems != others:
        raise UserError(f"{one.given} and {other.given}: their endings put the same names in two orders; use one ending in each folder")


def stems_of(given: str, names: tuple[str, ...]) -> list[str]:
    """Names without their endings; UserError where two are one."""
    stems, seen = [str(Path(name).with_suffix("")) for name in names], set[str]()
    for stem in stems:
        if stem in seen:
            raise UserError(f"{given}: {stem} is there with two endings; pairs are by name without the ending")
        seen.add(stem)
    return stems


def check_partners(given: str, stems: list[str], other: str, others: list[str]) -> None:
    """UserError where the other side lacks a name."""
    if lonely := sorted(set(stems) - set(others)):
        raise UserError(f"{other}: {len(lonely)} of {len(stems)} images of {given} have no partner, the first {lonely[0]}")
