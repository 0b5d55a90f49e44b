"""What a suite file says, as frozen values. Reading one needs neither torch nor data."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from bench.errors import UserError
from bench.suites.budget import Budget, Optimizer, Precision

MOST_HEADS = 6  # of a first screen, beside place and method
SCHEMA = 1  # of run keys; a change makes every earlier run another run
MOST_SEEDS = 1000
LONG = 100  # letters of an override that a message shows whole
AUTO = "auto"  # the network that leaves it to the images which it is


ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with one spelling for one value."""
    return ENCODER.encode(value)


def digest(value: Any) -> str:
    """16 hexadecimal digits that name a value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def at_least_one(values: object, *names: str) -> None:
    """UserError for the first of those attributes that is given and below 1."""
    for name in names:
        value = getattr(values, name)
        if value is not None and value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class Density:
    """What is fitted to a row's codes once it has been trained (SPEC 1.6): the [methods.NAME.density] table."""

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget | None = None  # of its own; none for a density in closed form
    optimizer: Optimizer | None = None  # None: Adam at 1e-3, constant, as the flows of SPEC 4


@dataclass(frozen=True)
class Entry:
    """One row of a suite: a method with its values, and what it overrides of the suite's training settings."""

    label: str
    method: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    latent_dim: int | None = None
    batch_size: int | None = None
    budget: Budget | None = None
    optimizer: Optimizer | None = None
    density: Density | None = None

    def __post_init__(self) -> None:
        at_least_one(self, "latent_dim", "batch_size")


@dataclass(frozen=True)
class Select:
    """Which of the rows of a grid is chosen, by what they have on the validation images: a [select] table."""

    metric: str  # as records of validation runs call it
    nearest: float | Literal["latent_dim"] | None = None  # the value that it is to come near; None: it is to be as good as can be


@dataclass(frozen=True)
class Selection:
    """The rows that a grid made of one, and the rule that chooses among them."""

    label: str  # of the row in the suite file
    rows: tuple[str, ...]
    rule: Select


@dataclass(frozen=True)
class Range:
    """The numbers that a key may have in a search, whole ones where both ends are."""

    low: float
    high: float
    log: bool = False  # whether a tenth is as far from one as one is from ten


Space = Mapping[str, Range | tuple[Any, ...]]  # {dotted key of a row: its numbers, or its values}


@dataclass(frozen=True)
class Search:
    """The values among which `search` looks for the best of a row: its [methods.NAME.search] table, and the rule."""

    label: str
    space: Space
    rule: Select


def place(file: object, overrides: Sequence[str]) -> str:
    """The file and the overrides as a message about them begins; of a long override its beginning, which has the key."""
    return " --set ".join([str(file), *(text if len(text) < LONG else f"{text[:60]}…" for text in overrides)])


@dataclass(frozen=True)
class Suite:
    """A question, the dataset, networks, methods, budget and seeds that answer it."""

    name: str
    dataset: str
    network: str
    latent_dim: int
    batch_size: int
    budget: Budget
    methods: tuple[Entry, ...]
    question: str = ""
    hardware: str = "not said"
    expected_time: str = "not said"
    seeds: int = 1  # 0, 1, ..., seeds - 1
    optimizer: Optimizer = field(default_factory=Optimizer)
    held_out: Literal["test", "validation"] = "test"
    precision: Precision = "float32"
    equal_capacity: float | None = None  # share of the smallest by which rows may differ in trained parameters; None: they may differ
    density: Density | None = None  # fitted to the codes of every row that names none of its own
    metrics: tuple[str, ...] = ()  # () is every metric
    plugins: tuple[str, ...] = ()  # python files with methods, datasets, metrics, networks of the user's; folder:BASE, of image folders
    headline: tuple[str, ...] = ()  # metrics and costs of the leaderboard's first screen, the one that sorts first; () is the usual ones
    sweep: tuple[Mapping[str, Any], ...] = ()  # the values of every row that names none of its own
    select: Select | None = None  # the rule of every grid that names none of its own
    selections: tuple[Selection, ...] = ()  # what the rules choose among
    searches: tuple[Search, ...] = ()  # what `search` looks for; no other command does
    source: str = ""  # the file it was read from
    text: str = ""  # what the file said
    overrides: tuple[str, ...] = ()  # in their order
    values: str = ""  # a hash of what the overrides came to
    chosen_name: str = ""  # with --name

    def __post_init__(self) -> None:
        at_least_one(self, "latent_dim", "batch_size", "seeds")
        if self.seeds > MOST_SEEDS:
            raise UserError(f"seeds must be at most {MOST_SEEDS}, not {self.seeds}")
        if (self.equal_capacity or 0) < 0:
            raise UserError(f"equal_capacity must be at least 0, not {self.equal_capacity}")
        if not self.methods:
            raise UserError("methods: a suite needs at least one [methods.NAME]")
        if len(self.headline) > MOST_HEADS:
            raise UserError(f"headline: a first screen has room for {MOST_HEADS} columns, not {len(self.headline)}")
        for name in self.headline:
            if self.headline.count(name) > 1:
                raise UserError(f"headline: {name!r} stands there twice")

    @property
    def where(self) -> str:
        """The file and the overrides, as a message about them begins."""
        return place(self.source, self.overrides)

    def runs(self, device: str, *, smoke: bool = False) -> list["Run"]:
        """Every row for every seed, seed by seed, so that an interrupted suite has whole columns."""
        return [self._run(entry, seed, device, smoke) for seed in range(self.seeds) for entry in self.methods]

    def runs_anywhere(self) -> Iterator[tuple[str, "Run"]]:
        """Every run on the CPU, then on CUDA, with what a figure of both calls its row."""
        for device in ("cpu", "cuda"):
            for run in self.runs(device):
                yield run.label + (" (cuda)" if device == "cuda" else ""), run

    def _run(self, entry: Entry, seed: int, device: str, smoke: bool) -> "Run":
        return Run(
            suite=self.name,
            label=entry.label,
            seed=seed,
            method=entry.method,
            hyperparameters=entry.hyperparameters,
            dataset=self.dataset,
            network=entry.network or self.network,
            latent_dim=entry.latent_dim or self.latent_dim,
            batch_size=entry.batch_size or self.batch_size,
            budget=entry.budget or self.budget,
            optimizer=entry.optimizer or self.optimizer,
            held_out=self.held_out,
            metrics=self.metrics,
            plugins=self.plugins,
            device=device,
            smoke=smoke,
            density=entry.density or self.density,
            precision=None if self.precision == "float32" else self.precision,
        )


@dataclass(frozen=True)
class Run:
    """One cell: everything that decides a trained model and its numbers, apart from the machine and the code."""

    suite: str
    label: str
    seed: int
    method: str
    hyperparameters: Mapping[str, Any]
    dataset: str
    network: str
    latent_dim: int
    batch_size: int
    budget: Budget
    optimizer: Optimizer
    held_out: Literal["test", "validation"]
    metrics: tuple[str, ...]
    plugins: tuple[str, ...]
    device: str  # its kind: cpu, cuda
    smoke: bool
    density: Density | None = None  # None is left out of the config: a row without one keeps its key
    precision: Precision | None = None  # so is float32, the default

    def config(self) -> dict[str, Any]:
        """What the row of a leaderboard stands for: the run without its seed and its place."""
        place = ("suite", "label", "seed", "plugins", "metrics")
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in place}
        return {name: plain(value) for name, value in values.items() if value is not None}

    def on(self, device: str) -> "Run":
        """The same on another kind of device, which is another run."""
        return replace(self, device=device)

    def absolute(self) -> "Run":
        """The same for a process that was started in another folder, which is the same run."""
        parts = [plugin.partition(":") if plugin.startswith("folder:") else ("", "", plugin) for plugin in self.plugins]
        return replace(self, plugins=tuple(f"{kind}{colon}{Path(place).absolute()}" for kind, colon, place in parts))

    def row_key(self) -> str:
        """The same for all seeds of a row; it changes when the suite file's meaning for that row changes."""
        return digest([SCHEMA, self.suite, self.label, self.config()])

    def key(self) -> str:
        """Names the run on disk: same key, same cell."""
        return digest([self.row_key(), self.seed])


def plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON has them."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(item) for name, item in asdict(value).items() if item is not None}
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
