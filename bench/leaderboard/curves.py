"""Training curves of a suite's rows, drawn from their runs' curve files (SPEC 7, F16). No torch here."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import UserError
from bench.files import write
from bench.leaderboard.statistics import mean
from bench.records.store import Store, read_curve
from bench.suites.names import options
from bench.suites.schema import Suite

TERMS = ("autoencoder.reconstruction", "autoencoder.loss", "autoencoder.aevb_kl", "autoencoder.elbo")  # those that the runs have
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")  # Okabe and Ito's, without yellow
DASHES = ("-", "--", ":", "-.")  # for each seven rows
Curve = Sequence[Mapping[str, float]]  # rows of {"step": ..., term: ...}


def curves(store: Store, suite: Suite) -> dict[str, list[Curve]]:
    """What each row's finished runs left, seed by seed; rows without any are left out."""
    found: dict[str, list[Curve]] = {}
    for label, run in suite.runs_anywhere():
        path = store.folder(run) / "curve.jsonl"
        if path.exists():
            found.setdefault(label, []).append(read_curve(path))
    return found


def mean_curve(seeds: Sequence[Curve], term: str) -> tuple[list[float], list[float]]:
    """Steps, and the mean of a term over the seeds that have come so far; empty for a term that these curves do not have."""
    by_step: dict[float, list[float]] = {}
    for row in (row for curve in seeds for row in curve if term in row):
        by_step.setdefault(row["step"], []).append(row[term])
    return sorted(by_step), [mean(by_step[step]) for step in sorted(by_step)]


def draw(out: Path, suite: Suite) -> Path:
    """Write leaderboards/<suite>.curves.png; -> its path. UserError where no run has left a curve."""
    store = Store(out, suite.name)
    found = curves(store, suite)
    if not found:
        where, again = out / "runs", f"python -m bench run {options(suite)}"
        raise UserError(f"no run of {suite.name} in {where} has left a training curve; train it first: {again}")
    from matplotlib.figure import Figure  # here, so that a leaderboard needs none

    shown = [term for term in TERMS if any(term in row for seeds in found.values() for curve in seeds for row in curve)] or [TERMS[0]]
    figure = Figure(figsize=(11, 4 * ((len(shown) + 1) // 2)), layout="constrained")
    plots = list(figure.subplots((len(shown) + 1) // 2, 2, squeeze=False).flat)
    for axes, term in zip(plots, shown, strict=False):
        lowest = 1.0
        for number, (label, seeds) in enumerate(found.items()):
            steps, values = mean_curve(seeds, term)
            colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS) % len(DASHES)]
            axes.plot(steps, values, label=label, linewidth=1, color=colour, linestyle=dashes)
            lowest = min([lowest, *values])
        axes.set(title=term, xlabel="step", yscale="log" if lowest > 0 else "linear")
        axes.grid(alpha=0.3)
    for axes in plots[len(shown) :]:
        axes.set_axis_off()
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    path = picture(store)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata={"Software": None})  # no version: the same curves are the same bytes
    write(path, buffer.getvalue())
    return path


def picture(store: Store) -> Path:
    """Where a suite's curves are kept."""
    return store.boards / f"{store.suite}.curves.png"
