"""One run: suite values in, trained weights and a record out. What goes wrong in it is a status of its row."""

import hashlib
import io
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bench.environment import code_hash, describe, peak_memory_mib, reset_peak_memory
from bench.errors import RunError, UserError
from bench.evaluate import Evaluation, baselines_of, evaluate
from bench.registry import Catalogue, hyperparameters
from bench.spec import SCHEMA, Budget, Run
from bench.store import Store, write, writing
from bench.train import Batches, Outcome, Plan, Training, derive, generator, train
from metrics.metric import Metric
from metrics.reconstruction import Baselines
from models.method import AutoEncoder, Recipe

SMOKE_STEPS = 5


@dataclass(frozen=True)
class Images:
    """A dataset on the device, with what is computed once for it."""

    train: Tensor  # (N, C, H, W) uint8
    test: Tensor
    levels: int
    sha256: str
    baselines: Callable[[int], Baselines]


@dataclass
class Context:
    """What runs of one process share."""

    catalogue: Catalogue
    store: Store
    device: torch.device
    data_root: Any  # Path
    jobs: int = 1
    save_every: float = 30.0
    images: dict[tuple[str, str], Images] = field(default_factory=dict)

    def data(self, run: Run) -> Images:
        """The run's dataset, loaded when first asked for."""
        key = (run.dataset, run.held_out)
        if key not in self.images:
            dataset = self.catalogue.get("dataset", run.dataset).load(self.data_root)
            if run.held_out == "validation":
                dataset = dataset.with_validation()
            train_images, test_images = (torch.from_numpy(split).to(self.device) for split in (dataset.train, dataset.test))
            baselines = baselines_of(train_images, test_images, dataset.levels)
            self.images[key] = Images(train_images, test_images, dataset.levels, dataset.sha256(), baselines)
        return self.images[key]


@dataclass(frozen=True)
class Prepared:
    """A run that can be started: its method is built, its values are checked."""

    run: Run
    recipe: Recipe
    method: AutoEncoder
    hyperparameters: dict[str, Any]
    plan: Plan
    metrics: list[Metric]

    @property
    def parameter_count(self) -> int:
        """Trained values of all players."""
        return sum(p.numel() for p in self.method.parameters())


def prepare(run: Run, catalogue: Catalogue) -> Prepared:
    """Build the run's method on the CPU from its seed; UserError for anything the suite got wrong. Reads no data."""
    where = f"methods.{run.label}"
    make, network = catalogue.get("method", run.method), catalogue.get("network", run.network)
    source = catalogue.get("dataset", run.dataset)
    values = hyperparameters(make, run.hyperparameters, where)
    metrics = [catalogue.get("metric", name) for name in run.metrics or catalogue.metrics]
    n = source.train_count(run.held_out)
    if run.batch_size > n:
        raise UserError(f"{where}: batch_size {run.batch_size} is more than the {n} training images of {run.dataset}")
    if run.batch_size < 2:
        raise UserError(f"{where}: batch_size must be at least 2, not {run.batch_size}")
    budget = Budget(steps=SMOKE_STEPS) if run.smoke else run.budget
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "weights"))
        try:
            recipe = make(run.latent_dim, **values)
            method = recipe.assemble(source.shape, run.latent_dim, network)
        except ValueError as error:
            raise UserError(f"{where}: {error}") from None
    plan = Plan(budget, run.optimizer, n // run.batch_size, budget.total_steps(n, run.batch_size))
    return Prepared(run, recipe, method, values, plan, metrics)


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
        text = " ".join(str(error).split()) if isinstance(error, RunError) else f"{type(error).__name__}: {' '.join(str(error).split())}"
        record |= {"status": "failed", "error": text[:500], "spent": None, "metrics": {}, "cost": {}}
        write(context.store.folder(run) / "error.txt", traceback.format_exc().encode())
    record["times"] = {"started": started, "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    context.store.save_record(run, record)
    if record["status"] != "failed":
        context.store.drop_checkpoint(run)
    return record


def head(prepared: Prepared, context: Context) -> dict[str, Any]:
    """What a record says before anything has run."""
    run, recipe = prepared.run, prepared.recipe
    resolved = replace(run, hyperparameters=prepared.hyperparameters)
    return {
        "schema": SCHEMA,
        **{name: getattr(run, name) for name in ("suite", "label", "seed", "smoke")},
        "key": run.key(),
        "row_key": run.row_key(),
        "config": {
            **resolved.config(),
            "recipe": recipe.words(),
            "convention": context.catalogue.get("dataset", run.dataset).convention,
        },
        "environment": describe(context.device, context.jobs),
        "hashes": {"code": code_hash(run.plugins)},
    }


def carry_out(prepared: Prepared, context: Context, report: Callable[[float], None] | None) -> dict[str, Any]:
    """The part of a run that takes time; -> the rest of its record."""
    run, store, device = prepared.run, context.store, context.device
    data = context.data(run)
    reset_peak_memory(device)
    method = prepared.method.to(device)
    training = Training(method, prepared.plan, generator(device, run.seed, "noise"))
    outcome = train(
        training,
        Batches(data.train, data.levels, run.batch_size, run.seed),
        state=load_state(store.checkpoint(run), device),
        save=lambda state: store.save_checkpoint(run, dump_state(state)),
        save_every=context.save_every,
        report=report,
    )
    before = time.perf_counter()
    entries = {}
    if outcome.status == "done":
        evaluation = Evaluation(method, data.train, data.test, data.levels, run.seed, data.baselines)
        entries = evaluate(evaluation, prepared.metrics, run.held_out)
        write(store.folder(run) / "weights.safetensors", weights_file(method))
    store.save_curve(run, outcome.curve)
    images = outcome.step * run.batch_size
    entries["parameter_count"] = cost(prepared.parameter_count, "trained values of all players", better=None)
    return {
        "status": outcome.status,
        "error": outcome.error,
        "spent": {"steps": outcome.step, "epochs": outcome.step / prepared.plan.per_epoch, "images": images},
        "hashes": {"code": code_hash(run.plugins), "data": data.sha256, "weights": weights_hash(method)},
        "metrics": entries,
        "cost": costs(outcome, images, time.perf_counter() - before, device),
    }


def costs(outcome: Outcome, images: int, evaluation: float, device: torch.device) -> dict[str, Any]:
    """What differs between two equal runs: times and memory."""
    memory = "allocated on the device" if device.type == "cuda" else "resident in the process"
    return {
        "train_seconds": cost(outcome.seconds, "training only, device idle at both ends", "s"),
        "images_per_second": cost(images / outcome.seconds, "training images over training seconds", "1/s", "higher"),
        "evaluation_seconds": cost(evaluation, "all metrics of the run", "s"),
        "peak_memory_mib": cost(peak_memory_mib(device), f"most memory {memory}, training and evaluation", "MiB"),
    }


def cost(value: float | None, protocol: str, unit: str = "", better: str | None = "lower") -> dict[str, Any]:
    """An entry of a record like a metric's."""
    reason = {} if value is not None else {"reason": "this system does not say"}
    return {"value": value, **reason, "unit": unit, "better": better, "group": "cost", "protocol": protocol}


def dump_state(state: dict[str, Any]) -> bytes:
    """A training state as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_state(payload: bytes | None, device: torch.device) -> dict[str, Any] | None:
    """A training state from bytes; generator states stay on the CPU, as torch wants them."""
    if payload is None:
        return None
    state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    return {**state, "noise": state["noise"].cpu()}


def weights_file(method: nn.Module) -> bytes:
    """The weights in safetensors format."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in method.state_dict().items()})


def weights_hash(method: nn.Module) -> str:
    """Hash of every tensor of the state, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(method.state_dict().items()):
        digest.update(name.encode() + b"\0" + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_writable(store: Store) -> None:
    """UserError before hours of work where the results cannot be kept."""
    probe = store.runs / ".writable"
    write(probe, b"")
    with writing(probe):
        probe.unlink()
