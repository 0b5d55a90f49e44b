"""Who trains a run: one process on the CPU or a GPU, or several together. What is shared of it then, what its record says, who writes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bench.records.code import Hashes, project_module, standing_on
from bench.records.store import CHECKPOINT, Store
from bench.runs.context import Context
from bench.runs.prepare import Prepared
from bench.runs.resolve import Resolved
from bench.runs.shareable import networks_of
from bench.runs.stages import Stage
from bench.suites.schema import Run
from bench.training.gathered import trainer_on
from bench.training.shared import SharedTraining, shared
from bench.training.team import Team

SHARING, GATHERING = "bench.training.shared", "bench.training.gathered"


class TeamStore(Store):
    """Where results live, written by the first process alone; a checkpoint that it finds is given to all."""

    def __init__(self, store: Store, team: Team):
        super().__init__(store.out, store.suite)
        self.team = team

    def checkpoint(self, run: Run, name: str = CHECKPOINT) -> bytes | None:
        """The bytes that the first process finds."""
        return self.team.bytes_of_first(super().checkpoint(run, name) if self.team.first else None)

    def save_checkpoint(self, run: Run, payload: bytes, name: str = CHECKPOINT) -> None:
        """By the first process."""
        if self.team.first:
            super().save_checkpoint(run, payload, name)

    def save_curve(self, run: Run, curve: Any) -> None:
        """By the first process."""
        if self.team.first:
            super().save_curve(run, curve)

    def append_curve(self, run: Run, rows: Any) -> None:
        """By the first process."""
        if self.team.first:
            super().append_curve(run, rows)


def with_team(context: Context, team: Team) -> Context:
    """The same for a process of a team."""
    return replace(context, store=TeamStore(context.store, team), team=team)


def processes(team: Team | None) -> dict[str, int]:
    """What an environment says of a team: how many processes trained the run, where they were several."""
    return {"processes": team.size} if team else {}


def trained_here(resolved: Resolved, team: Team | None = None) -> Resolved:
    """The same with all the code that trains the run on its device, by this team if there is one."""
    return replace(resolved, trained_by=resolved.trained_by | code_of_place(resolved.run.device == "cuda", team is not None))


def code_of_environment(environment: Mapping[str, Any]) -> Hashes:
    """The modules, with their hashes, that trained a record because of where that was; none of one process on a CPU."""
    on_gpu = environment.get("processor") is not None  # of the host; on the CPU it is the device
    return code_of_place(on_gpu, bool(environment.get("processes")))


def code_of_place(on_gpu: bool, shared: bool) -> Hashes:
    """The same of a kind of device, and of whether several processes share the work."""
    modules = [SHARING] if shared else [GATHERING] if on_gpu else []
    return standing_on(map(project_module, modules))


@contextmanager
def stages_of(prepared: Prepared, context: Context) -> Iterator[tuple[Stage, ...]]:
    """The stages of a run with what trains them here: shared where there is a team; inside, its method is."""
    team = context.team
    if team is None:
        yield tuple(replace(stage, trainer=trainer_on(context.device)) for stage in prepared.stages)
        return
    if team.first:
        team.call()
    with shared(networks_of(prepared.method).values(), team) as sharing:
        yield tuple(replace(stage, trainer=partial(SharedTraining, sharing)) for stage in prepared.stages)
