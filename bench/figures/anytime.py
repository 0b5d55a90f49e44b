"""Quality against time: what a suite's rows have at shares of their budgets, by `run --measure-at`, and at the end, by their records."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.figures import canvas
from bench.figures.training import Line, logarithmic
from bench.markdown import counted
from bench.records.store import Store, metrics_in
from bench.suites.schema import Suite
from metrics.metric import Unavailable

END = 1.0  # the share of a budget at which a record stands
Measured = Sequence[Mapping[str, float]]  # of a run: rows of its file, and what its record says


def measured(store: Store, suite: Suite) -> dict[str, list[Measured]]:
    """Each row's finished runs that were measured while they trained, seed by seed."""
    found: dict[str, list[Measured]] = {}
    for label, run in suite.runs_anywhere():
        rows, record = store.anytime(run), store.record(run)
        if rows and record and record["status"] == "done":
            values = {name: record["metrics"].get(name, {}).get("value") for name in metrics_in(rows)}
            end = {"asked": END, "seconds": record["cost"]["train_seconds"]["value"]}
            last = end | {name: value for name, value in values.items() if value is not None}
            found.setdefault(label, []).append([*rows, last])
    return found


def line(runs: Sequence[Measured], metric: str) -> Line:
    """Means over the seeds of seconds and of a metric, at each share that all of them have.   -> seconds, values"""
    by_share: dict[float, list[tuple[float, float]]] = {}
    for rows in runs:
        for row in rows:
            if metric in row:
                by_share.setdefault(row["asked"], []).append((row["seconds"], row[metric]))
    whole = [by_share[share] for share in sorted(by_share) if len(by_share[share]) == len(runs)]
    return [fmean(seconds for seconds, _ in points) for points in whole], [fmean(value for _, value in points) for points in whole]


def panel(axes: Axes, title: str, lines: Mapping[str, Line], numbers: Mapping[str, int]) -> None:
    """One metric of all rows."""
    for label, (seconds, values) in lines.items():
        axes.plot(seconds, values, label=label, marker=".", markersize=3, **canvas.stroke(numbers[label]))
    axes.set(xlabel="seconds of training", ylabel=title, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # a decade is about all that there is
    canvas.plain(axes.xaxis)
    if logarithmic(lines):
        axes.set_yscale("log")
        canvas.plain(axes.yaxis)
    canvas.legend(axes, loc="center left", bbox_to_anchor=(1, 0.5))


def draw(store: Store, suite: Suite, titles: Mapping[str, str]) -> Figure:
    """A plot a metric; Unavailable where no finished run was measured while it trained.

    titles: of metrics, in the order in which they are drawn; others come behind them, under their names.
    """
    found = measured(store, suite)
    if not found:
        raise Unavailable("no finished run here was measured while it trained, as run --measure-at 0.1,0.5 does")
    numbers = {label: number for number, label in enumerate(found)}
    has = metrics_in(row for runs in found.values() for rows in runs for row in rows)
    metrics = [*(name for name in titles if name in has), *(name for name in has if name not in titles)]
    lines = {metric: {label: line(runs, metric) for label, runs in found.items()} for metric in metrics}
    drawn = {metric: {label: points for label, points in rows.items() if points[0]} for metric, rows in lines.items()}
    seeds = max(map(len, found.values()))
    caption = (
        f"Suite {suite.name}, {suite.held_out} images: metrics while rows train, against the time that they have trained; "
        f"means of {counted(seeds, 'seed')}. The last point of each is its record."
    )
    figure, axes = canvas.of_plots(caption, len(metrics), 1, height=1.8)
    for place, metric in zip(axes, metrics, strict=True):
        panel(place, titles.get(metric, metric), drawn[metric], numbers)
    return figure
