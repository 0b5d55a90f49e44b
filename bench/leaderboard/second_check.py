"""Does what costs no density tell how good a density's samples will be? Rank correlations over a suite's rows. No torch here.

For each feature network that a suite's records have both on, the Fréchet distance of a mixture fitted to the codes (arXiv:1903.12436) is
set against that of interpolated latents (iFID, arXiv:2603.05630), of reconstructions, and of prior draws. Spearman's ρ is over the rows,
each the mean over its seeds; its interval is that of a bootstrap of rows, which takes them for a sample of methods. Rows of one trained
network (another density of its codes, say) have equal values of both and count once.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy  # which imports scipy.stats at its first use, for half a second

from bench.errors import UserError
from bench.leaderboard.statistics import figures
from bench.markdown import narrow, replace_between, table

COMMAND = "second-check"
RESAMPLES = 10_000
FEWEST = 5  # rows that a correlation is taken over
TRUTH = "mixture"
PREDICTORS = {"interpolated": "interpolated latents", "reconstruction": "reconstructions", "pz": "prior draws"}
STEMS = ("frechet_pca", "frechet_classifier", "fid")
Record = Mapping[str, Any]


class Correlation(NamedTuple):
    """Spearman's ρ of a predictor and the mixture's distance over rows."""

    stem: str
    predictor: str
    rows: int  # trained networks
    rho: float
    low: float  # of the 95 % interval
    high: float


class Check(NamedTuple):
    """What the records say on each feature network."""

    correlations: list[Correlation]
    distances: dict[str, dict[str, dict[str, float]]]  # of each stem, kind and row


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


def check(records: Sequence[Record], seed: int = 0) -> Check:
    """Every predictor on every network; UserError where the records have none."""
    found, distances = list[Correlation](), dict[str, dict[str, dict[str, float]]]()
    for stem in STEMS:
        of = {name: means(records, f"{stem}_{name}") for name in (TRUTH, *PREDICTORS)}
        for name, words in PREDICTORS.items():
            pairs = sorted({(of[name][row], truth) for row, truth in of[TRUTH].items() if row in of[name]})
            if len(pairs) >= FEWEST:
                x, y = np.array(pairs).T
                found.append(Correlation(stem, words, len(pairs), *rank_correlation(x, y, seed)))
                distances[stem] = of
    if not found:
        raise UserError(
            f"no {FEWEST} rows have the metrics; measure them first: python -m bench evaluate SUITE "
            f"--metrics {STEMS[0]}_mixture,{STEMS[0]}_interpolated"
        )
    return Check(found, distances)


def report(found: Check) -> str:
    """A table of correlations, and for each network one of the distances of every row."""
    rows = [
        [f"`{one.stem}_mixture`", one.predictor, str(one.rows), f"{one.rho:.2f}", f"{one.low:.2f} to {one.high:.2f}"]
        for one in found.correlations
    ]
    heads = ["Fréchet distance of a mixture's samples", "against that of", "trained networks", "ρ", "95 % interval"]
    return "\n\n".join([table(heads, rows), *(of_rows(stem, of) for stem, of in found.distances.items())])


def of_rows(stem: str, of: Mapping[str, Mapping[str, float]]) -> str:
    """The distances on one network, the mixture's least first; rows with the same values share a line."""
    lines = dict[tuple[str, ...], list[str]]()
    for row in sorted(of[TRUTH], key=lambda row: (of[TRUTH][row], row)):
        lines.setdefault(tuple(figures(of[name][row]) if row in of[name] else "" for name in of), []).append(row)
    heads = ["row", "mixture", *PREDICTORS.values()]
    return f"`{stem}_*`, means over seeds:\n\n" + narrow(heads, [[", ".join(names), *cells] for cells, names in lines.items()])


def publish(page: Path, found: Check, suite: str, seed: int) -> None:
    """Replace the table of a page, between its two markers; UserError where the page or a marker is missing."""
    replace_between(page, COMMAND, f"{suite} --seed {seed}", report(found))
