"""The stages of a run, trained one after the other: each has weights, a plan, random streams and a checkpoint of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Generator, Tensor, nn

from bench.datasets.batches import Batches, derive, generator
from bench.runs.context import Context
from bench.suites.schema import Run
from bench.training.checkpoint import dump_state, resume
from bench.training.clock import Clock
from bench.training.train import Outcome, Plan, Progress, Training, train
from models.interfaces import Trainable


@dataclass(frozen=True)
class Stage:
    """A part of a run that is trained by itself: the method, or a density of its codes."""

    module: nn.Module  # its state is among the weights of the run
    trainable: Trainable  # the same, as the trainer sees it
    plan: Plan | None  # None: `fit` is all there is to do
    checkpoint: str  # the name of its file
    recipe: Mapping[str, Any]  # what it is, as the record has it
    seconds: tuple[str, str]  # what the record calls the time that it takes, and how that is taken
    scope: tuple[str, ...] = ()  # begins the names of its weights, random streams and errors; () of the first stage
    fit: Callable[[Batches, Generator], str | None] | None = None  # before any step; -> why it cannot be done, if it cannot
    trainer: Callable[[Trainable, Plan, Generator], Training] = Training

    def tensors(self) -> dict[str, Tensor]:
        """Its state, under the names that it has among the weights of the run."""
        return {".".join((*self.scope, name)): tensor for name, tensor in self.module.state_dict().items()}

    def named(self, entry: dict[str, Any]) -> dict[str, Any]:
        """An entry of the record: the first stage's as it is, that of another under its name."""
        for name in reversed(self.scope):
            entry = {name: entry}
        return entry


def train_stage(
    stage: Stage,
    run: Run,
    context: Context,
    *,
    of: str,
    note: Callable[[str], None] | None = None,
    save_end: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train a stage on the run's images, from its checkpoint if that is of the same; it stays on the device.

    of: names what trains it, and the earlier stages' weights. note: called with a line where the checkpoint is of something else.
    save_end: whether a checkpoint of the end is kept, where another stage follows.
    report: called after each block of steps.
    """
    store, device, data = context.store, context.device, context.data(run)
    stage.module.to(device)
    noise, clock = generator(device, run.seed, *stage.scope, "noise"), Clock(device)
    batches = Batches(data.train, data.levels, run.batch_size, derive(run.seed, *stage.scope) if stage.scope else run.seed)
    error = None
    if stage.fit:
        clock.start()
        error = stage.fit(batches, noise)
        clock.stop()
    if error or stage.plan is None:
        return ended(stage, Outcome("diverged" if error else "done", 0, clock.spent, [], error))

    def save(state: dict[str, Any]) -> None:
        store.save_checkpoint(run, dump_state({**state, "of": of}, device), stage.checkpoint)

    training = stage.trainer(stage.trainable, stage.plan, noise)
    state = resume(training, store.checkpoint(run, stage.checkpoint), store.folder(run) / stage.checkpoint, of, note)
    trained = train(training, batches, state=state, save=save, save_every=context.settings.save_every, report=report)
    outcome = ended(stage, replace(trained, seconds=trained.seconds + clock.spent))
    if save_end and outcome.status == "done":
        save(training.state(trained.seconds))
    return outcome


def ended(stage: Stage, outcome: Outcome) -> Outcome:
    """The outcome as the run has it: errors begin with the stage's name, and weights are looked at too."""
    error = outcome.error and ": ".join((*stage.scope, outcome.error))
    return check_weights(replace(outcome, error=error), stage.module.state_dict())


def check_weights(outcome: Outcome, state: Mapping[str, Tensor]) -> Outcome:
    """Diverged where weights are not finite though losses are: the last step's loss is that of the weights before it."""
    for name, tensor in state.items():
        if outcome.status == "done" and not tensor.isfinite().all():
            bad = f"{int((~tensor.isfinite()).sum())} of {tensor.numel()} values of {name} are not finite"
            return replace(outcome, status="diverged", error=f"after step {outcome.step}: {bad}; lower lr")
    return outcome
