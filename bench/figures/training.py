"""A run's training curve, every term that its players record (SPEC 7, F16)."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures import canvas
from bench.figures.subject import Subject
from metrics.metric import Unavailable

LOSS = "loss"
BOUND = ("aevb_kl", "elbo")  # what a method notes beside its objective: a plot of its own
MOST = 5  # lines with a legend between them; of more it stands below
Line = tuple[list[float], list[float]]  # steps, values


def terms(curve: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Line]]:
    """Lines by player and term, in the order of the curve; a term may begin late, as after a warm-up. BOUND has a plot of its own."""
    players: dict[str, dict[str, Line]] = {}
    for row in curve:
        for name, value in row.items():
            if name != "step":
                player, _, term = name.partition(".")
                plot = f"{player}: bound" if term in BOUND else player
                steps, values = players.setdefault(plot, {}).setdefault(term, ([], []))
                steps.append(row["step"])
                values.append(value)
    return players


def logarithmic(lines: Mapping[str, Line]) -> bool:
    """Whether a logarithmic axis shows all of them, and one of them falls below a tenth of the greatest value."""
    values = [value for _, line in lines.values() for value in line]
    return min(values) > 0 and max(values) > 10 * min(values)


def player(axes: Axes, title: str, lines: Mapping[str, Line]) -> None:
    """The terms of one player; the loss below the others, wide and pale, which often lie on it."""
    others = [term for term in lines if term != LOSS]
    below = {"color": "#BBBBBB", "linewidth": 2.4} if others else canvas.stroke(0)
    for term, style in {LOSS: below, **{term: canvas.stroke(number) for number, term in enumerate(others)}}.items():
        if term in lines:
            axes.plot(*lines[term], label=term, **style)
    axes.set(title=title, xlabel="step", yscale="log" if logarithmic(lines) else "linear")
    if axes.get_yscale() == "log":
        canvas.plain(axes.yaxis)
    under: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.3), "ncols": 3}
    canvas.legend(axes, **under if len(lines) > MOST else {})


def draw(subject: Subject) -> Figure:
    """A plot a player."""
    players = terms(subject.curve)
    if not players:
        raise Unavailable("it has left no training curve")
    columns = min(2, len(players))
    caption = (
        f"{subject.name}. Terms of each player's objective, means over blocks of steps of training batches; loss is their sum."
        + " Bound: aevb_kl is the mean KL(q(z|x) || p(z)), elbo E log p(x|z) less that KL, whatever is minimised."
        * any(BOUND[0] in of for of in players.values())
    )
    figure, axes = canvas.of_plots(caption, -(-len(players) // columns), columns, height=1.7)
    for place, (name, lines) in zip(axes, players.items(), strict=False):
        player(place, name, lines)
    for place in axes[len(players) :]:
        place.set_axis_off()
    return figure
