"""Engines by name: what brings many cells to their ends. Queues, retries and lost machines are theirs; nothing of that is written here.

An engine is a function `sweep(runs, context, profiles, tell)`: when it returns, every run's record is in the store, or it has said why not.
"""

import importlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench.engines import local
from bench.errors import UserError, of_extra, unknown
from bench.runs.context import Context
from bench.runs.events import Tell
from bench.runs.resolve import Resolved

Sweep = Callable[[list[Resolved], Context, bool, Tell], None]
LOCAL = "local"
CLUSTERS = {"ray": "bench.engines.ray_tasks", "slurm": "bench.engines.slurm_array"}  # loaded where they are chosen: extras


def engine(name: str, parameters: Mapping[str, Any]) -> Sweep:
    """The engine of that name with parameters of its own; UserError for a name of none, and where its package is not installed."""
    if name == LOCAL:
        if parameters:
            raise UserError(f"--cluster {next(iter(parameters))}=... is a parameter of another engine: --engine {' or '.join(CLUSTERS)}")
        return local.sweep
    if name not in CLUSTERS:
        raise UserError(unknown("engine", name, (LOCAL, *CLUSTERS)))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported: nothing is sent anywhere
    with of_extra(name, ("ray", "submitit"), f"--engine {name}"):
        module = importlib.import_module(CLUSTERS[name])
    return partial(module.sweep, parameters)
