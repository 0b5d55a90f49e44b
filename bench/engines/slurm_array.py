"""Cells as a Slurm job array, by submitit: one that is preempted or out of time is queued again and goes on from its checkpoint.

Results lie on storage that all nodes share. The command waits for records, and asks Slurm only whether a cell without one is still queued.
"""

import math
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

import submitit
from submitit.helpers import Checkpointable

from bench.engines.cell import ending, run_cell, unfinished
from bench.engines.watch import name_of
from bench.errors import UserError
from bench.processes import same_imports
from bench.records.store import FINAL, Store
from bench.runs.context import Context
from bench.runs.events import Event, Tell
from bench.runs.resolve import Resolved
from bench.runs.run import failed
from bench.runs.settings import Settings
from bench.suites.schema import Run

POLL = 2.0  # seconds between two looks at records
LOST = 60.0  # seconds between two looks at Slurm's queue, longer than NFS hides a new file; a cell that two of them miss was lost
ROOM = 1.5  # times the most that was measured
MAPPED = 1.0  # GiB beside the measured memory: libraries and packed data, which are mapped files


class SlurmCell(Checkpointable):
    """What a task of the array does; submitit queues it again, as it was, where Slurm takes its place."""

    def __call__(self, run: Run, settings: Settings, since: int | None) -> None:
        run_cell(run, settings, since, lambda event: None)


def sweep(parameters: Mapping[str, Any], runs: list[Resolved], context: Context, profiles: bool, tell: Tell) -> None:
    """Every run as a task of one array; rows are not profiled: `profile` does that, on a machine that does nothing else.

    parameters: those of submitit's executor, such as timeout_min or slurm_partition.
    """
    left, store, settings = unfinished(runs, context, tell), context.store, context.settings.absolute()
    if not left:
        return
    before = {run.key(): store.written(run) for run in left}
    executor = executor_of(left, settings, store, parameters)
    with same_imports():  # jobs find the modules that this process finds
        cells = [run.absolute() for run in left]
        jobs = executor.map_array(SlurmCell(), cells, [settings] * len(left), list(before.values()))
    waiting = {run.key(): (run, job) for run, job in zip(left, jobs, strict=True)}
    try:
        wait(waiting, before, {one.run.key(): one for one in runs}, context, tell)
        if all(executed(store, run) for run in left):
            shutil.rmtree(executor.folder, ignore_errors=True)  # else its logs say why
    except BaseException:  # Ctrl-C too
        for _, job in waiting.values():
            job.cancel()
        raise


def executed(store: Store, run: Run) -> bool:
    """Whether a run has come to an end of its own."""
    return (store.record(run) or {}).get("status") in FINAL


def executor_of(runs: Sequence[Run], settings: Settings, store: Store, parameters: Mapping[str, Any]) -> Any:
    """submitit's executor with what the runs need; UserError for a parameter that it has not, or where there is no Slurm."""
    needs: dict[str, Any] = {"name": store.suite, "cpus_per_task": settings.threads}
    if runs[0].device == "cuda":
        needs["gpus_per_node"] = 1
    if settings.jobs:
        needs["slurm_array_parallelism"] = settings.jobs
    if memory := memory_gib(store.records(), runs):
        needs["mem_gb"] = memory
    try:
        executor = submitit.AutoExecutor(store.runs.absolute() / ".slurm", cluster="slurm")
        executor.update_parameters(**needs | dict(parameters))
    except (RuntimeError, NameError, ValueError, TypeError) as error:
        raise UserError(f"--engine slurm: {' '.join(str(error).split())[:300]}; --cluster gives parameters of submitit") from None
    return executor


def memory_gib(records: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> int | None:
    """What to ask for each run: more than its like took at most; None where that was not measured of every row, on the CPU.

    On a GPU the measured peak is the device's, and says nothing of a node's memory.
    """
    peaks: dict[str, float] = {}
    for record in records:
        found = record["cost"].get("peak_memory_mib", {}).get("value")
        if found is not None and record["config"]["device"] == "cpu":
            peaks[record["row_key"]] = max(found, peaks.get(record["row_key"], 0.0))
    rows = {run.row_key() for run in runs}
    return math.ceil(ROOM * max(peaks[row] for row in rows) / 1024 + MAPPED) if rows <= peaks.keys() else None


def wait(waiting: dict[str, Any], before: Mapping[str, int | None], resolved: Mapping[str, Resolved], context: Context, tell: Tell) -> None:
    """Until every run has a record; one that Slurm does not know any more has failed."""
    store, looked, missed = context.store, time.monotonic(), set[str]()
    while waiting:
        time.sleep(POLL)
        for key, (run, _) in list(waiting.items()):
            if store.written(run) != before[key]:
                del waiting[key]
                tell(ending(store, run))
            elif share := store.share(run):
                tell(Event(name_of(run), share))
        if time.monotonic() - looked >= LOST:
            there = queued(waiting)
            gone = {key for key, (_, job) in waiting.items() if job.job_id not in there}
            for key in gone & missed:
                run, job = waiting.pop(key)
                if store.written(run) == before[key]:
                    failed(resolved[key], context, f"Slurm ended job {job.job_id} before the run's end; see {job.paths.stderr.name}", "")
                tell(ending(store, run))
            looked, missed = time.monotonic(), gone


def queued(waiting: Mapping[str, Any]) -> set[str]:
    """The tasks that Slurm still has, running or not, as submitit names them: `ARRAY_TASK`, or `JOB` of one that is alone."""
    arrays = sorted({job.job_id.partition("_")[0] for _, job in waiting.values()})
    command = ["squeue", "--noheader", "--array", "--format=%F %K", "--jobs", ",".join(arrays)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode and "Invalid job id" not in found.stderr:  # what it says once all of an array is gone
        return {job.job_id for _, job in waiting.values()}  # the controller does not answer: nothing is known to be lost
    lines = (line.split() for line in found.stdout.splitlines())
    return {job if task == "N/A" else f"{job}_{task}" for job, task in lines}
