"""Everything that has a name: methods, networks, datasets, metrics, from this project and from users' plugins.

A module is found by being in its package and read by its explicit list (METHODS, NETWORKS, DENSITIES, DATASETS, METRICS,
METRICS_ON_REQUEST).
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import bench.datasets
import metrics
import models
from bench.datasets import folder
from bench.datasets.dataset import Source
from bench.errors import FOREIGN, UserError, in_a_line, unknown
from bench.records import code
from bench.suites.schema import digest
from bench.suites.values import convert
from metrics.metric import Metric
from models.parts import schedule
from models.parts.schedule import Schedule

# what the lists hold; None: functions
LISTS: dict[str, type | None] = {
    "METHODS": None,
    "NETWORKS": None,
    "DENSITIES": None,
    "DATASETS": Source,
    "METRICS": Metric,
    "METRICS_ON_REQUEST": Metric,  # measured where they are named, by a suite or by `evaluate`
}
PLURALS = {"density": "densities"}  # of the kinds that do not just take an s
KINDS = {
    "METHODS": "method",
    "NETWORKS": "network",
    "DENSITIES": "density",
    "DATASETS": "dataset",
    "METRICS": "metric",
    "METRICS_ON_REQUEST": "metric",
}
SOURCE = "__source__"  # of a plugin's module, what its file said
BUILT_IN = (metrics, models, bench.datasets)
ENTRY_POINTS = "latentbench.plugins"
# what makes the views that metrics are functions of, whatever these ask for; modules that these import count too
MEASURERS = tuple(
    f"bench.evaluation.{name}" for name in ("evaluate", "code_views", "feature_views", "feature_networks", "device_dataset", "view_checks")
)


@dataclass(frozen=True)
class Catalogue:
    """What a suite file may name."""

    methods: dict[str, Callable[..., Any]] = field(default_factory=dict)  # f(dim, *, hyper-parameters) -> Recipe
    networks: dict[str, Callable[..., Any]] = field(default_factory=dict)  # f(shape, dim, outputs) -> encoder, decoder
    densities: dict[str, Callable[..., Any]] = field(default_factory=dict)  # f(dim, *, options) -> models.parts.density.Density
    datasets: dict[str, Any] = field(default_factory=dict)  # bench.datasets.dataset.Source
    metrics: dict[str, Any] = field(default_factory=dict)  # metrics.metric.Metric, of a suite that names none
    metrics_on_request: dict[str, Any] = field(default_factory=dict)  # the others
    base: Path = Path()  # where relative paths of image folders begin
    homes: dict[tuple[str, str], code.Module] = field(default_factory=dict)  # where each was found: {("method", "ae"): models.vae}
    plugins: dict[Path, bytes] = field(default_factory=dict)  # what each plugin file said when it was run
    known: dict[tuple[code.Module, ...], code.Hashes] = field(default_factory=dict)
    codes: dict[code.Module, str] = field(default_factory=dict)  # of each module with metrics, the hash of what measures them

    @property
    def every_metric(self) -> dict[str, Metric]:
        """All metrics, those on request too."""
        return {**self.metrics, **self.metrics_on_request}

    def get(self, kind: str, name: str, where: str = "") -> Any:
        """The thing of that name; UserError suggests the near one. kind: method, network, density, dataset, metric; where: a key."""
        known = self.every_metric if kind == "metric" else getattr(self, PLURALS.get(kind, f"{kind}s"))
        if kind == "dataset" and name.startswith(folder.PREFIX) and name not in known:
            self.add_folder(folder.source(name, self.base))
        if name not in known:
            own = f"; a folder of images is {folder.PREFIX}{name}: docs/your-images.md" if kind == "dataset" and "/" in name else ""
            raise UserError(f"{f'{where}: ' if where else ''}{unknown(kind, name, known)}{own}")
        return known[name]

    def add_folder(self, source: Source) -> None:
        """A dataset of a user's own images, which stands in no list."""
        self.datasets[source.name] = source
        self.homes["dataset", source.name] = code.project_module(folder.__name__)

    def measured_by(self, metric: str) -> Metric:
        """The metric of that name, with the hash of the code that its value stands on: its own module and what makes views."""
        found: Metric = self.get("metric", metric)
        home = self.homes["metric", metric]
        if home not in self.codes:
            self.codes[home] = digest(self.measuring(home))[:8]
        return replace(found, code=self.codes[home])

    def measuring(self, home: code.Module) -> code.Hashes:
        """The modules that the values of a module's metrics stand on, with their hashes."""
        return self.standing_on((home, *map(code.project_module, MEASURERS)))

    def standing_on(self, roots: tuple[code.Module, ...]) -> code.Hashes:
        """The modules that these stand on, with their hashes."""
        if roots not in self.known:
            self.known[roots] = code.standing_on(roots, self.plugins)
        return self.known[roots]

    def add(self, module: ModuleType, where: str) -> None:
        """Everything in the module's lists; a name that is taken is refused. where: the module, as a message begins."""
        home = code.Module(module.__name__, Path(getattr(module, "__file__", None) or ""))
        for kind, content in LISTS.items():
            known, items = getattr(self, kind.lower()), getattr(module, kind, ())
            if not isinstance(items, (list, tuple)):
                raise UserError(f"{where}: {kind} must be a list, not {items!r}")
            for item in items:
                named = item.on("test") if isinstance(item, Metric) else item
                name = getattr(named, "__name__", None) or getattr(named, "name", None)
                if name is None or not (isinstance(item, content) if content else callable(item)):
                    wanted = f"instances of {content.__module__}.{content.__name__}" if content else "functions"
                    raise UserError(f"{where}: {kind} holds {wanted}, not {item!r}")
                if (KINDS[kind], name) in self.homes:
                    raise UserError(f"{where}: {kind}: {name!r} exists already; give yours another name")
                known[name] = item
                self.homes[KINDS[kind], name] = home
        if SOURCE in vars(module):
            self.plugins[home.file] = vars(module)[SOURCE]
            self.standing_on((home,))  # while its files say what was run


def catalogue(plugins: tuple[str, ...] = ()) -> Catalogue:
    """All that is built in, installed as an entry point, or in the plugin files named.

    `folder:BASE` among these is no file but where the paths of image folders begin.
    """
    files = [path for path in plugins if not path.startswith(folder.PREFIX)]
    bases = [path.removeprefix(folder.PREFIX) for path in plugins if path.startswith(folder.PREFIX)]
    found = Catalogue(base=Path(*bases[:1]))
    for package in BUILT_IN:
        for module in modules(package):
            found.add(module, module.__name__)
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        try:
            found.add(point.load(), f"entry point {point.value}")
        except FOREIGN as error:  # whatever an installed package raises
            raise UserError(f"entry point {point.value} of {ENTRY_POINTS}: {in_a_line(error)}") from error
    for path in files:
        found.add(load_plugin(Path(path)), f"plugin {path}")
    return found


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """Every module below a package, by name."""
    for info in sorted(pkgutil.walk_packages(package.__path__, package.__name__ + "."), key=lambda info: info.name):
        if not info.ispkg:
            yield importlib.import_module(info.name)


def load_plugin(path: Path) -> ModuleType:
    """A user's file as a module; UserError names the file and what is wrong with it."""
    if path.is_dir():
        raise UserError(f"plugin {path}: a folder, not a Python file; name the .py file in it")
    if not path.is_file():
        raise UserError(f"plugin {path}: no such file (plugins are looked for beside the suite file)")
    spec = importlib.util.spec_from_file_location(f"latentbench_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names in their annotations
    try:
        vars(module)[SOURCE] = path.read_bytes()
        exec(compile(vars(module)[SOURCE], path, "exec", dont_inherit=True), vars(module))  # never the bytecode of an edit before
    except FOREIGN as error:  # whatever a user's file raises is the user's to fix
        raise UserError(f"plugin {path}: {in_a_line(error)}") from error
    if not any(getattr(module, kind, None) for kind in LISTS):
        raise UserError(f"plugin {path}: it has none of the lists {', '.join(LISTS)}")
    return module


def schedule_of(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table of a weight that is a schedule, as the suite file and the record have it; UserError where it is none."""
    try:
        schedule.read(table)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    return dict(table)


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved values as a method takes them: a table is a schedule."""
    return {name: schedule.read(value) if isinstance(value, Mapping) else value for name, value in values.items()}


def hyperparameters(method: Callable[..., Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All keyword arguments of a method with their values; UserError for an unknown name or a wrong type."""
    allowed = {name: p.default for name, p in inspect.signature(method).parameters.items() if p.kind is p.KEYWORD_ONLY}
    values = dict(allowed)
    for name, value in given.items():
        if name not in allowed:
            raise UserError(unknown("key", f"{where}.{name}", [f"{where}.{key}" for key in allowed]))
        try:
            hint = get_type_hints(method)[name]
            scheduled = isinstance(value, Mapping) and Schedule in get_args(hint)
            values[name] = schedule_of(value, f"{where}.{name}") if scheduled else convert(value, hint, f"{where}.{name}")
        except (KeyError, NameError, TypeError):
            raise UserError(f"{where}.{name}: annotate it in {method.__name__} as int, float, str, bool, Literal or tuple") from None
    for name, value in values.items():
        if value is inspect.Parameter.empty:
            raise UserError(f"missing key {f'{where}.{name}'!r}: {method.__name__} has no default for it")
    return values
