"""Data flows one way: a module imports only from its own row of the house and from the rows it may stand on."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("metrics", "models", "bench")

# the rows from the top; a package stands for all it holds
ROWS: dict[str, tuple[str, ...]] = {
    "mathematics": ("metrics",),
    "methods": ("models",),
    "values": ("bench.errors", "bench.processes", "bench.spec", "bench.suite_file"),
    "datasets": ("bench.datasets",),
    "registry": ("bench.registry",),
    "machine": ("bench.environment",),
    "loop": (
        "bench.adam",
        "bench.capture",
        "bench.held",
        "bench.replay",
        "bench.script",
        "bench.precision",
        "bench.batches",
        "bench.train",
        "bench.evaluate",
        "bench.code_views",
        "bench.verbs",
        "bench.feature_views",
    ),
    "records": ("bench.store",),
    "networks": ("bench.classifier", "bench.features"),
    "runs": (
        "bench.context",
        "bench.figures",
        "bench.profile",
        "bench.ready",
        "bench.remeasure",
        "bench.run",
        "bench.second_stage",
        "bench.states",
        "bench.sweep",
        "bench.trained",
        "bench.verification",
    ),
    "measurements": (
        "bench.timing",
        "bench.peers",
        "bench.speed",
        "bench.speed_evaluation",
        "bench.speed_reading",
        "bench.speed_page",
        "bench.gpu_check",
        "bench.gpu_page",
    ),
    "tables": (
        "bench.across_suites",
        "bench.board_rows",
        "bench.leaderboard",
        "bench.markdown",
        "bench.pareto",
        "bench.resampling",
        "bench.resolution",
        "bench.statistics",
        "bench.tiers",
        "bench.tiers_check",
        "bench.claims",
        "bench.curves",
        "bench.boards",
        "bench.kernel_report",
    ),
    "command line": (
        "bench.__main__",
        "bench.command",
        "bench.console",
        "bench.data_commands",
        "bench.datasets_page",
        "bench.feature_commands",
        "bench.measure_command",
        "bench.methods_table",
        "bench.metrics_page",
    ),
}
# rows that may import less than all rows above them; the loop knows methods only by their verbs
NARROW: dict[str, tuple[str, ...]] = {
    "values": (),
    "datasets": ("values",),
    "machine": ("values",),
    "loop": ("mathematics", "values", "datasets", "registry"),
    "records": ("values",),
    "tables": ("values", "records"),
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


GRAPH = {module: imports(module, path.read_text(encoding="utf-8"), MODULES) for module, path in MODULES.items()}


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
    assert violations(GRAPH) == []


def test_there_is_no_import_cycle() -> None:
    assert cycle(GRAPH) == []


def test_no_row_of_the_table_is_a_ghost() -> None:
    places = {place for modules in ROWS.values() for place in modules}
    assert {place for place in places if place not in MODULES} == set()


@pytest.mark.parametrize(
    ("module", "other", "right"),
    [
        ("metrics.frechet", "models.vae", False),
        ("metrics.frechet", "metrics.metric", True),
        ("models.vae", "metrics.divergences", True),
        ("models.vae", "bench.spec", False),
        ("bench.spec", "models.method", False),
        ("bench.registry", "models.vae", True),
        ("bench.train", "models.vae", False),
        ("bench.train", "bench.run", False),
        ("bench.leaderboard", "bench.store", True),
        ("bench.leaderboard", "bench.registry", False),
        ("bench.store", "bench.leaderboard", False),
        ("bench.run", "bench.__main__", False),
        ("bench.somewhere", "bench.spec", False),
    ],
)
def test_the_rule_tells_a_wrong_import_from_a_right_one(module: str, other: str, right: bool) -> None:
    assert (violations({module: [other]}) == []) == right


def test_imports_are_found_in_functions_and_in_both_spellings() -> None:
    source = "import bench.run\ndef f():\n    from bench import store\n    from models.vae import kl\n"
    known = {"bench.run", "bench.store", "models.vae"}
    assert imports("bench.spec", source, [*known, "bench.spec"]) == known
    with pytest.raises(AssertionError, match="relative import"):
        imports("bench.spec", "from . import run", [])


def test_a_cycle_is_found() -> None:
    assert cycle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert cycle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize("module", ["leaderboard", "boards", "statistics", "store", "suite_file", "__main__"])
def test_tables_suites_and_the_command_line_load_without_torch(module: str) -> None:
    code = f"import sys, bench.{module}; print({{'torch', 'torchvision', 'timm', 'sklearn'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, "set()\n"), run.stderr


def test_packages_are_empty_and_no_module_is_a_drawer() -> None:
    full = [path for path in MODULES.values() if path.name == "__init__.py" and path.read_text(encoding="utf-8").strip()]
    drawers = [path for path in MODULES.values() if path.stem in ("utils", "util", "helpers", "common", "misc")]
    assert full + drawers + [path for path in MODULES.values() if path.stem.startswith("base_")] == []
