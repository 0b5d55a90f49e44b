"""What the commands do, once their options are read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.commands import console
from bench.commands.absent import recorded_names, say_absent
from bench.engines.local import Options, sweep
from bench.environment import default_device, set_up
from bench.errors import RunError, UserError
from bench.leaderboard import publish as boards
from bench.leaderboard.rows import losses
from bench.leaderboard.statistics import figures, mean_and_interval
from bench.processes import default_jobs
from bench.records.check import finite
from bench.records.store import KINDS, PROFILE, Store
from bench.registry import Catalogue, catalogue
from bench.runs.context import Context, kernels_on
from bench.runs.profile import profiled
from bench.runs.run import Prepared, check_writable, prepare
from bench.suites.schema import Run, Suite

COLUMNS = ("rec_sse_test", "rec_sse_train", "overfit_gap", "frechet_pixels_pz", "frechet_pixels_qz")  # of the table on the console


@dataclass(frozen=True)
class Request:
    """A suite and how to run it."""

    suite: Suite  # the rows and seeds asked for
    whole: Suite  # all of them, for the leaderboard
    device: str | None
    data_root: Path
    out: Path
    smoke: bool = False
    jobs: int | None = None
    threads: int = 1
    save_every: float = 30.0
    profiles: bool = True

    @property
    def device_kind(self) -> str:
        """cpu or cuda."""
        return self.device or default_device()

    def runs(self) -> list[Run]:
        """The runs asked for."""
        return self.suite.runs(self.device_kind, smoke=self.smoke)

    def options(self) -> Options:
        """How the runs are run."""
        jobs = self.jobs or default_jobs(self.device_kind, self.threads)
        return Options(
            self.out,
            self.data_root,
            self.device_kind,
            self.threads,
            min(jobs, len(self.runs())),
            self.save_every,
            self.profiles and not self.smoke,
        )


def checked(request: Request) -> tuple[Catalogue, list[Prepared]]:
    """Build every row once: whatever is wrong with the suite is said before anything starts."""
    kernels_on(set_up(request.device_kind, request.threads))
    found = catalogue(request.suite.plugins)
    try:
        return found, [prepare(run, found) for run in request.runs() if run.seed == 0]
    except UserError as error:
        raise UserError(f"{request.suite.where}: {error}") from None


def dry_run(request: Request) -> None:
    """Print every run with its steps and parameters."""
    rows = []
    for prepared in checked(request)[1]:
        steps = prepared.plan.total
        shown = f"{steps:,}" if steps is not None else f"as many as {prepared.plan.budget} allow"
        for run in (run for run in request.runs() if run.label == prepared.run.label):
            values = ", ".join(f"{name}={value}" for name, value in prepared.hyperparameters.items())
            rows.append([run.label, str(run.seed), run.method, values, f"{shown}", f"{prepared.parameter_count:,}", run.key()])
    rows.sort(key=lambda row: int(row[1]))
    suite = request.suite
    words = f"{suite.name}: {suite.dataset}, {suite.network}, {suite.latent_dim} latents; {len(rows)} runs on {request.device_kind}"
    console.table(["run", "seed", "method", "values", "steps", "parameters", "key"], rows, words)


def run(request: Request) -> int:
    """Run what is not finished, write the leaderboard; -> exit code."""
    checked(request)
    runs, options = request.runs(), request.options()
    store = Store(request.out, request.suite.name)
    for kind in KINDS:
        store.kept(kind)  # a damaged line of the records is said before anything starts
    try:
        with console.progress(len(runs)) as tell:
            sweep(runs, options, tell)
    finally:
        records = [record for item in runs if (record := store.record(item))]
        if records and not request.smoke:
            store.merge(records)
    if not request.smoke:
        path = boards.publish(request.out, request.whole, console.warn)
    asked = recorded_names(request.suite.metrics, request.suite)
    summary(records, request, asked)
    lacking = say_absent(records, asked)
    print("\nsmoke runs: not on any leaderboard" if request.smoke else f"\nleaderboard: {path}")
    done = all(record["status"] == "done" for record in records) and len(records) == len(runs)
    return 0 if done and not lacking else 1


def summary(records: list[dict[str, Any]], request: Request, asked: list[str]) -> None:
    """The rows' main numbers, or those that were asked for, on the console: means over the seeds that were asked for."""
    shown = [name for name in asked or recorded_names(COLUMNS, request.suite) if any(name in record["metrics"] for record in records)]
    rows = []
    for label in dict.fromkeys(record["label"] for record in records):
        own = [record for record in records if record["label"] == label]
        done = [record for record in own if record["status"] == "done"]
        status = f"{len(done)}/{len(own)} done{losses(own)}"
        rows.append([label, status, *(mean([record["metrics"].get(name) for record in done]) for name in shown)])
    console.table(["method", "status", *shown], rows, request.suite.question)


def mean(entries: list[dict[str, Any] | None]) -> str:
    """The mean of a metric's finite values and its interval, as on the leaderboard."""
    values = [float(entry["value"]) for entry in entries if entry and entry["value"] is not None and finite(entry["value"])]
    return figures(*mean_and_interval(values)) if values else "-"


def profile(request: Request) -> None:
    """Profile one row, print and keep it."""
    found, prepared = checked(request)
    store = Store(request.out, request.suite.name)
    check_writable(store)
    context = Context(found, store, set_up(request.device_kind, request.threads), request.data_root)
    try:
        result = profiled(prepared[0], context)
    except RunError as error:
        raise UserError(f"{prepared[0].run.label}: {error}") from error
    store.merge([result], PROFILE)
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in result["phases"].items())
    print(f"{result['label']}: {result['step_ms']:.3g} ms a step: {shares}\n")
    rows = [
        [k["name"], f"{k['calls']:g}", f"{k['self_us']:.1f}", f"{100 * k['share']:.1f} %", f"{k['flops']:,}" if k["flops"] else "-"]
        for k in result["kernels"]
    ]
    console.table(["kernel", "calls/step", "self µs/step", "share", "FLOPs/step"], rows)
