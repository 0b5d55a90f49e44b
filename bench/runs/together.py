"""A run that several processes train together: what is shared of it, what its record says, and who writes its files."""

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
from bench.training.shared import SharedTraining, shared
from bench.training.team import Team

SHARING = "bench.training.shared"


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


def trained_together(resolved: Resolved, team: Team | None) -> Resolved:
    """The same; where there is a team, what shares its work is of the code that trains it."""
    return replace(resolved, trained_by=resolved.trained_by | code_of_sharing(processes(team)))


def code_of_sharing(environment: Mapping[str, Any]) -> Hashes:
    """The modules that share the work of a run, with their hashes; none where one process trained it."""
    return standing_on((project_module(SHARING),)) if environment.get("processes") else {}


@contextmanager
def stages_of(prepared: Prepared, team: Team | None) -> Iterator[tuple[Stage, ...]]:
    """The stages of a run, shared where there is a team; inside, its method is."""
    if team is None:
        yield prepared.stages
        return
    if team.first:
        team.call()
    with shared(networks_of(prepared.method).values(), team) as sharing:
        yield tuple(replace(stage, trainer=partial(SharedTraining, sharing)) for stage in prepared.stages)
