"""`python -m bench list`, `data` and `features`: tables of what there is, and what is done to it."""

import inspect
import re
from pathlib import Path
from typing import Any

from bench.commands import console, data
from bench.commands import features as feature_commands
from bench.docs import methods_table, metrics_page
from bench.registry import catalogue
from bench.suites import reader

ONE = {"methods": "method", "networks": "network", "densities": "density"}


def list_all(what: str) -> None:
    """Names with one line on each."""
    if what == "suites":
        suites = [reader.read(name) for name in reader.names()]
        console.table(["suite", "question", "hardware", "time"], [[s.name, s.question, s.hardware, s.expected_time] for s in suites])
        return
    found = getattr(catalogue(), "every_metric" if what == "metrics" else what)
    if what == "methods":
        console.table(list(methods_table.HEADERS), methods_table.rows(found), f"With their default values, at {methods_table.DIM} latents:")
        print()
    if what in ONE:
        rows = [[name, first_line(fn), arguments(fn)] for name, fn in sorted(found.items())]
        console.table([ONE[what], "what it is", "values"], rows)
    elif what == "datasets":
        console.table([*data.HEADERS[: -data.LOCAL]], [list(row[: -data.LOCAL]) for row in data.rows(found.values(), Path("data"))])
    else:
        console.table(list(metrics_page.HEADERS), [list(metrics_page.row(metric)) for metric in found.values()])


def arguments(fn: Any) -> str:
    """The arguments of a function, types without the modules that they are from."""
    return re.sub(r"(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", str(inspect.signature(fn)).split(" ->")[0])


def first_line(fn: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(fn) or "").split("\n")[0]


def data_list(root: Path) -> None:
    """Every dataset and whether it is there."""
    console.table(list(data.HEADERS), [list(row) for row in data.rows(catalogue().datasets.values(), root)])


def data_action(action: str, name: str, root: Path) -> None:
    """fetch, verify or pack one dataset."""
    source = catalogue().get("dataset", name)
    print({"fetch": data.fetch, "verify": data.verify, "pack": data.pack}[action](source, root))


def features_list(root: Path) -> None:
    """Every feature network and whether its weights are there."""
    console.table(list(feature_commands.HEADERS), [list(row) for row in feature_commands.rows(catalogue(), root)])


def features_train(name: str, root: Path, file: Path | None) -> None:
    """Train a dataset's classifier."""
    print(feature_commands.train(catalogue(), name, root, file))
