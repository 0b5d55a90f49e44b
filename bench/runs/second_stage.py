"""The second stage of a run: a density of the trained encoder's codes, where the suite asks for one (VCAE Algorithm 1; SPEC 1.6)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.datasets.batches import Batches, derive, generator, scaled
from bench.errors import UserError, in_a_line
from bench.registry import Catalogue, hyperparameters
from bench.suites.schema import Budget, Optimizer, Run
from bench.suites.schema import Density as Values
from bench.training.clock import Clock
from bench.training.train import Outcome, Plan, Training, train
from metrics.finite import rows_not_finite
from models.method import AutoEncoder
from models.parts.density import Density, SecondStage

CODES = 20_000  # at most, for what is fitted without gradients
ENCODED = 1000  # images at a time


@dataclass(frozen=True)
class Second:
    """A density that can be fitted."""

    density: Density
    values: Values  # resolved
    plan: Plan | None  # None: its closed form is all there is to fit

    def words(self) -> str:
        """What it is and how long it trains."""
        return f"{self.density}; {self.plan.budget if self.plan else f'fitted to up to {CODES:,} codes'}"


def prepare_second(run: Run, dim: int, catalogue: Catalogue, n: int, smoke: Budget) -> Second | None:
    """The run's density of `dim` latents, built on the CPU from its seed; None for a run without one. n: training images.

    UserError for anything the suite got wrong. The weights of the first stage do not depend on it.
    """
    if run.density is None:
        return None
    where = f"methods.{run.label}.density"
    make = catalogue.get("density", run.density.model, where)
    options = hyperparameters(make, run.density.options, where)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "density", "weights"))
        try:
            density: Density = make(dim, **options)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        except (Exception, SystemExit) as error:  # a plugin's, or sizes that no tensor can have
            raise UserError(f"{where}: cannot be built: {in_a_line(error)}") from error
    values = replace(run.density, options=options)
    if next(density.parameters(), None) is None:
        if values.budget or values.optimizer:
            raise UserError(f"{where}: {run.density.model} is fitted in closed form; it takes neither a budget nor an optimizer")
        return Second(density, values, None)
    if values.budget is None:
        raise UserError(f"{where}: {run.density.model} is trained, it needs a budget of its own, for instance budget = {{epochs = 100}}")
    budget, optimizer = smoke if run.smoke else values.budget, values.optimizer or Optimizer()
    plan = Plan(budget, optimizer, n // run.batch_size, budget.total_steps(n, run.batch_size))
    return Second(density, replace(values, optimizer=optimizer), plan)


def train_second(
    second: Second,
    method: AutoEncoder,
    images: Tensor,
    levels: int,
    run: Run,
    *,
    resume: Callable[[Training], Mapping[str, Any] | None],
    save: Callable[[dict[str, Any]], None],
    save_every: float,
    report: Callable[[float], None] | None,
) -> Outcome:
    """Fit the density to the frozen method's codes, with shuffles and noise of its own; it stays on the images' device.

    images: (N, C, H, W) uint8. resume: the state to go on from, if there is one. The rest is as in `train`.
    """
    stage = SecondStage(method, second.density.to(images.device))
    batches = Batches(images, levels, run.batch_size, derive(run.seed, "density"))
    noise, clock = generator(images.device, run.seed, "density", "noise"), Clock(images.device)
    stage.train()
    clock.start()
    codes = torch.cat([stage.codes(x, noise) for x in some(batches)])
    bad, n = rows_not_finite(codes)
    if bad:
        return Outcome(
            "diverged", 0, clock.stop(), [], f"density: {bad} of {n} codes to fit it to have values that are not finite; lower lr"
        )
    second.density.fit(codes, noise)
    seconds = clock.stop()
    if second.plan is None:
        return Outcome("done", 0, seconds, [])
    training = Training(stage, second.plan, noise)
    outcome = train(training, batches, state=resume(training), save=save, save_every=save_every, report=report)
    error = outcome.error and f"density: {outcome.error}"
    return replace(outcome, seconds=outcome.seconds + seconds, error=error)


def some(batches: Batches) -> Iterator[Tensor]:
    """Up to CODES images at random.   -> (B, C, H, W) float32"""
    for index in batches.permutation("some")[:CODES].split(ENCODED):
        yield scaled(batches.images[index], batches.levels)
