"""Data flows one way: a module imports only from its own row of the house and from the rows it may stand on."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("metrics", "models", "bench")

# the rooms from the top; a package stands for all it holds
ROWS: dict[str, tuple[str, ...]] = {
    "mathematics": ("metrics",),
    "interfaces": ("models.interfaces",),
    "methods": ("models",),
    "foundations": ("bench.errors", "bench.files", "bench.markdown", "bench.processes", "bench.environment"),
    "suites": ("bench.suites",),
    "datasets": ("bench.datasets",),
    "records": ("bench.records",),
    "registry": ("bench.registry",),
    "training": ("bench.training",),
    "evaluation": ("bench.evaluation",),
    "figures": ("bench.figures",),
    "runs": ("bench.runs",),
    "engines": ("bench.engines",),
    "leaderboard": ("bench.leaderboard", "bench.reproduction"),
    "measurement": ("bench.measure",),
    "speed": ("bench.speed",),
    "documentation": ("bench.docs",),
    "command line": ("bench.__main__", "bench.commands"),
    "Python": ("bench.api",),
}
# rooms that may import less than all rooms above them; training knows methods only by their interfaces
NARROW: dict[str, tuple[str, ...]] = {
    "interfaces": ("mathematics",),
    "foundations": (),
    "suites": ("foundations",),
    "datasets": ("foundations",),
    "records": ("foundations", "suites"),
    "training": ("interfaces", "foundations", "suites", "datasets"),
    "evaluation": ("mathematics", "interfaces", "foundations", "suites", "datasets"),
    "leaderboard": ("foundations", "suites", "records"),
}


def name(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports(module: str, source: str, known: Iterable[str]) -> set[str]:
    """The modules of this project that `module` imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: line {node.lineno} is a relative import; write the whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return {other for other in found if other in known and other != module}


@cache
def house() -> dict[str, set[str]]:
    """What each module imports."""
    return {module: imports(module, path.read_text(encoding="utf-8"), MODULES) for module, path in MODULES.items()}


def row(module: str) -> str | None:
    """The row of a module, by the longest name in the table that it is or is in."""
    places = {place: title for title, modules in ROWS.items() for place in modules if within(module, place)}
    return places[max(places, key=len)] if places else None


def within(module: str, place: str) -> bool:
    """Whether `module` is `place` or in it."""
    return f"{module}.".startswith(f"{place}.")


def allowed(title: str) -> tuple[str, ...]:
    """The rows that modules of this row may import: their own, and those above or what NARROW leaves of them."""
    above = tuple(ROWS)[: list(ROWS).index(title)]
    return (title, *NARROW.get(title, above))


def violations(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Imports that no row allows. Packages themselves are empty, so importing one means nothing."""
    bad = []
    for module, others in graph.items():
        for other in set(others) - set(PACKAGES):
            mine, its = row(module), row(other)
            if mine is None or its not in allowed(mine):
                bad.append(f"{module} ({mine}) imports {other} ({its})")
    return sorted(bad)


def cycle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """One import cycle, or []."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        found = next((c for other in sorted(graph.get(module, ())) if (c := visit(other, [*path, module]))), [])
        done.add(module)
        return found

    return next((c for module in sorted(graph) if (c := visit(module, []))), [])


def test_every_module_has_a_row() -> None:
    homeless = [module for module in MODULES if row(module) is None and module != "bench"]
    assert homeless == [], f"say in ROWS where these stand: {homeless}"


def test_imports_point_up() -> None:
    assert violations(house()) == []


def test_there_is_no_import_cycle() -> None:
    assert cycle(house()) == []


def test_no_row_of_the_table_is_a_ghost() -> None:
    places = {place for modules in ROWS.values() for place in modules}
    assert {place for place in places if place not in MODULES} == set()


@pytest.mark.parametrize(
    ("module", "other", "right"),
    [
        ("metrics.frechet", "models.vae", False),
        ("metrics.frechet", "metrics.metric", True),
        ("models.vae", "metrics.divergences", True),
        ("models.vae", "bench.suites.schema", False),
        ("bench.suites.schema", "models.method", False),
        ("bench.registry", "models.vae", True),
        ("bench.training.train", "models.vae", False),
        ("bench.training.train", "bench.runs.run", False),
        ("bench.leaderboard.render", "bench.records.store", True),
        ("bench.leaderboard.render", "bench.registry", False),
        ("bench.records.store", "bench.leaderboard.render", False),
        ("bench.runs.run", "bench.__main__", False),
        ("bench.measure.measure", "bench.runs.remeasure", True),
        ("bench.evaluation.evaluate", "bench.measure.views", False),
        ("bench.somewhere", "bench.suites.schema", False),
    ],
)
def test_the_rule_tells_a_wrong_import_from_a_right_one(module: str, other: str, right: bool) -> None:
    assert (violations({module: [other]}) == []) == right


def test_imports_are_found_in_functions_and_in_both_spellings() -> None:
    source = "import bench.runs.run\ndef f():\n    from bench.records import store\n    from models.vae import kl\n"
    known = {"bench.runs.run", "bench.records.store", "models.vae"}
    assert imports("bench.suites.schema", source, [*known, "bench.suites.schema"]) == known
    with pytest.raises(AssertionError, match="relative import"):
        imports("bench.suites.schema", "from . import run", [])


def test_a_cycle_is_found() -> None:
    assert cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize(
    "module",
    [
        "leaderboard.render",
        "leaderboard.publish",
        "leaderboard.statistics",
        "leaderboard.exports.write",
        "reproduction.publish",
        "commands.compare",
        "records.store",
        "records.merge",
        "suites.reader",
        "__main__",
    ],
)
def test_tables_suites_and_the_command_line_load_without_torch(module: str) -> None:
    code = f"import sys, bench.{module}; print({{'torch', 'torchvision', 'timm', 'sklearn'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, "set()\n"), run.stderr


def test_packages_are_empty_and_no_module_is_a_drawer() -> None:
    full = [path for path in MODULES.values() if path.name == "__init__.py" and path.read_text(encoding="utf-8").strip()]
    drawers = [path for path in MODULES.values() if path.stem in ("utils", "util", "helpers", "common", "misc")]
    assert full + drawers + [path for path in MODULES.values() if path.stem.startswith("base_")] == []
