"""One run: suite values in, trained weights and a record out. What goes wrong in it is a status of its row."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from bench.datasets.batches import Batches, derive, generator
from bench.datasets.dataset import Source
from bench.environment import code_hash, describe, peak_memory_mib, reset_peak_memory
from bench.errors import RunError, UserError, in_a_line
from bench.evaluation.evaluate import Evaluation, check_needs, evaluate
from bench.figures.pictures import pictures
from bench.files import write, writing
from bench.records.store import CHECKPOINT, SECOND, Store
from bench.registry import Catalogue, arguments, hyperparameters
from bench.runs.context import Context, Images, kernels_on
from bench.runs.second_stage import Second, prepare_second, train_second
from bench.suites.schema import SCHEMA, Budget, Run
from bench.training.checkpoint import dump_state, resume, weights_file, weights_hash
from bench.training.precision import check_precision
from bench.training.train import Outcome, Plan, Training, train
from metrics.metric import Metric
from models.method import AutoEncoder, Recipe

SMOKE_STEPS = 5
WEIGHTS = "weights.safetensors"
DENSITY = "density."  # begins the names of the second stage's weights


@dataclass(frozen=True)
class Prepared:
    """A run that can be started: its method is built, its values are checked."""

    run: Run
    recipe: Recipe
    method: AutoEncoder
    hyperparameters: dict[str, Any]
    plan: Plan
    metrics: list[Metric]
    second: Second | None = None

    @property
    def parameter_count(self) -> int:
        """Trained values of all players, a density's too."""
        modules: list[nn.Module] = [self.method, *([self.second.density] if self.second else [])]
        return sum(p.numel() for module in modules for p in module.parameters())

    def tensors(self) -> dict[str, Tensor]:
        """The state of the method, and that of the density under names that begin with `density.`."""
        state = self.second.density.state_dict() if self.second else {}
        return self.method.state_dict() | {f"{DENSITY}{name}": tensor for name, tensor in state.items()}

    def load(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Take trained weights, named as `tensors` names them, to the device; RuntimeError where they are of something else."""
        second = {name: tensor for name, tensor in tensors.items() if name.startswith(DENSITY)} if self.second else {}
        self.method.to(device).load_state_dict({name: tensor for name, tensor in tensors.items() if name not in second})
        if self.second:
            self.second.density.to(device).load_state_dict({name.removeprefix(DENSITY): tensor for name, tensor in second.items()})

    def evaluation(self, data: Images) -> Evaluation:
        """The views of the method as it is now, trained or loaded: functions of its weights, the data and the run's seed."""
        density, seed = self.second.density if self.second else None, self.run.seed
        about = (data.values, data.networks, data.factors)
        return Evaluation(self.method, data.train, data.test, data.levels, seed, data.baselines, density, *about)

    def parameters(self) -> dict[str, Any]:
        """The entry of a record that counts them."""
        return cost(self.parameter_count, "trained values of all players", better=None)


def prepare(run: Run, catalogue: Catalogue) -> Prepared:
    """Build the run's method on the CPU from its seed; UserError for anything the suite got wrong. Reads no data."""
    where = f"methods.{run.label}"
    make, network = catalogue.get("method", run.method, where), catalogue.get("network", run.network)
    source = catalogue.get("dataset", run.dataset)
    values = hyperparameters(make, run.hyperparameters, where)
    metrics = [catalogue.get("metric", name) for name in run.metrics or catalogue.metrics]
    n = source.train_count(run.held_out)
    if run.batch_size > n:
        raise UserError(f"{where}: batch_size {run.batch_size} is more than the {n} training images of {run.dataset}")
    if (held_out := source.held_out_count(run.held_out)) < 2:
        raise UserError(f"dataset {run.dataset}: {run.held_out} images must be at least 2, not {held_out}")
    if run.batch_size < 2:
        raise UserError(f"{where}: batch_size must be at least 2, not {run.batch_size}")
    precision = run.precision or "float32"
    check_precision(precision, run.device)
    budget = Budget(steps=SMOKE_STEPS) if run.smoke else run.budget
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "weights"))
        try:
            recipe = fitting(recipe_of(make, run.latent_dim, values), source, values)
            method = recipe.assemble(source.shape, run.latent_dim, network)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
        except (Exception, SystemExit) as error:  # a plugin's, or sizes that no tensor can have
            raise UserError(f"{where}: cannot be built: {in_a_line(error)}") from error
    check_needs(method, metrics)
    plan = Plan(budget, run.optimizer, n // run.batch_size, budget.total_steps(n, run.batch_size), precision)
    second = prepare_second(run, method.dim, catalogue, n, Budget(steps=SMOKE_STEPS))
    return Prepared(run, recipe, method, values, plan, metrics, second)


def recipe_of(make: Callable[..., Recipe], dim: int, values: Mapping[str, Any]) -> Recipe:
    """What a method's function makes; ValueError where that is no recipe."""
    recipe = make(dim, **arguments(values))
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


def execute(run: Run, context: Context, report: Callable[[float], None] | None = None) -> dict[str, Any]:
    """Train, evaluate and record a run that is this process's alone; -> its record, whatever became of it.

    UserError (a full disk, missing data) leaves no record: it would meet every run.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    prepared = prepare(run, context.catalogue)
    record = head(prepared, context)
    try:
        record |= carry_out(prepared, context, report)
    except UserError:
        raise
    except Exception as error:  # one run's failure, a plugin's bug included, is its row's status; the suite goes on
        text = str(error) if isinstance(error, RunError) else in_a_line(error)
        record |= {"status": "failed", "error": text, "spent": None, "metrics": {}, "cost": {}}
        write(context.store.folder(run) / "error.txt", traceback.format_exc().encode())
    record["times"] = {"started": started, "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    context.store.save_record(run, record)
    if record["status"] != "failed":
        context.store.drop_checkpoint(run)
    return record


def head(prepared: Prepared, context: Context) -> dict[str, Any]:
    """What a record says before anything has run."""
    run, recipe = prepared.run, prepared.recipe
    second = prepared.second
    resolved = replace(run, hyperparameters=prepared.hyperparameters, density=second.values if second else None)
    return {
        "schema": SCHEMA,
        **{name: getattr(run, name) for name in ("suite", "label", "seed", "smoke")},
        "key": run.key(),
        "row_key": run.row_key(),
        "config": {
            **resolved.config(),
            "recipe": recipe.words() | ({"density": second.words()} if second else {}),
            "convention": context.catalogue.get("dataset", run.dataset).convention,
        },
        "environment": describe(context.device, context.jobs, run.precision or "float32") | {"kernels": kernels_on(context.device)},
        "hashes": {"code": code_hash(run.plugins)},
    }


def carry_out(prepared: Prepared, context: Context, report: Callable[[float], None] | None) -> dict[str, Any]:
    """The part of a run that takes time; -> the rest of its record."""
    run, store, device = prepared.run, context.store, context.device
    data = context.data(run)
    reset_peak_memory(device)
    method = prepared.method.to(device)
    training = Training(method, prepared.plan, generator(device, run.seed, "noise"))
    torch.manual_seed(derive(run.seed, "layers"))  # dropout and its like draw from torch's own stream
    trained = train(
        training,
        Batches(data.train, data.levels, run.batch_size, run.seed),
        state=resume(training, store.checkpoint(run), store.folder(run) / CHECKPOINT),
        save=lambda state: store.save_checkpoint(run, dump_state(state, device)),
        save_every=context.save_every,
        report=part(report, 0) if prepared.second else report,
    )
    outcome = judged(trained, method.state_dict())
    second, last, absent = None, outcome, dict[str, str]()
    if prepared.second and outcome.status == "done":
        store.save_checkpoint(run, dump_state(training.state(outcome.seconds), device))  # whole: a new start goes on with the second stage
        second = last = judged(second_stage(prepared, prepared.second, context, report), prepared.second.density.state_dict())
    before = time.perf_counter()
    entries = {}
    if last.status == "done":
        write(store.folder(run) / WEIGHTS, weights_file(prepared.tensors()))  # before anything that may go wrong with them
        evaluation = prepared.evaluation(data)
        entries = evaluate(evaluation, prepared.metrics, run.held_out)
        if evaluation.ruined:
            last, entries = replace(last, status="diverged", error=f"{evaluation.ruined[0]}; lower lr"), {}
    if last.status == "done":
        drawn, absent = pictures(evaluation)
        for name, picture in drawn.items():
            write(store.folder(run) / f"{name}.png", picture)
    store.save_curve(run, joined(outcome, second))
    entries["parameter_count"] = prepared.parameters()
    spent = outcome.spent(prepared.plan.per_epoch, run.batch_size)
    return {
        "status": last.status,
        "error": last.error,
        "execution": training.execution,
        "spent": spent | ({"density": second.spent(prepared.plan.per_epoch, run.batch_size)} if second else {}),
        "hashes": {"code": code_hash(run.plugins), "data": data.sha256, "weights": weights_hash(prepared.tensors())},
        "metrics": entries,
        "cost": costs(outcome, second, spent["images"], time.perf_counter() - before, device),
        "absent_pictures": absent,  # by name, with the reason
    }


def judged(outcome: Outcome, state: Mapping[str, Tensor]) -> Outcome:
    """Diverged where weights are not finite though losses are: the last step's loss is that of the weights before it."""
    for name, tensor in state.items():
        if outcome.status == "done" and not tensor.isfinite().all():
            bad = f"{int((~tensor.isfinite()).sum())} of {tensor.numel()} values of {name} are not finite"
            return replace(outcome, status="diverged", error=f"after step {outcome.step}: {bad}; lower lr")
    return outcome


def second_stage(prepared: Prepared, second: Second, context: Context, report: Callable[[float], None] | None) -> Outcome:
    """Fit the density to the trained method's codes, from the checkpoint of this stage if it is of the same method."""
    run, store, data = prepared.run, context.store, context.data(prepared.run)
    of = weights_hash(prepared.method.state_dict())
    return train_second(
        second,
        prepared.method,
        data.train,
        data.levels,
        run,
        resume=lambda training: resume(training, store.checkpoint(run, SECOND), store.folder(run) / SECOND, of),
        save=lambda state: store.save_checkpoint(run, dump_state({**state, "of": of}, context.device), SECOND),
        save_every=context.save_every,
        report=part(report, 1),
    )


def part(report: Callable[[float], None] | None, done: int) -> Callable[[float], None] | None:
    """Reports of one of two stages as those of both, `done` of which are behind."""
    return (lambda share: report((done + share) / 2)) if report else None


def joined(first: Outcome, second: Outcome | None) -> list[dict[str, float]]:
    """The curves of both stages, the second's steps counted on from the first's."""
    return first.curve + [{**row, "step": first.step + row["step"]} for row in (second.curve if second else [])]


def costs(outcome: Outcome, second: Outcome | None, images: int, evaluation: float, device: torch.device) -> dict[str, Any]:
    """What differs between two equal runs: times and memory."""
    memory = "allocated on the device" if device.type == "cuda" else "resident in the process, without mapped files"
    protocol = "fitting the density of the second stage, device idle at both ends"
    return {
        "train_seconds": cost(outcome.seconds, "training only, device idle at both ends", "s"),
        **({"density_seconds": cost(second.seconds, protocol, "s")} if second else {}),
        "images_per_second": cost(images / outcome.seconds, "training images over training seconds", "1/s", "higher"),
        "evaluation_seconds": cost(evaluation, "all metrics of the run", "s"),
        "peak_memory_mib": cost(peak_memory_mib(device), f"most memory {memory}, training and evaluation", "MiB"),
    }


def cost(value: float | None, protocol: str, unit: str = "", better: str | None = "lower") -> dict[str, Any]:
    """An entry of a record like a metric's."""
    reason = {} if value is not None else {"reason": "this system does not say"}
    return {"value": value, **reason, "unit": unit, "better": better, "group": "cost", "protocol": protocol}


def check_writable(store: Store) -> None:
    """UserError before hours of work where the results cannot be kept."""
    probe = store.runs / ".writable"
    write(probe, b"")
    with writing(probe):
        probe.unlink(missing_ok=True)  # another worker's probe is the same file
