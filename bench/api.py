"""latentbench from Python: `from bench import api`. docs/python.md shows each function at work.

Images are float32 tensors (N, C, H, W) with values in [0, 1], for signals any real numbers; codes are (N, D). What a method is given is
moved to its device, what it returns lies there. Methods are in evaluation mode, no gradient is kept, float32 is never TF32. A mistake of
the caller's is a `bench.errors.UserError` of one line, as on the command line.
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bench.commands import run as command
from bench.datasets.batches import generator
from bench.environment import available, default_device, set_up, torch_as_it_was, without_tf32
from bench.errors import RunError, UserError, unknown
from bench.leaderboard import publish as boards
from bench.measure.measure import Options
from bench.measure.measure import measure as measured
from bench.records.store import Store, read_record, read_records
from bench.registry import catalogue
from bench.runs import trackers
from bench.runs.card import read_card, source_of
from bench.runs.events import Tell
from bench.runs.finished import remade, weights_in
from bench.runs.run import WEIGHTS
from bench.runs.settings import Settings, rising
from bench.suites import reader
from models.interfaces import Method, Prior

if TYPE_CHECKING:
    import pandas

BATCH = 1000  # images that go through a network at once
ROW = ("suite", "label", "seed", "status")  # of a record, and of its configuration, in a table of records
CONFIG = ("device", "method", "dataset", "network", "latent_dim", "batch_size", "held_out")


@dataclass(frozen=True)
class Trained:
    """A trained method.

    record: what its weights or its record say of it: `config`, `hashes`, `metrics` and more. shape: (C, H, W) of its images.
    """

    record: Mapping[str, Any]
    method: Method
    density: Prior | None  # fitted to its codes, where one was
    shape: tuple[int, int, int]
    device: torch.device

    @property
    def dim(self) -> int:
        """D, the length of a code."""
        return self.method.dim

    @torch.no_grad()
    @without_tf32()
    def encode(self, images: Tensor, *, seed: int | None = None) -> Tensor:
        """The mean of q(z|x) of each image; with a seed one draw of it.   (N, C, H, W) -> (N, D)

        UserError for images of another shape, of integers, or outside [0, 1] where the method is one of images.
        """
        noise = generator(self.device, seed or 0, "api.encode")
        draws = [self.method.draw(batch, noise) for batch in self.checked(images).split(BATCH)]
        codes = [draw.mean if seed is None else draw.z for draw in draws]
        return torch.cat(codes) if codes else torch.empty(0, self.dim, device=self.device)

    @torch.no_grad()
    @without_tf32()
    def decode(self, codes: Tensor) -> Tensor:
        """The image of each code.   (N, D) -> (N, C, H, W)"""
        if codes.ndim != 2 or codes.shape[1] != self.dim:
            raise UserError(f"codes must have the shape (N, {self.dim}), not {tuple(codes.shape)}")
        parts = [self.method.decode(batch) for batch in codes.to(self.device, torch.float32).split(BATCH)]
        return torch.cat(parts) if len(codes) else torch.empty(0, *self.shape, device=self.device)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Images by their mean codes.   (N, C, H, W) -> (N, C, H, W)"""
        return self.decode(self.encode(images))

    @torch.no_grad()
    @without_tf32()
    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Decoded draws of the density that was fitted to the codes, else of the prior; the same for the same seed.   -> (n, C, H, W)

        UserError for a method that has neither.
        """
        law = self.density or self.method.prior
        if law is None:
            raise UserError(
                f"{self.record['label']} has no prior, and no density was fitted to its codes: give its row one, density = {{...}}"
            )
        if n < 1:
            raise UserError(f"n must be at least 1, not {n}")
        return self.decode(law.sample(n, generator(self.device, seed, "api.sample")))

    def interpolate(self, first: Tensor, second: Tensor, steps: int = 10) -> Tensor:
        """Decoded codes on the straight line between the mean codes of two images, both ends among them.

        (C, H, W), (C, H, W) -> (steps, C, H, W)
        """
        if steps < 2:
            raise UserError(f"steps must be at least 2, not {steps}")
        start, end = self.encode(torch.stack([first, second]))
        return self.decode(torch.lerp(start, end, torch.linspace(0, 1, steps, device=self.device)[:, None]))

    def checked(self, images: Tensor) -> Tensor:
        """The images on the device; UserError for what a method cannot take."""
        if images.ndim != 4 or tuple(images.shape[1:]) != self.shape:
            raise UserError(f"images must have the shape (N, {', '.join(map(str, self.shape))}), not {tuple(images.shape)}")
        if not images.is_floating_point():
            raise UserError(f"images must be floats in [0, 1], not {images.dtype}: divide bytes by 255")
        real = self.record.get("values") == "real"
        if not real and len(images) and not (images.min() >= 0 and images.max() <= 1):
            raise UserError(f"images must have values in [0, 1], not from {images.min():.3g} to {images.max():.3g}")
        return images.to(self.device, torch.float32)


class Records(list[dict[str, Any]]):
    """Records of runs, each as bench/records/record.py explains."""

    def to_pandas(self) -> "pandas.DataFrame":
        """A line for each record: what was run, its status, steps, and every metric and cost by its name; UserError without pandas."""
        try:
            import pandas
        except ImportError:
            raise UserError("to_pandas() needs pandas: pip install pandas") from None
        return pandas.DataFrame([line(record) for record in self])


def line(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a line of a table."""
    config, spent = record["config"], record["spent"] or {}
    values = {**record["metrics"], **record["cost"]}
    about = {**{name: record[name] for name in ROW}, **{name: config[name] for name in CONFIG}, "steps": spent.get("steps")}
    return about | {name: entry["value"] for name, entry in values.items()}


def load(run: str | Path | Mapping[str, Any], *, out: str | Path = ".", device: str = "cpu") -> Trained:
    """A finished run's method, with its weights.

    run: its folder; its file of weights, wherever that lies; a record of `records`; or `SUITE/ROW`, which is its lowest seed that is
    done, or `SUITE/ROW/SEED`. out: the folder that has runs/. device: cpu or cuda. Data are not needed, plugins are where there are any.
    UserError where there is no such run, or its weights are not of the method as the code has it now.
    """
    file = weights_of(run, Path(out))
    about = read_card(file)
    record = about or read_record(file.parent)
    if record is None:
        raise UserError(f"{file}: it does not say which method it is of, and there is no record beside it")
    plugins = plugins_of(record["suite"], Path(out))
    known = catalogue(plugins)
    if about and about["config"]["dataset"] not in known.datasets:
        known.add_folder(source_of(about))
    where = available(device)
    try:
        prepared = remade(file, record, weights_in(file), plugins, known, where)
    except RunError as error:
        raise UserError(str(error)) from None
    source = known.get("dataset", record["config"]["dataset"])
    prepared.method.eval()
    if prepared.density is not None:
        prepared.density.eval()
    return Trained({"values": source.values, **record}, prepared.method, prepared.density, source.shape, where)


def weights_of(run: str | Path | Mapping[str, Any], out: Path) -> Path:
    """The file of weights that `load` was asked for; UserError where there is none."""
    if isinstance(run, Mapping):
        file = out / "runs" / run["suite"] / run["label"] / f"{run['seed']}-{run['key']}" / WEIGHTS
    elif Path(run).is_file():
        file = Path(run)
    elif Path(run).is_dir():
        file = Path(run) / WEIGHTS
    else:
        suite, _, rest = str(run).partition("/")
        label, _, seed = rest.partition("/")
        folder = out / "runs" / suite / label
        done = [path.parent for path in sorted(folder.glob("*/record.json")) if (read_record(path.parent) or {}).get("status") == "done"]
        seeds = {int(path.name.partition("-")[0]): path for path in done}
        if not label or not seeds:
            there = [f"{path.parent.name}/{path.name}" for path in (out / "runs").glob("[!.]*/*") if path.is_dir()]
            raise UserError(f"{out / 'runs'}: {unknown('run', str(run), there)}")
        if seed and seed not in map(str, seeds):
            raise UserError(f"{folder}: {unknown('seed', seed, map(str, seeds))}")
        file = seeds[int(seed) if seed else min(seeds)] / WEIGHTS
    if not file.is_file():
        raise UserError(f"{file}: no such file; weights are not in git, train the run again")
    return file


def plugins_of(suite: str, out: Path) -> tuple[str, ...]:
    """The plugin files of a suite, where the folder of results or latentbench knows it."""
    try:
        return boards.suite_of(out, suite).plugins
    except UserError:
        return ()


def records(suite: str | Path, *, out: str | Path = ".") -> Records:
    """The records of a suite by its name or suite file, of those in out/leaderboards; or of a file of records, `.jsonl`.

    UserError where there are none, or a line of the file is none.
    """
    path = Path(suite)
    if path.suffix == ".jsonl":
        found = read_records(path, "") if path.is_file() else []
    else:
        name = path.stem if path.suffix == ".toml" else str(suite)
        path = Path(out) / "leaderboards" / "runs" / f"{name}.jsonl"
        found = Store(Path(out), name).records()
    if not found:
        raise UserError(f"{path}: no records")
    return Records(found)


def run(
    suite: str | Path,
    *,
    methods: tuple[str, ...] = (),
    seeds: int | None = None,
    overrides: tuple[str, ...] = (),
    name: str | None = None,
    out: str | Path = ".",
    data_root: str | Path | None = None,
    device: str | None = None,
    jobs: int = 1,
    threads: int = 1,
    log: tuple[str, ...] = (),
    measure_at: tuple[float, ...] = (),
    measured: tuple[str, ...] = (),
    watch: Tell | None = None,
) -> Records:
    """Train and measure what is not finished of a suite, write its leaderboard; -> the records of the runs that were asked for.

    As `python -m bench run`, whose options these are: overrides is `--set`, data_root is LATENTBENCH_DATA or `data` where it is not said.
    watch: called with news of runs (bench.runs.events.Event). More jobs than one start processes: a script that asks for them must keep
    what it does under `if __name__ == "__main__":`. UserError for whatever is wrong with the suite; a run that fails has a record.
    """
    trackers.check(log)
    chosen, whole = reader.read_both(str(suite), overrides, methods, seeds, name)
    root = Path(data_root or os.environ.get("LATENTBENCH_DATA") or "data")
    settings = Settings(Path(out), root, device, threads, jobs, log=log, measure_at=rising("measure_at", measure_at), measured=measured)
    with torch_as_it_was():
        context, runs, _ = command.checked(chosen, whole, settings)
        command.check_results(context.store, whole)
        ended = command.carry_out(context, runs, whole, profiles=False, tell=watch or (lambda event: None), warn=warnings.warn)
    return Records(record for _, record in ended.found)


def measure(
    what: str | Path | None = None,
    against: str | Path | None = None,
    *,
    originals: str | Path | None = None,
    reconstructions: str | Path | None = None,
    train: str | Path | None = None,
    networks: tuple[str, ...] = (),
    metrics: tuple[str, ...] = (),
    count: int = 10_000,
    data_root: str | Path | None = None,
) -> dict[str, Any]:
    """Measure images, reconstructions, codes or models of any origin by the protocol of runs; -> the record, values in its `metrics`.

    As `python -m bench measure` (docs/measure.md), whose first options these are; nothing is trained or written. UserError for what cannot
    be measured.
    """
    root = Path(data_root or os.environ.get("LATENTBENCH_DATA") or "data")
    options = Options(networks=networks, metrics=metrics, count=count, data_root=root)
    with torch_as_it_was():
        set_up(default_device(), torch.get_num_threads())
        return measured(what, against, originals=originals, reconstructions=reconstructions, train=train, options=options)
