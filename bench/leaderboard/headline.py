"""The columns of a leaderboard's first screen: those that its suite names, or the usual ones. No torch here.

A name is that of a metric or cost of the records, or one without its end _qz or _pz: then a row's value is that of its fitted
density's samples where it has one, and of its prior's otherwise, since those are the samples that a reader would draw.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import UserError, unknown
from bench.leaderboard.rows import Column, Row
from bench.suites.schema import MOST_HEADS, Suite

USUAL = (
    "rec_sse_test",
    "frechet_pca",
    "overfit_ratio",
    "sliced_wasserstein_prior",
    "factorvae_score",
    "train_seconds",
    "parameter_count",
)
ENDS = ("", "_qz", "_pz")  # of a metric's name; the first that a row has a value for
COSTS = ("train_seconds", "density_seconds", "evaluation_seconds", "images_per_second", "peak_memory_mib", "parameter_count")
SHORT = {
    "rec_sse_test": "SSE",
    "rec_bce_sum_test": "BCE",
    "rec_l1_per_pixel_x100_test": "L1",
    "overfit_gap": "gap",
    "overfit_ratio": "test/train",
    "frechet_pca": "samples (PCA)",
    "frechet_pixels": "samples (pixels)",
    "frechet_classifier": "samples (classifier)",
    "frechet_lite0": "samples (lite0)",
    "frechet_wavelet": "wavelets",
    "fid": "FID",
    "sliced_wasserstein_prior": "code–prior",
    "mmd_prior": "MMD",
    "factorvae_score": "FactorVAE",
    "mig": "MIG",
    "train_seconds": "seconds",
    "parameter_count": "params",
}
FLOOR = "training images against test images"
REFERENCES = {  # a fact of the dataset to read a column's values by, and what it is of
    "rec_sse_test": ("pca_sse_test", "linear PCA of as many components"),
    "frechet_pca": ("frechet_pca_floor", FLOOR),
    "frechet_pixels": ("frechet_pixels_floor", FLOOR),
    "frechet_classifier": ("frechet_classifier_floor", FLOOR),
    "frechet_lite0": ("frechet_lite0_floor", FLOOR),
    "frechet_wavelet": ("frechet_wavelet_floor", FLOOR),
    "fid": ("fid_floor", FLOOR),
}


@dataclass(frozen=True)
class Head:
    """A column of the first screen: what stands over it, and the columns of the records that a row's values are from."""

    name: str  # as the suite names it
    title: str
    columns: tuple[Column, ...]  # a row's values are those of the first in which it has any

    @property
    def better(self) -> str:
        """lower, higher or neither; a cost has no better: what a machine did meanwhile is in it."""
        return "" if self.columns[0].group == "cost" else self.columns[0].better

    def column(self, row: Row) -> Column | None:
        """That of the row's values; None where it has none."""
        return next((column for column in self.columns if column.values(row)), None)

    def values(self, row: Row) -> Mapping[int, float]:
        """{seed: value} of the row's finished runs."""
        column = self.column(row)
        return column.values(row) if column else {}


def names(suite: Suite) -> tuple[str, ...]:
    """What the first screen shows, if the records have it."""
    return suite.headline or USUAL


def titles(suite: Suite) -> dict[str, str]:
    """Titles of the metrics and costs that the first screen may show, by their names in records."""
    return {name + end: SHORT.get(name + end, name + end) for name in names(suite) for end in ENDS}


def heads(chosen: Iterable[str], columns: Iterable[Column], rows: Sequence[Row]) -> list[Head]:
    """Of the chosen names those that have a value in some row, as many as a first screen has room for.

    Of a metric that was measured by several protocols, the one that most rows have.
    """
    filled = {column: sum(bool(column.values(row)) for row in rows) for column in columns}
    best: dict[str, Column] = {}
    for column, count in filled.items():
        if count and count > filled.get(best.get(column.name, column), 0) * (column.name in best):
            best[column.name] = column
    found = {name: tuple(best[name + end] for end in ENDS if name + end in best) for name in chosen}
    shown = [name for name in found if found[name]][:MOST_HEADS]
    titles = [SHORT.get(name, name) for name in shown]
    return [Head(name, title if titles.count(title) == 1 else name, found[name]) for name, title in zip(shown, titles, strict=True)]


def check(suite: Suite, metrics: Iterable[str]) -> None:
    """UserError for a name of the suite's headline that is none of those metrics, with or without its end, and no cost."""
    known = {*metrics, *COSTS}
    known |= {name.removesuffix(end) for name in known for end in ENDS if end and name.endswith(end)}
    for i, name in enumerate(suite.headline):
        if name not in known:
            raise UserError(f"headline[{i}]: {unknown('metric', name, known)}")


def reference(head: Head, columns: Mapping[Column, str], rows: Sequence[Row]) -> tuple[str, float] | None:
    """What a value of the column may be read by, in words and as a number; None if the records have none, or rows differ in it."""
    name, words = REFERENCES.get(head.name, ("", ""))
    values = {value for column in columns if column.name == name for row in rows for value in column.values(row).values()}
    return (words, values.pop()) if len(values) == 1 else None
