"""Everything that has a name: methods, networks, datasets, metrics, from this project and from users' plugins.

A module is found by being in its package and read by its explicit list (METHODS, NETWORKS, DENSITIES, DATASETS, METRICS).
"""

import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import bench.datasets
import metrics
import models
from bench.errors import UserError, unknown
from bench.suite_file import convert

LISTS = ("METHODS", "NETWORKS", "DENSITIES", "DATASETS", "METRICS")
PLURALS = {"density": "densities"}  # of the kinds that do not just take an s
ENTRY_POINTS = "latentbench.plugins"


@dataclass(frozen=True)
class Catalogue:
    """What a suite file may name."""

    methods: dict[str, Callable[..., Any]] = field(default_factory=dict)  # f(dim, *, hyper-parameters) -> Recipe
    networks: dict[str, Callable[..., Any]] = field(default_factory=dict)  # f(shape, dim, outputs) -> encoder, decoder
    densities: dict[str, Callable[..., Any]] = field(default_factory=dict)  # f(dim, *, options) -> models.density.Density
    datasets: dict[str, Any] = field(default_factory=dict)  # bench.datasets.dataset.Source
    metrics: dict[str, Any] = field(default_factory=dict)  # metrics.metric.Metric

    def get(self, kind: str, name: str) -> Any:
        """The thing of that name; UserError suggests the near one. kind: method, network, density, dataset, metric."""
        known = getattr(self, PLURALS.get(kind, f"{kind}s"))
        if name not in known:
            raise UserError(unknown(kind, name, known))
        return known[name]

    def add(self, module: ModuleType) -> None:
        """Everything in the module's lists; a name that is taken is refused."""
        for kind in LISTS:
            known = getattr(self, kind.lower())
            for item in getattr(module, kind, ()):
                name = getattr(item, "__name__", None) or item.name
                if name in known:
                    raise UserError(f"{module.__file__}: {kind}: {name!r} exists already; give yours another name")
                known[name] = item


def catalogue(plugins: tuple[str, ...] = ()) -> Catalogue:
    """All that is built in, installed as an entry point, or in the plugin files named."""
    found = Catalogue()
    for package in (metrics, models, bench.datasets):
        for module in modules(package):
            found.add(module)
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        found.add(point.load())
    for path in plugins:
        found.add(load_plugin(Path(path)))
    return found


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """Every module below a package, by name."""
    for info in sorted(pkgutil.walk_packages(package.__path__, package.__name__ + "."), key=lambda info: info.name):
        if not info.ispkg:
            yield importlib.import_module(info.name)


def load_plugin(path: Path) -> ModuleType:
    """A user's file as a module; UserError names the file and what is wrong with it."""
    if not path.is_file():
        raise UserError(f"plugin {path}: no such file (plugins are looked for beside the suite file)")
    spec = importlib.util.spec_from_file_location(f"latentbench_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises is the user's to mend
        raise UserError(f"plugin {path}: {type(error).__name__}: {error}") from error
    if not any(getattr(module, kind, None) for kind in LISTS):
        raise UserError(f"plugin {path}: it has none of the lists {', '.join(LISTS)}")
    return module


def hyperparameters(method: Callable[..., Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All keyword arguments of a method with their values; UserError for an unknown name or a wrong type."""
    hints = get_type_hints(method)
    allowed = {name: p.default for name, p in inspect.signature(method).parameters.items() if p.kind is p.KEYWORD_ONLY}
    for name, value in given.items():
        if name not in allowed:
            raise UserError(unknown("key", f"{where}.{name}", [f"{where}.{key}" for key in allowed]))
        convert(value, hints[name], f"{where}.{name}")
    return {**allowed, **given}
