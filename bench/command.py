"""What the commands do, once their options are read."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import boards, console, feature_commands, gpu_page, methods_table, metrics_page, speed_page, suite_file
from bench import gpu_check as check
from bench import speed as speed_of
from bench.context import Context
from bench.datasets import data
from bench.environment import default_device, set_up
from bench.errors import RunError, UserError
from bench.leaderboard import losses
from bench.processes import at_a_time
from bench.profile import profiled
from bench.registry import Catalogue, catalogue
from bench.run import Prepared, check_writable, prepare
from bench.spec import Run, Suite
from bench.store import PROFILE, WHOLE, Store
from bench.sweep import Options, sweep

ONE = {"methods": "method", "networks": "network", "densities": "density"}
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
        jobs = self.jobs or at_a_time(self.device_kind, self.threads)
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
    set_up(request.device_kind, request.threads)
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
    for kind in WHOLE:
        store.kept(kind)  # a damaged line of the records is said before anything starts
    try:
        with console.progress(len(runs)) as tell:
            sweep(runs, options, tell)
    finally:
        records = [record for item in runs if (record := store.record(item))]
        if records and not request.smoke:
            store.merge(records)
    if not request.smoke:
        path = boards.publish(request.out, request.whole)
    summary(records, request)
    print("\nsmoke runs: not on any leaderboard" if request.smoke else f"\nleaderboard: {path}")
    return 0 if all(record["status"] == "done" for record in records) and len(records) == len(runs) else 1


def summary(records: list[dict[str, Any]], request: Request) -> None:
    """The rows' main numbers on the console, means over the seeds that were asked for."""
    shown = [name for name in COLUMNS if any(name in record["metrics"] for record in records)]
    rows = []
    for label in dict.fromkeys(record["label"] for record in records):
        own = [record for record in records if record["label"] == label]
        done = [record for record in own if record["status"] == "done"]
        status = f"{len(done)}/{len(own)} done{losses(own)}"
        rows.append([label, status, *(mean([record["metrics"].get(name) for record in done]) for name in shown)])
    console.table(["method", "status", *shown], rows, request.suite.question)


def mean(entries: list[dict[str, Any] | None]) -> str:
    """The mean of a metric's values as the console has it."""
    values = [entry["value"] for entry in entries if entry and entry["value"] is not None]
    return f"{sum(values) / len(values):.4g}" if values else "-"


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


def speed(device: str | None, data_root: Path, out: Path, threads: int, quick: bool) -> None:
    """Measure training, evaluation and reading beside others'; print and keep the page."""
    chosen = speed_of.Settings(device or default_device(), threads, data_root, *((2, 1, True) if quick else ()))
    check_writable(Store(out, "speed"))
    page = speed_page.publish(out, speed_of.measure(chosen, lambda text: console.err.print(text, markup=False)))
    print(page.read_text(encoding="utf-8"))
    print(page)


def gpu_check(device: str, out: Path, quick: bool) -> int:
    """Check what needs a GPU; -> exit code."""
    if device == "cpu" and not quick:
        raise UserError("gpu-check measures CUDA devices; --device cpu is for --quick, which tests the command itself")
    set_up(device, 1)
    result = check.check(check.Case(device, quick), lambda text: console.err.print(text, markup=False))
    print(gpu_page.publish(check.folder_of(out, result), result))
    for name, part in result["parts"].items():
        print(f"{name}: {'ok' if part['ok'] else part.get('error', 'a check failed')}")
    return 0 if result["ok"] else 1


def list_all(what: str) -> None:
    """Names with one line on each."""
    if what == "suites":
        suites = [suite_file.read(name) for name in suite_file.names()]
        console.table(["suite", "question", "hardware", "time"], [[s.name, s.question, s.hardware, s.expected_time] for s in suites])
        return
    found = getattr(catalogue(), what)
    if what == "methods":
        console.table(list(methods_table.HEADERS), methods_table.rows(found), f"With their default values, at {methods_table.DIM} latents:")
        print()
    if what in ONE:
        rows = [[name, first_line(fn), str(inspect.signature(fn)).split(" ->")[0]] for name, fn in sorted(found.items())]
        console.table([ONE[what], "what it is", "values"], rows)
    elif what == "datasets":
        console.table([*data.HEADERS[: -data.LOCAL]], [list(row[: -data.LOCAL]) for row in data.rows(found.values(), Path("data"))])
    else:
        console.table(list(metrics_page.HEADERS), [list(metrics_page.row(metric)) for metric in found.values()])


def first_line(fn: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(fn) or "").split("\n")[0]


def data_list(root: Path) -> None:
    """Every dataset and whether it is there."""
    console.table(list(data.HEADERS), [list(row) for row in data.rows(catalogue().datasets.values(), root)])


def data_action(action: str, name: str, root: Path) -> None:
    """fetch, verify or pack one dataset."""
    source = catalogue().get("dataset", name)
    print({"fetch": data.fetch, "verify": data.verify, "pack": data.pack}[action](source, root))


def features_list(root: Path) -> None:
    """Every feature network and whether its weights are there."""
    console.table(list(feature_commands.HEADERS), [list(row) for row in feature_commands.rows(catalogue(), root)])


def features_train(name: str, root: Path, file: Path | None) -> None:
    """Train a dataset's classifier."""
    print(feature_commands.train(catalogue(), name, root, file))
