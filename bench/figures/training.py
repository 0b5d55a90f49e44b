"""A run's training curve, every term that its players record (SPEC 7, F16)."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from bench.figures import canvas
from bench.figures.subject import Subject
from metrics.metric import Unavailable

Line = tuple[list[float], list[float]]  # steps, values


def terms(curve: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Line]]:
    """Lines by player and term, in the order of the curve; a term may begin late, as after a warm-up."""
    players: dict[str, dict[str, Line]] = {}
    for row in curve:
        for name, value in row.items():
            if name != "step":
                player, _, term = name.partition(".")
                steps, values = players.setdefault(player, {}).setdefault(term, ([], []))
                steps.append(row["step"])
                values.append(value)
    return players


def logarithmic(lines: Mapping[str, Line]) -> bool:
    """Whether a logarithmic axis shows all of them, and one of them falls below a tenth of the greatest value."""
    values = [value for _, line in lines.values() for value in line]
    return min(values) > 0 and max(values) > 10 * min(values)


def draw(subject: Subject) -> Figure:
    """A plot a player."""
    players = terms(subject.curve)
    if not players:
        raise Unavailable("it has left no training curve")
    columns = min(2, len(players))
    caption = f"{subject.name}. Terms of each player's objective, means over blocks of steps of training batches; loss is their sum."
    figure, axes = canvas.of_plots(caption, -(-len(players) // columns), columns, height=1.7)
    for place, (player, lines) in zip(axes, players.items(), strict=False):
        for number, (term, (steps, values)) in enumerate(lines.items()):
            tint, _ = canvas.colour(number)
            place.plot(steps, values, color=tint, label=term, linestyle="-" if term == "loss" else "--", linewidth=0.9)
        place.set(title=player, xlabel="step", yscale="log" if logarithmic(lines) else "linear")
        if place.get_yscale() == "log":
            canvas.plain(place.yaxis)
        canvas.legend(place)
    for place in axes[len(players) :]:
        place.set_axis_off()
    return figure
