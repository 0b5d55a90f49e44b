"""A suite's run resolved: the things that its names stand for, all its values, checked. Nothing is built, no data are read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.datasets.dataset import Source
from bench.errors import UserError
from bench.records.code import Hashes, project_module
from bench.registry import Catalogue, hyperparameters
from bench.suites.budget import Budget, Optimizer, Precision
from bench.suites.schema import AUTO, Run
from bench.training.precision import check_precision
from bench.training.train import Plan
from metrics.metric import Metric
from models.networks.choice import chosen

SMOKE_STEPS = 5
# what trains every row, whatever its method; modules that these import count too
TRAINERS = ("bench.training.train", "bench.training.checkpoint", "bench.runs.resolve", "bench.runs.prepare", "bench.runs.stages")
SECOND_STAGE = "bench.runs.second_stage"


@dataclass(frozen=True)
class Resolved:
    """A run with all that it takes to build it."""

    run: Run  # as its suite has it: its key is of this one
    values: Run  # the same with every hyper-parameter and option
    method: Callable[..., Any]
    network: Callable[..., Any]
    density: Callable[[int], Any] | None  # of so many latents
    source: Source
    metrics: list[Metric]
    plan: Plan
    trained_by: Hashes  # the code that it trains with

    @property
    def where(self) -> str:
        """The table of its row in the suite file, as messages name it."""
        return f"methods.{self.run.label}"


def resolve(run: Run, catalogue: Catalogue) -> Resolved:
    """The run with its names looked up and its values checked; UserError for anything that the suite got wrong."""
    where = f"methods.{run.label}"
    method, source = catalogue.get("method", run.method, where), catalogue.get("dataset", run.dataset)
    network = chosen(source.shape) if run.network == AUTO else run.network
    values = replace(run, network=network, hyperparameters=hyperparameters(method, run.hyperparameters, where))
    metrics = [catalogue.measured_by(name) for name in run.metrics or catalogue.metrics]
    n = source.train_count(run.held_out)
    if run.batch_size > n:
        raise UserError(f"{where}: batch_size {run.batch_size} is more than the {n} training images of {run.dataset}")
    if (held_out := source.held_out_count(run.held_out)) < 2:
        raise UserError(f"dataset {run.dataset}: {run.held_out} images must be at least 2, not {held_out}")
    if run.batch_size < 2:
        raise UserError(f"{where}: batch_size must be at least 2, not {run.batch_size}")
    precision = run.precision or "float32"
    check_precision(precision, run.device)
    plan = plan_of(run, source, run.budget, run.optimizer, precision)
    density = None
    if run.density is not None:
        model = catalogue.get("density", run.density.model, f"{where}.density")
        options = hyperparameters(model, run.density.options, f"{where}.density")
        values, density = replace(values, density=replace(run.density, options=options)), partial(model, **options)
    return Resolved(run, values, method, catalogue.get("network", network), density, source, metrics, plan, code_of(values, catalogue))


def code_of(run: Run, catalogue: Catalogue) -> Hashes:
    """The modules that train a run, with their hashes: of its method, network, dataset and density, of the trainer.

    A dataset of the user's own files has a hash of these, too.
    """
    named = [("method", run.method), ("network", run.network), ("dataset", run.dataset)]
    named += [("density", run.density.model)] if run.density else []
    trainers = [*TRAINERS, *([SECOND_STAGE] if run.density else [])]
    hashes = catalogue.standing_on((*(catalogue.homes[name] for name in named), *map(project_module, trainers)))
    content = catalogue.get("dataset", run.dataset).content
    return hashes | ({run.dataset: content} if content else {})


def plan_of(run: Run, source: Source, budget: Budget, optimizer: Optimizer, precision: Precision = "float32") -> Plan:
    """A budget in steps of the run's batches; a smoke run's is a few steps."""
    n, budget = source.train_count(run.held_out), Budget(steps=SMOKE_STEPS) if run.smoke else budget
    return Plan(budget, optimizer, n // run.batch_size, budget.total_steps(n, run.batch_size), precision)
