"""What a reproduction would take: `python -m bench reproduce --dry-run`."""

from collections.abc import Sequence
from pathlib import Path

import torch

from bench.commands import console, data
from bench.environment import default_device, describe, set_up
from bench.leaderboard.rows import current_records
from bench.records.store import Store
from bench.registry import catalogue
from bench.reproduction.hours import Cost, Hours, spelt
from bench.reproduction.paper import Paper
from bench.reproduction.results import SuiteResults
from bench.reproduction.selection import Needed
from bench.runs.prepare import prepare
from bench.runs.settings import Settings
from bench.runs.step_time import step_times
from bench.suites import reader
from bench.suites.schema import Suite
from metrics.features import inception

HEADS = ["suite", "row", "numbers", "steps", "a run", "runs left", "missing"]
THERE = ("built in", "packed", "present")  # states of data that can be read


def missing_data(dataset: str, root: Path) -> str:
    """The dataset, where its files are not here; empty where they are."""
    source = catalogue().get("dataset", dataset)
    state = data.state(source, root)[0]
    return "" if state in THERE else f"dataset {dataset} ({state})"


def missing(suite: Suite, needed: Needed, paper: Paper, settings: Settings) -> str:
    """Data, weights and devices that a row needs and that are not here."""
    lacking = [missing_data(suite.dataset, settings.data_root)]
    if set(needed.metrics) & set(paper.weights) and not (settings.data_root / "weights" / inception.FILE).exists():
        lacking.append("Inception's weights")
    if "GPU" in suite.hardware and not torch.cuda.is_available():
        lacking.append("a GPU, for which it is meant")
    return ", ".join(filter(None, lacking)) or "-"


def cost_of(suite: Suite, row: str, settings: Settings) -> Cost:
    """What a run of a row costs here, by a few of its steps."""
    device = settings.device or default_device()
    known, place = catalogue(suite.plugins), set_up(device, settings.threads)
    run = next(run for run in suite.runs(device) if run.label == row and run.seed == 0)
    source = known.get("dataset", run.dataset)
    times = step_times(prepare(run, known), source.shape, source.values == "real", place)
    return Cost(sum(of.seconds * of.steps for of in times) / 3600, sum(of.steps for of in times), any(of.upper for of in times))


def runs_left(suite: Suite, row: str, out: Path) -> int:
    """How many of a row's seeds have no finished run on record."""
    results = SuiteResults(suite.name, current_records(suite, Store(out, suite.name).records()))
    return max(0, suite.seeds - len({record["seed"] for record in results.done(row)}))


def show_costs(rows: Sequence[tuple[Paper, Needed]], settings: Settings) -> Hours:
    """A line for each row, once however many papers need it; -> the costs."""
    device = settings.device or default_device()
    found = Hours(machine=machine(device, settings))
    lines, whole = list[list[str]](), 0.0
    for paper, one in rows:
        if one.row in found.rows.get(one.suite, {}):
            continue
        suite = reader.read(one.suite)
        console.say(f"timing {one.suite}, {one.row}")
        cost, left = cost_of(suite, one.row, settings), runs_left(suite, one.row, settings.out)
        found.rows.setdefault(one.suite, {})[one.row] = cost
        whole += left * cost.hours
        lines.append([one.suite, one.row, str(one.numbers), f"{cost.steps:,}", str(cost), str(left), missing(suite, one, paper, settings)])
    console.table(HEADS, lines, f"Training alone, on {found.machine}.")
    print(f"\nall runs that are left, one after the other: {spelt(whole)}")
    return found


def machine(device: str, settings: Settings) -> str:
    """What was timed on, in words."""
    about = describe(torch.device(device), 1)
    return f"{about['device']}, {settings.threads} thread{'s' * (settings.threads > 1)} of it, torch {about['torch']}"
