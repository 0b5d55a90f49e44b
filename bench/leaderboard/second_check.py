"""Does what costs no density tell how good a density's samples will be? Rank correlations over a suite's rows. No torch here.

For each feature network that a suite's records have both on, the Fréchet distance of a mixture fitted to the codes (arXiv:1903.12436) is
set against that of interpolated latents (iFID, arXiv:2603.05630), of reconstructions, and of prior draws. Spearman's ρ is over the rows,
each the mean over its seeds; its interval is that of a bootstrap of rows, which takes them for a sample of methods.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.errors import UserError
from bench.markdown import replace_between, table

COMMAND = "second-check"
RESAMPLES = 10_000
FEWEST = 5  # rows that a correlation is taken over
PREDICTORS = {"interpolated": "interpolated latents", "reconstruction": "reconstructions", "pz": "prior draws"}
STEMS = ("frechet_pca", "frechet_classifier", "fid")
Record = Mapping[str, Any]


class Correlation(NamedTuple):
    """Spearman's ρ of a predictor and the mixture's distance over rows."""

    stem: str
    predictor: str
    rows: int
    rho: float
    low: float  # of the 95 % interval
    high: float


def means(records: Iterable[Record], metric: str) -> dict[str, float]:
    """Each row's mean over its finished seeds, of rows that have a value of every seed."""
    found: dict[str, list[float | None]] = {}
    for record in records:
        if record["status"] == "done":
            found.setdefault(record["label"], []).append(record["metrics"].get(metric, {}).get("value"))
    whole = {label: [value for value in values if value is not None] for label, values in found.items()}
    return {label: float(np.mean(values)) for label, values in whole.items() if values and len(values) == len(found[label])}


def rank_correlation(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Spearman's ρ and the 2.5 and 97.5 % quantiles of its bootstrap over pairs.   (N,), (N,) -> ρ, low, high"""
    rng, n = np.random.default_rng(seed), len(x)
    index = rng.integers(n, size=(RESAMPLES, n))
    rx, ry = (scipy.stats.rankdata(values[index], axis=1) for values in (x, y))
    rx, ry = (ranks - ranks.mean(1, keepdims=True) for ranks in (rx, ry))
    spread = np.sqrt((rx**2).sum(1) * (ry**2).sum(1))
    drawn = (rx * ry).sum(1)[spread > 0] / spread[spread > 0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(scipy.stats.spearmanr(x, y).statistic), float(low), float(high)


def check(records: Sequence[Record], seed: int = 0) -> list[Correlation]:
    """Every predictor on every network; UserError where the records have none."""
    found = []
    for stem in STEMS:
        truth = means(records, f"{stem}_mixture")
        for name, words in PREDICTORS.items():
            values = means(records, f"{stem}_{name}")
            rows = sorted(set(truth) & set(values))
            if len(rows) >= FEWEST:
                x, y = (np.array([of[row] for row in rows]) for of in (values, truth))
                found.append(Correlation(stem, words, len(rows), *rank_correlation(x, y, seed)))
    if not found:
        raise UserError(
            f"no {FEWEST} rows have the metrics; measure them first: python -m bench evaluate SUITE "
            f"--metrics {STEMS[0]}_mixture,{STEMS[0]}_interpolated"
        )
    return found


def report(found: Iterable[Correlation]) -> str:
    """A table, a line for each network and predictor."""
    rows = [[f"{one.stem}_mixture", one.predictor, str(one.rows), f"{one.rho:.2f}", f"{one.low:.2f} to {one.high:.2f}"] for one in found]
    return table(["Fréchet distance of a mixture's samples", "against that of", "rows", "ρ", "95 % interval"], rows)


def publish(page: Path, found: Sequence[Correlation], suite: str, seed: int) -> None:
    """Replace the table of a page, between its two markers; UserError where the page or a marker is missing."""
    replace_between(page, COMMAND, f"{suite} --seed {seed}", report(found))
