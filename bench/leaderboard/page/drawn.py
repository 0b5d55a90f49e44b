"""The page's drawings as files of their own, for Markdown to show: the same template, with the style inside."""

from collections.abc import Sequence

from bench.leaderboard.overview import Overview
from bench.leaderboard.page.build import DRAWINGS, environment, style_of
from bench.leaderboard.page.ranks import critical
from bench.leaderboard.page.scatter import Scatter


def front_file(plots: Sequence[Scatter]) -> bytes:
    """The first drawing of quality against its cost."""
    plot = plots[0]
    numbers = {point.row: i for i, point in enumerate(plot.points)}
    return alone("scatter_plot", plot, numbers, False)


def critical_file(over: Overview) -> bytes:
    """The critical-difference diagram of several suites."""
    return alone("critical_plot", critical(over), over.title)


def alone(name: str, *of: object) -> bytes:
    """A drawing of the template, by the name of its macro, that needs no page around it."""
    macro = getattr(environment().get_template("drawings.jinja").module, name)
    head, rest = str(macro(*of)).strip().split(">", 1)
    style = f"<style>svg{{font-family:sans-serif;background:var(--bg)}}{style_of(DRAWINGS)}</style>"
    return f'{head} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n'.encode()
