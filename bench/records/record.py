"""What a record and a profile say, field by field, and their two forms: in memory, and version 2 on disk.

In memory an entry of a metric says all about itself: {value, unit, better, group, protocol}, or a reason in place of a number.
On disk all but the value, its description, stands once in a file, under a digest of its content, so that it has the same name
in every file, as do the environment and the modules that trained a record. A record has {metric: [value, name of the description]}, and
{reason: {metric: name of the description}} for metrics that do not exist for its method. Version 1 was the form in memory, a record a line.
"""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, Required, TypedDict

from bench.records.check import check, check_types, fault_of, must, rule
from bench.suites.schema import digest

SHARED = {"environment", "trained_by"}  # tables of a record that stand once in a file, as descriptions do
VERSION = 2  # of the form on disk; a line that names none is of version 1
Line = dict[str, Any]  # a line of a file as JSON has it
Descriptions = dict[str, dict[str, Any]]  # {digest of the content: all of an entry but its value}

Environment = TypedDict(
    "Environment",
    {
        "latentbench": str,  # version of this project
        "commit": str | None,  # of its checkout, None outside one
        "dirty": bool | None,  # whether source files had been changed since that commit
        "python": str,
        "torch": str,
        "numpy": str,
        "scipy": str,
        "scikit-learn": str,
        "system": str,  # operating system and instruction set
        "device": str,  # name of the processor or GPU that trained
        "processor": str | None,  # beside a GPU
        "driver": str | None,  # of a GPU, with torch's CUDA and cuDNN
        "kernels": str,  # which implementation of the own kernels ran
        "threads": int,  # CPU threads of the run
        "jobs": int,  # runs at a time on the machine: times depend on it
        "processes": int,  # that trained the run together, where they were several
        "precision": str,  # of the matrix products
    },
    total=False,
)


class Description(TypedDict, total=False):
    """All of an entry but its value."""

    reason: str  # why the value is None
    unit: str  # nats, s, 1/s, ...; empty for pure numbers
    better: Literal["lower", "higher", "target"] | None  # None: neither way
    group: str  # the leaderboard's table
    code: str  # hash of the modules that the metric stands on; values of different code are never compared
    protocol: str  # how the value is taken, with the metric's version; values of different protocols are never compared


class Entry(Description):
    """A metric or a cost."""

    value: Required[float | None]  # None: it does not exist for this method, or was not computed


class Optimizer(TypedDict):
    """Adam and its learning rate over time."""

    lr: float
    betas: list[float]
    decay: float  # factor of the learning rate after each epoch
    milestones: list[list[float]]  # [epoch, factor]


class Density(TypedDict, total=False):
    """The density that a second stage fitted to the codes."""

    model: Required[str]  # its name in the catalogue
    options: dict[str, Any]
    budget: dict[str, float | None] | None
    optimizer: Optimizer | None


class Config(TypedDict):
    """The run with every value resolved: what its suite said, and defaults."""

    device: str  # cpu or cuda
    method: str
    dataset: str
    network: str
    latent_dim: int
    batch_size: int
    held_out: str  # the split that metrics are of: test or validation
    precision: NotRequired[str]  # of matrix products; float32 if not said
    smoke: bool
    hyperparameters: dict[str, Any]  # the method's keyword arguments
    budget: dict[str, float | None]  # one of steps, epochs, images, seconds
    optimizer: Optimizer
    density: NotRequired[Density]
    recipe: dict[str, str]  # posterior, cost, regularisers, prior, density in words
    convention: str  # what the dataset's values mean and how it is split


class Spent(TypedDict):
    """What training took."""

    steps: int
    epochs: float
    images: int
    density: NotRequired[dict[str, float]]  # the same three of the second stage


class Evaluated(TypedDict):
    """A later evaluation, which took over the metrics that it computed."""

    code: str  # hash of the source files
    environment: Environment
    finished: str  # ISO 8601
    metrics: list[str]


class Hashes(TypedDict, total=False):
    """What the run stands on: SHA-256, hexadecimal."""

    code: str  # the first 16 digits
    data: str
    weights: str


class Times(TypedDict, total=False):
    """ISO 8601, UTC."""

    started: str
    finished: str


class Ending(TypedDict):
    """What became of a run."""

    status: Literal["done", "diverged", "failed"]
    error: str | None  # of a run that is not done


class Record(Ending):
    """One training run and what was measured of it."""

    suite: str
    label: str  # the row: a method with its values
    seed: int
    row_key: str  # digest of the row's configuration without the seed: another key is another row
    key: NotRequired[str]  # digest of the configuration with the seed, a part of the folder's name
    schema: NotRequired[int]  # of the two keys
    smoke: NotRequired[bool]  # a few steps to see that it runs; no leaderboard takes it
    execution: NotRequired[str]  # how steps ran: eagerly, or as a graph
    config: Config
    spent: Spent | None  # None: the run failed
    times: NotRequired[Times]
    hashes: Hashes
    trained_by: NotRequired[dict[str, str]]  # {module: hash} of the code that trained it; not in records before 0.3
    environment: Environment
    metrics: dict[str, Entry]
    cost: dict[str, Entry]  # times and memory, which differ between two equal runs
    evaluated: NotRequired[list[Evaluated]]


class Kernel(TypedDict):
    """A kernel of a training step."""

    name: str
    calls: float  # per step
    self_us: float  # microseconds of its own per step
    share: float  # of all kernels' time
    flops: float  # per step


class Profile(TypedDict):
    """Where a row's training step spends its time, on one kind of device."""

    suite: str
    label: str
    row_key: str
    device: str  # cpu or cuda
    trained_by: NotRequired[dict[str, str]]  # as a record's
    environment: Environment
    steps: NotRequired[int]  # that the profiler saw
    step_ms: float  # median of a step without the profiler
    phases: dict[str, float]  # shares of data, forward, regulariser, backward, optimiser
    kernels: list[Kernel]  # those with most time first


class Stated(TypedDict):
    """A line of a file of records that holds a description."""

    name: str
    description: dict[str, Any]


def compact(record: Mapping[str, Any]) -> tuple[Line, Descriptions]:
    """A record or a profile as it is on disk, and the descriptions that it names."""
    line: Line = {**record, "version": VERSION}
    used: Descriptions = {}
    for part in SHARED & record.keys():
        if record[part]:  # an empty table is shorter than a name
            line[part] = named(record[part])
            used[line[part]] = record[part]
    for part in {"metrics", "cost"} & record.keys():
        line[part] = {}
        for metric, entry in record[part].items():
            absent = part == "metrics" and entry["value"] is None and "reason" in entry
            about = {key: field for key, field in entry.items() if key != "value" and not (absent and key == "reason")}
            name = named(about)
            if used.setdefault(name, about) != about:
                raise ValueError(f"two descriptions have the digest {name}")
            if absent:
                line.setdefault("absent", {}).setdefault(entry["reason"], {})[metric] = name
            else:
                line[part][metric] = [entry["value"], name]
    return line, used


def named(description: Mapping[str, Any]) -> str:
    """The name of a description: 8 hexadecimal digits that follow from its content."""
    return digest(description)[:8]


def verified(descriptions: Any) -> Descriptions:
    """Descriptions by their names; ValueError where a name is not that of the content."""
    for name, about in table("descriptions", descriptions).items():
        if named(table(f"description {name}", about)) != name:
            raise ValueError(
                f"description {name!r:.40} has been changed: its name must follow from its content, which has {named(about)!r}"
            )
    return dict(descriptions)


class Described:
    """The descriptions of a file by their names; whether one can be that of an entry is checked once, when an entry first names it."""

    def __init__(self, tables: Descriptions):
        self.tables, self.of_entries = tables, set[str]()

    def table(self, where: str, name: Any) -> dict[str, Any]:
        """The description of that name; ValueError where there is none."""
        if not isinstance(name, str) or name not in self.tables:
            raise ValueError(f"{where}: no description is named {name!r:.40} in the file")
        return self.tables[name]

    def entry(self, where: str, cell: Any) -> dict[str, Any]:
        """An entry from its value and the name of its description; ValueError unless these are what `cell` holds."""
        if not isinstance(cell, list) or len(cell) != 2:
            raise ValueError(f"{where} must be [value, name of a description], not {cell!r:.40}")
        value, name = cell
        if value is not None and not NUMBER(value):
            raise ValueError(must(f"{where}.value", value, float | None))
        about = self.table(where, name)
        if name not in self.of_entries:
            if fault := fault_of(where, about, Description):
                raise ValueError(fault)
            self.of_entries.add(name)
        return {**about, "value": value}


NUMBER = rule(float)


def read(line: Any, described: Described, kind: Any) -> Line:
    """A line of version 1 or 2 as the form in memory; ValueError names the first field that is not as `kind`, a TypedDict, has it."""
    if not isinstance(line, dict):
        raise ValueError("it is no table of fields")
    record = {name: field for name, field in line.items() if name != "digest"}  # which bench.records.seal compares
    version = record.pop("version", 1)
    if version == 1:
        check(record, kind)
        return record
    if version != VERSION:
        raise ValueError(f"version must be 1 or {VERSION}, not {version!r:.40}; a later latentbench may read it")
    for part in SHARED & record.keys():
        if isinstance(record[part], str):  # else the table itself, as an environment was until 0.3
            record[part] = described.table(part, record[part])
    absent, unpacked = table("absent", record.pop("absent", {})), dict[str, Any]()
    for part in {"metrics", "cost"} & record.keys():
        entries = {metric: described.entry(f"{part}.{metric}", cell) for metric, cell in table(part, record[part]).items()}
        if part == "metrics":
            for reason, names in absent.items():
                found = {metric: described.entry(f"absent.{metric}", [None, name]) for metric, name in table("absent", names).items()}
                entries |= {metric: {**of, "reason": reason} for metric, of in found.items()}
        unpacked[part] = dict(sorted(entries.items()))
    check_types({**record, **{part: {} for part in unpacked}}, kind)  # the rest: entries have been checked one by one
    return {**record, **unpacked}


def table(where: str, value: Any) -> dict[str, Any]:
    """The value if it is a table of fields, else ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table, not {value!r:.40}")
    return value
