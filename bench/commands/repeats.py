"""`python -m bench repeats`: finished runs measured several times, each time with other random draws."""

import csv
import io
import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from bench import files
from bench.commands import console
from bench.commands.evaluate import Target, carry_out, say, task_of
from bench.errors import UserError
from bench.evaluation.evaluate import name_of
from bench.leaderboard import headline
from bench.leaderboard.exports.flat import spelt
from bench.markdown import counted
from bench.registry import Catalogue, catalogue
from bench.runs.repeats import Repeats, repeat_run, spreads
from bench.runs.settings import Settings
from bench.suites.schema import Suite

HEADS = ["method", "metric", "mean", "± evaluations", "± trainings", "seeds"]


def repeats(target: Target, metrics: tuple[str, ...], settings: Settings, times: int, file: Path | None) -> None:
    """Print the standard deviations over evaluations beside those over training seeds; UserError for a run that was refused."""
    known = catalogue(target.suite.plugins)
    task = task_of(target, settings, metrics or of_the_first_table(target.suite, known), known)
    found, refused = carry_out(partial(repeat_run, times), target, task)
    runs = in_order([run for (run,) in found], target.suite)
    rows = [[s.label, s.metric, *(shown(x) for x in (s.mean, s.evaluations, s.trainings)), str(s.seeds)] for s in spreads(runs)]
    if rows:
        console.table(HEADS, rows)
        print(f"\n±: standard deviations, of {times} evaluations of one trained model and of the training seeds' values in their records.")
    if runs and file is not None:
        files.write(file, written(runs).encode())
        print(f"values: {file}")
    if not rows and not refused:
        raise UserError(f"no value of {', '.join(task.metrics)} in {counted(len(runs), 'run')}; ask for others with --metrics")
    say(refused)


def in_order(runs: Iterable[Repeats], suite: Suite) -> list[Repeats]:
    """Rows as the suite has them, each with its seeds in order: several workers end in any."""
    places = {entry.label: place for place, entry in enumerate(suite.methods)}
    return sorted(runs, key=lambda run: (places.get(run.label, len(places)), run.seed))


def of_the_first_table(suite: Suite, known: Catalogue) -> tuple[str, ...]:
    """The metrics in the first table of the suite's board."""
    heads = {head + end for head in headline.names(suite) for end in headline.ENDS}
    values = known.get("dataset", suite.dataset).values
    return tuple(name for name, metric in known.metrics.items() if name_of(metric, suite.held_out, values) in heads)


def shown(value: float) -> str:
    """A number of the table, four digits."""
    return "-" if math.isnan(value) else f"{value:.4g}"


def written(runs: Iterable[Repeats]) -> str:
    """Every value as CSV (RFC 4180); no text is a spreadsheet's formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["method", "seed", "metric", "evaluation", "value"])
    for run in runs:
        for metric, values in run.values.items():
            writer.writerows([spelt(run.label), run.seed, metric, n, value] for n, value in enumerate(values))
    return text.getvalue()
