"""The second stage of a run: a density of the trained encoder's codes, where the suite asks for one (VCAE Algorithm 1; SPEC 1.6)."""

from functools import partial

import torch

from bench.datasets.batches import Batches, derive, scaled
from bench.errors import UserError, in_a_line
from bench.records.store import SECOND
from bench.runs.resolve import Resolved, plan_of
from bench.runs.stages import Stage
from bench.suites.budget import Optimizer
from bench.training.train import Plan
from metrics.finite import rows_not_finite
from models.method import AutoEncoder
from models.parts.density import Density, SecondStage

NAME = "density"
CODES = 20_000  # at most, for what is fitted without gradients
ENCODED = 1000  # images at a time


def build_density(resolved: Resolved, dim: int) -> Density | None:
    """The run's density of `dim` latents, on the CPU from its seed; None for a run without one.

    UserError for values that it refuses. The weights of the first stage do not depend on it.
    """
    if resolved.density is None:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(resolved.run.seed, NAME, "weights"))
        try:
            density: Density = resolved.density(dim)
        except ValueError as error:
            raise UserError(f"{resolved.where}.{NAME}: {error}") from None
        except (Exception, SystemExit) as error:  # a plugin's, or sizes that no tensor can have
            raise UserError(f"{resolved.where}.{NAME}: cannot be built: {in_a_line(error)}") from error
    return density


def plan_of_density(resolved: Resolved, density: Density) -> Plan | None:
    """How long it trains, in steps of the run's batches; None for one in closed form. UserError where the suite says otherwise."""
    run, where = resolved.run, f"{resolved.where}.{NAME}"
    if run.density is None:
        return None
    model, budget, optimizer = run.density.model, run.density.budget, run.density.optimizer
    if next(density.parameters(), None) is None:
        if budget or optimizer:
            raise UserError(f"{where}: {model} is fitted in closed form; it takes neither a budget nor an optimizer")
        return None
    if budget is None:
        raise UserError(f"{where}: {model} is trained, it needs a budget of its own, for instance budget = {{epochs = 100}}")
    return plan_of(run, resolved.source, budget, optimizer or Optimizer())


def density_stage(density: Density, method: AutoEncoder, plan: Plan | None) -> Stage:
    """Fitting a density to the codes of the frozen method, drawn anew at each step, with shuffles and noise of its own."""
    trainable = SecondStage(method, density)
    return Stage(
        module=density,
        trainable=trainable,
        plan=plan,
        checkpoint=SECOND,
        recipe={NAME: f"{density}; {plan.budget if plan else f'fitted to up to {CODES:,} codes'}"},
        seconds=("density_seconds", "fitting the density of the second stage, device idle at both ends"),
        scope=(NAME,),
        fit=partial(fit_to_codes, trainable),
    )


def fit_to_codes(stage: SecondStage, batches: Batches, noise: torch.Generator) -> str | None:
    """What needs no gradient, by the codes of up to CODES images at random; -> why there is no fit, where there is none."""
    stage.train()
    order = batches.permutation("some")[:CODES]
    codes = torch.cat([stage.codes(scaled(batches.images[index], batches.levels), noise) for index in order.split(ENCODED)])
    bad, n = rows_not_finite(codes)
    if bad:
        return f"{bad} of {n} codes to fit it to have values that are not finite; lower lr"
    stage.density.fit(codes, noise)
    return None
