"""latentbench trains generative autoencoders under one protocol and writes leaderboards.

Exit codes: 0 all runs done; 1 some run failed or diverged, its row says why; 2 a mistake in what was asked, or a machine that
cannot do it; 130 interrupted. Nothing finished is ever lost: the same command goes on where the last one stopped.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import entry
from bench.commands.boards import curves, leaderboard, status
from bench.commands.cells import cell
from bench.commands.checks import copies_check, likelihood_check, second_check, tiers_check
from bench.commands.data_groups import data, features
from bench.commands.doctor.command import doctor
from bench.commands.drawing import figures
from bench.commands.exports import compare, export, merge
from bench.commands.hub import pull, push
from bench.commands.measuring import measure
from bench.commands.names import list_
from bench.commands.options import (
    DATA,
    HERE,
    DataRoot,
    Device,
    Jobs,
    Limit,
    Log,
    Meanwhile,
    MeasureAt,
    Measured,
    Name,
    Out,
    Set,
    SuiteName,
    Threads,
    Where,
    check_counts,
    names_in,
    number,
    parameters,
    shares_in,
    whole,
)
from bench.commands.page import page
from bench.commands.records import records
from bench.commands.repeating import repeats
from bench.commands.reproducing import reproduce
from bench.commands.searching import search
from bench.errors import UserError
from bench.processes import default_jobs, make_ready
from bench.runs import trackers
from bench.runs.settings import Settings
from bench.suites import reader

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch: its profiler would print a line at each start and stop
app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
app.add_typer(data, name="data")
app.add_typer(features, name="features")
app.add_typer(records, name="records")
app.command(name="list")(list_)
for command in (
    cell,
    leaderboard,
    status,
    curves,
    page,
    export,
    compare,
    merge,
    figures,
    measure,
    repeats,
    reproduce,
    search,
    doctor,
    push,
    pull,
):
    app.command()(command)
for check in (tiers_check, second_check, copies_check, likelihood_check):
    app.command(name=check.__name__.replace("_", "-"))(check)


@app.command()
def run(
    suite: SuiteName = "digits",
    overrides: Set = None,
    name: Name = None,
    methods: Annotated[str | None, typer.Option(help="Only these rows of the suite: vae_bernoulli,vcae.")] = None,
    seeds: Annotated[int | None, typer.Option(parser=whole, metavar="INTEGER", help="How many seeds instead of the suite's.")] = None,
    device: Device = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the runs, their steps and parameter counts; start nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run finished runs again too, from the start.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps of every run; never on a leaderboard.")] = False,
    jobs: Jobs = None,
    threads: Annotated[
        int, typer.Option(parser=whole, metavar="INTEGER", help="CPU threads of each run; weights repeat bit for bit at the same number.")
    ] = 1,
    save_every: Annotated[float, typer.Option(parser=number, metavar="FLOAT", help="Seconds between checkpoints.")] = 30.0,
    log: Log = None,
    measure_at: MeasureAt = None,
    measured: Meanwhile = None,
    profiles: Annotated[
        bool, typer.Option("--profile/--no-profile", help="Profile each row once for the hot spots, on this machine.")
    ] = True,
    drawn: Annotated[
        bool, typer.Option("--figures", help="Draw the figures that suit each run, and the suite's, when all are done.")
    ] = False,
    limit: Limit = None,
    engine: Annotated[str, typer.Option(help="local: processes here; ray, slurm: a cluster, docs/cluster.md.")] = "local",
    cluster: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="A parameter of the engine's own: of ray.init, of submitit. May be repeated."),
    ] = None,
) -> None:
    """Train and measure every run of a suite that is not finished yet, then write its leaderboard."""
    check_counts(seeds=seeds, jobs=jobs, threads=threads)
    trackers.check(followers := names_in("--log", log))
    shares, asked = shares_in("--measure-at", measure_at), names_in("--measure", measured)
    if asked and not shares:
        raise UserError("--measure says what is measured at the shares of --measure-at, which are not given")
    if drawn and (smoke or dry_run):
        raise UserError(f"--figures draws whole runs; {'--smoke' if smoke else '--dry-run'} makes none")
    chosen, whole = reader.read_both(suite, tuple(overrides or ()), names_in("--methods", methods), seeds, name)
    if not dry_run and chosen.seeds * len(chosen.methods) > 1 and engine == "local":
        get_ready(device, jobs, threads)
    from bench.commands import run as command  # here, so that --help needs no torch
    from bench.engines.choose import engine as chosen_engine

    settings = Settings(
        out, data_root, device, threads, jobs, save_every, fresh=fresh, log=followers, measure_at=shares, measured=asked, limit=limit
    )
    sweep = chosen_engine(engine, parameters("--cluster", cluster))
    if dry_run:
        command.dry_run(chosen, whole, settings, smoke)
        return
    code = command.run(chosen, whole, settings, smoke, profiles, sweep)
    if drawn:
        from bench.commands import figures as drawing

        drawing.at_the_end(suite, (tuple(overrides or ()), name), settings)
    raise typer.Exit(code)


Chosen = Annotated[str | None, typer.Option("--metrics", help="Only these: fid_pz,mig. All, if not said.")]


@app.command()
def evaluate(
    what: Measured,
    overrides: Set = None,
    name: Name = None,
    metrics: Chosen = None,
    device: Where = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    jobs: Jobs = None,
    threads: Threads = 1,
) -> None:
    """Add metrics to finished runs from their weights, then write the leaderboard anew; nothing is trained."""
    check_counts(jobs=jobs, threads=threads)
    if not Path(what).is_dir():  # a run's folder
        get_ready(device, jobs, threads)
    from bench.commands import evaluate as measure_command

    target = measure_command.target_of(what, tuple(overrides or ()), out, name)
    raise typer.Exit(measure_command.evaluate(target, names_in("--metrics", metrics), Settings(out, data_root, device, threads, jobs)))


@app.command()
def verify(
    what: Measured,
    overrides: Set = None,
    name: Name = None,
    metrics: Chosen = None,
    device: Where = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    jobs: Jobs = None,
    threads: Threads = 1,
    tolerance: Annotated[
        float,
        typer.Option(parser=number, metavar="FLOAT", help="A value has moved if it differs by more than this share of the larger one."),
    ] = 1e-6,
) -> None:
    """Compute the metrics of finished runs again and say which moved, by how much and why; exit with 1 if one did. Writes nothing."""
    check_counts(jobs=jobs, threads=threads)
    if not Path(what).is_dir():  # a run's folder
        get_ready(device, jobs, threads)
    from bench.commands import evaluate as measure_command

    target = measure_command.target_of(what, tuple(overrides or ()), out, name)
    raise typer.Exit(
        measure_command.verify(target, names_in("--metrics", metrics), Settings(out, data_root, device, threads, jobs), tolerance)
    )


def get_ready(device: str | None, jobs: int | None, threads: int) -> None:
    """Have workers' imports begun where there will be workers, before this process imports the same."""
    from bench.engines.preload import preloaded  # it imports packages that another's may hide, which `entry` says

    if (jobs or default_jobs(device, threads)) > 1:
        make_ready(threads, preloaded())


@app.command()
def profile(
    suite: SuiteName,
    method: Annotated[str, typer.Option("--method", "-m", help="A row of the suite.")],
    overrides: Set = None,
    name: Name = None,
    device: Device = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    threads: Threads = 1,
) -> None:
    """Time a method's training step by phases and kernels; kept for the hot spots section of its leaderboard."""
    check_counts(threads=threads)
    from bench.commands import run as command

    chosen = reader.read(suite, tuple(overrides or ()), (method,), name=name)
    command.profile(chosen, Settings(out, data_root, device, threads, jobs=1))


@app.command()
def speed(
    device: Device = None,
    data_root: DataRoot = DATA,
    out: Out = HERE,
    threads: Threads = 1,
    quick: Annotated[bool, typer.Option("--quick", help="One network, few rounds, small sizes, no memory: to see that it works.")] = False,
) -> None:
    """Compare training, evaluation and reading with other implementations; writes leaderboards/speed.md and speed.json.

    pythae's trainer and a bare loop train the same networks on the same images with the same batch and optimiser; torch-fidelity
    and scipy compute the same distances and features, a DataLoader decodes the same images. All are timed alternately inside one
    run of ten minutes or so. MNIST is used where the data root has it. pythae comes with the extra `peers`; without it its rows are
    missing and the page says so.
    """
    check_counts(threads=threads)
    from bench.commands import speed as command

    command.speed(device, data_root, out, threads, quick)


@app.command(name="gpu-check")
def gpu_check(
    device: Annotated[str, typer.Option(help="cuda; cpu only together with --quick, to see that the command works.")] = "cuda",
    out: Out = HERE,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes: the code runs, its numbers mean nothing.")] = False,
    compile_only: Annotated[
        bool, typer.Option("--compile-only", help="Compile the Triton kernels for sm_80 and sm_90 and no more; needs no GPU.")
    ] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Count launches, bytes and FLOPs of each suite's steps and no more; needs no GPU.")
    ] = False,
    suite: Annotated[str | None, typer.Option(help="With --estimate: this suite alone, a name or a path; nothing is written.")] = None,
    part: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="This part alone, in a folder of its own. May be repeated.")
    ] = None,
) -> None:
    """Check and measure all that needs a GPU, in under nine minutes; writes leaderboards/gpu/NAME/check.md and check.json.

    Kernels against float64, steps as CUDA graphs against eager ones, times of kernels and of training in each precision, the
    CelebA network's share of the device's own matrix rate, hot spots. A part that fails or hangs is a line of the report.
    Parts: correctness, agreement, training times, seeds at once, utilisation, kernel times, profiles.
    Exit code 1 if a check failed. With --compile-only a table of registers, spills and shared memory is printed, and nothing written;
    with --estimate what would bound training on an H100, kept as leaderboards/gpu/estimate.md.
    """
    entry.check_installed("gpu-check", "zuko")
    if compile_only and estimate:
        raise UserError("gpu-check: --compile-only and --estimate are two commands; give one of them")
    if suite is not None and not estimate:
        raise UserError("gpu-check: --suite is for --estimate; the checks have networks of their own")
    if part and (compile_only or estimate):
        raise UserError("gpu-check: --part is for the checks, which --compile-only and --estimate leave out")
    from bench.commands import speed as command

    if estimate:
        command.estimate(suite, out)
        return
    raise typer.Exit(command.compile_kernels(quick) if compile_only else command.gpu_check(device, out, quick, part or ()))


def main() -> None:
    """The command line."""
    entry.enter(app)


if __name__ == "__main__":
    main()
