"""The rate-distortion plane of a suite: what its codes carry against what its reconstructions lose (SPEC 7; Alemi, arXiv:1711.00464)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures import canvas
from bench.markdown import counted
from metrics.metric import Unavailable

RATE, ERROR = "rate", "rec_sse_{held_out}"
LIKELIHOODS = ("bernoulli", "gaussian", "laplace")
NEGATIVE_ELBO = "distortion_{likelihood}"


@dataclass(frozen=True)
class Row:
    """A row's seeds in the plane."""

    label: str
    points: list[tuple[float, float]]  # rate and distortion of a seed

    @property
    def middle(self) -> tuple[float, float]:
        """The mean over seeds."""
        rates, distortions = zip(*self.points, strict=True)
        return sum(rates) / len(rates), sum(distortions) / len(distortions)


def value(record: Mapping[str, Any], name: str) -> float | None:
    """A metric of a record; None where it is absent."""
    found: float | None = record["metrics"].get(name, {}).get("value")
    return found


def rows(records: Iterable[Mapping[str, Any]], distortion: str) -> list[Row]:
    """Rows in the order of the records, of the runs that have a rate and this distortion."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        rate, lost = value(record, RATE), value(record, distortion)
        if record["status"] == "done" and rate is not None and lost is not None:
            found.setdefault(record["label"], []).append((rate, lost))
    return [Row(label, points) for label, points in found.items()]


def panels(records: list[Mapping[str, Any]], held_out: str) -> dict[str, list[Row]]:
    """Rows by what is lost: the squared error, which all share, and -E log p(x|z) of each likelihood that two rows have."""
    names = [ERROR.format(held_out=held_out), *(NEGATIVE_ELBO.format(likelihood=one) for one in LIKELIHOODS)]
    found = {name: rows(records, name) for name in names}
    return {name: points for name, points in found.items() if len(points) > 1}


def is_likelihood(distortion: str) -> bool:
    """Whether a plane's distortion is -E log p(x|z), so that rate and distortion add up to the bound."""
    return distortion.startswith("distortion")


def lost_as(likelihood: bool, held_out: str) -> str:
    """What a plane's distortion is, for the caption."""
    if likelihood:
        return "-E log p(x|z) in nats, with dashed lines of equal bound through the means"
    return f"squared error per {held_out} image"


def plane(axes: Axes, distortion: str, points: list[Row], numbers: Mapping[str, int]) -> None:
    """Every seed as a small dot, each row's mean as its marker; of a likelihood, dashed lines of equal bound R + D."""
    for row in points:
        tint, marker = canvas.colour(numbers[row.label])
        axes.plot(*zip(*row.points, strict=True), linestyle="none", marker=".", markersize=1.5, color=tint, alpha=0.6)
        axes.plot(*row.middle, linestyle="none", marker=marker, markersize=4, color=tint, label=row.label)
    if is_likelihood(distortion):
        x, y = axes.get_xlim(), axes.get_ylim()
        for row in points:
            total = sum(row.middle)
            axes.axline((0, total), slope=-1, color="#999999", linewidth=0.4, linestyle="--", zorder=0)
        axes.set(xlim=x, ylim=y)
    axes.set(xlabel="rate, nats", ylabel=distortion)


def draw(records: list[Mapping[str, Any]], suite: str, held_out: str) -> Figure:
    """A plot for each distortion; Unavailable where fewer than two rows have a rate."""
    found = panels(records, held_out)
    if not found:
        raise Unavailable("fewer than two rows have a rate and a distortion: a rate needs a posterior with a density and a prior")
    labels = list(dict.fromkeys(row.label for points in found.values() for row in points))
    numbers = {label: number for number, label in enumerate(labels)}
    seeds = max(len(row.points) for points in found.values() for row in points)
    measured = dict.fromkeys(is_likelihood(name) for name in found)
    caption = (
        f"Suite {suite}, {len(labels)} rows with a rate, up to {counted(seeds, 'seed')} (dots) and their means. "
        f"Rate: mean KL(q(z|x) || p(z)); distortion: {' or '.join(lost_as(kind, held_out) for kind in measured)}."
    )
    figure, axes = canvas.of_plots(caption, len(found), 1, height=2.1)
    for place, (distortion, points) in zip(axes, found.items(), strict=True):
        plane(place, distortion, points, numbers)
        place.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0.2, borderaxespad=0.3)
    return figure
