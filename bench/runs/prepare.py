"""A run that can be started: its method, and a density where it has one, built from its seed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import derive
from bench.datasets.dataset import Source
from bench.errors import UserError, in_a_line
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, check_needs
from bench.records.code import Hashes
from bench.records.store import CHECKPOINT
from bench.registry import Catalogue, arguments
from bench.runs.resolve import Resolved, resolve
from bench.runs.second_stage import build_density, density_stage, plan_of_density
from bench.runs.stages import Stage
from bench.suites.schema import Run
from bench.training.train import Plan
from metrics.metric import Metric
from models.method import AutoEncoder, Recipe
from models.parts.density import Density


@dataclass(frozen=True)
class Prepared:
    """A run with its method, untrained."""

    run: Run  # as its suite has it
    values: Run  # the same with every value that its suite leaves open
    method: AutoEncoder
    density: Density | None
    stages: tuple[Stage, ...]  # of its training, in order
    plan: Plan  # of the first
    metrics: list[Metric]
    trained_by: Hashes  # the code that trains it

    @property
    def trained(self) -> dict[str, Any]:
        """What a record says of what trained it, with its values in the place where a record has them."""
        return {"config": self.values.config(), "trained_by": self.trained_by}

    @property
    def parameter_count(self) -> int:
        """Trained values of all players, a density's too."""
        return sum(p.numel() for stage in self.stages for p in stage.module.parameters())

    def tensors(self) -> dict[str, Tensor]:
        """The state of every stage by name; those of a density begin with `density.`."""
        return {name: tensor for stage in self.stages for name, tensor in stage.tensors().items()}

    def load(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Take trained weights, named as `tensors` names them, to the device; RuntimeError where they are of something else."""
        left = dict(tensors)
        for stage in reversed(self.stages):  # the first, whose names have no beginning of their own, gets the rest
            prefix = "".join(f"{name}." for name in stage.scope)
            own = {name.removeprefix(prefix): left.pop(name) for name in tensors if name in left and name.startswith(prefix)}
            stage.module.to(device).load_state_dict(own)

    def evaluation(self, data: DeviceDataset) -> Evaluation:
        """The views of the method as it is now, trained or loaded: functions of its weights, the data and the run's seed."""
        return Evaluation(self.method, data, self.run.seed, self.density)


def prepare(run: Run, catalogue: Catalogue) -> Prepared:
    """Resolve a run and build it; UserError for anything that the suite got wrong."""
    return build(resolve(run, catalogue))


def build(resolved: Resolved) -> Prepared:
    """Build the run's method on the CPU from its seed; UserError where its values allow none. Reads no data."""
    run, values, source = resolved.run, resolved.values, resolved.source
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "weights"))
        try:
            recipe = fitting(recipe_of(resolved), source, values.hyperparameters)
            method = recipe.assemble(source.shape, run.latent_dim, resolved.network)
        except ValueError as error:
            raise UserError(f"{resolved.where}: {error}") from None
        except (Exception, SystemExit) as error:  # a plugin's, or sizes that no tensor can have
            raise UserError(f"{resolved.where}: cannot be built: {in_a_line(error)}") from error
    check_needs(method, resolved.metrics)
    seconds = ("train_seconds", "training only, device idle at both ends")
    stages = [Stage(method, method, resolved.plan, CHECKPOINT, recipe.description(), seconds)]
    density = build_density(resolved, method.dim)
    if density is not None and values.density:
        stages.append(density_stage(density, method, plan := plan_of_density(resolved, density)))
        values = replace(values, density=replace(values.density, optimizer=plan.optimizer if plan else None))
    return Prepared(run, values, method, density, tuple(stages), resolved.plan, resolved.metrics, resolved.trained_by)


def recipe_of(resolved: Resolved) -> Recipe:
    """What a method's function makes of its values; ValueError where that is no recipe."""
    make = resolved.method
    recipe: Recipe = make(resolved.run.latent_dim, **arguments(resolved.values.hyperparameters))
    if not callable(getattr(recipe, "assemble", None)):
        raise ValueError(f"{make.__name__} returned {' '.join(repr(recipe).split())[:60]}, not a recipe (models.method.Recipe)")
    return recipe


def fitting(recipe: Recipe, source: Source, given: Mapping[str, Any]) -> Recipe:
    """The recipe for the dataset's range of values; ValueError where it has none."""
    if source.values == "unit":
        return recipe
    try:
        return recipe.on_reals()
    except ValueError as error:
        way = 'set likelihood = "gaussian"' if "likelihood" in given else "use a method with a squared error, such as vae_gauss or wae_mmd"
        raise ValueError(f"{error}; dataset {source.name} has real values; {way}") from None
