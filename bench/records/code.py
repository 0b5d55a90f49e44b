"""The code that a number stands on: modules, each with a hash of what it does.

A module counts by its syntax tree without docstrings, so that comments, docstrings and formatting change nothing; a file that is no
Python counts by its bytes. From a module the way goes on to all that it imports, anywhere in it: those modules of this project that
can change a weight or a metric, and the user's own, but no libraries. What is imported by a name made at run time is not seen.
"""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("bench", "models", "metrics")
# of this project, what can change a weight or a metric; the rest looks things up, keeps files, shows results
FOLLOWED = ("models", "metrics", "bench.datasets", "bench.training", "bench.suites.budget")
NOT_FOLLOWED = "bench.datasets.storage"  # gets files and unpacks them: what comes of it has a hash of its own in a record
SOURCES = {"metrics.kernels.native": "c/*.[ch]"}  # files beside a module that are a part of it
LIBRARIES = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
PACKAGED = {"site-packages", "dist-packages"}  # folders of libraries wherever they are
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

Hashes = dict[str, str]  # {"models/vae.py": 12 hexadecimal digits}


class Module(NamedTuple):
    """A module by its dotted name and its file."""

    name: str
    file: Path

    def __str__(self) -> str:
        parts = self.name.split(".")
        return "/".join([*(parts if self.file.stem == "__init__" else parts[:-1]), self.file.name])


def project_module(name: str, root: Path = ROOT) -> Module:
    """A module of this project by its dotted name."""
    return Module(name, root.joinpath(*name.split(".")).with_suffix(".py"))


def standing_on(roots: Iterable[Module], given: Mapping[Path, bytes] | None = None, root: Path = ROOT) -> Hashes:
    """Each module that `roots` stand on, themselves included, by the name of its file, with its hash.

    given: what files said when they were run, where that may not be what they say now. root: the folder of this project.
    A module without a file counts as empty. Raises OSError for a file that cannot be read.
    """
    found, left = dict[Path, Module](), list(roots)
    hashes = dict[str, list[str]]()
    while left:
        module = left.pop()
        if module.file in found:
            continue
        found[module.file] = module
        content = (given or {}).get(module.file) or read(module.file)
        digest, names = meaning(content) if module.file.suffix == ".py" else (short(content), frozenset())
        hashes.setdefault(str(module), []).append(digest)
        left += neighbours(module, names, root)
    return {name: same[0] if len(same) == 1 else short("".join(sorted(same)).encode()) for name, same in sorted(hashes.items())}


@cache
def read(file: Path) -> bytes:
    """What a file said when it was first looked at: Python too keeps what it has imported for as long as the process lives."""
    return file.read_bytes() if file.is_file() else b""


@cache
def meaning(content: bytes) -> tuple[str, frozenset[str]]:
    """The hash of a Python file by what it does, and the names that it imports; of one that is no Python, by its bytes."""
    text, names = list[str](), set[str]()
    try:
        spell(ast.parse(content), text, names)
    except (SyntaxError, ValueError, RecursionError):
        return short(content), frozenset()
    return short("".join(text).encode("utf-8", "surrogatepass")), frozenset(names)


def short(content: bytes) -> str:
    """A hash in 12 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:12]


def spell(node: Any, text: list[str], names: set[str]) -> None:
    """Append the spelling of a syntax tree, and the names that it imports, with a dot for each level of a relative import.

    Unlike that of `ast.dump` it has neither docstrings nor empty fields, which come and go with Python's versions.
    """
    if isinstance(node, list):
        text.append("[")
        for item in node:
            spell(item, text, names)
        text.append("]")
    elif isinstance(node, ast.AST):
        text += (type(node).__name__, "(")
        for field in node._fields:
            value: Any = getattr(node, field, None)
            if field == "body" and isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                value = value[1:]
            if value is not None and value != []:
                text += (field, "=")
                spell(value, text, names)
        text.append(")")
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names.update([base, *(f"{base}{'.' * bool(node.module)}{alias.name}" for alias in node.names)])
    else:
        text += (repr(node), ",")


@cache
def neighbours(module: Module, names: frozenset[str], root: Path) -> tuple[Module, ...]:
    """The modules and files that a module which imports those names stands on at once."""
    imported = [other for name in absolute(names, module) for other in located(name, module, root)]
    package, _, _ = module.name.rpartition(".")
    beside = sorted(module.file.parent.glob(SOURCES[module.name])) if module.name in SOURCES else []
    return (*imported, *(Module(f"{package}.{file.parent.name}.{file.stem}", file) for file in beside))


def absolute(names: Iterable[str], module: Module) -> Iterator[str]:
    """The names that a module imports, written whole, and the packages that they are in."""
    package = module.name.split(".") if module.file.stem == "__init__" else module.name.split(".")[:-1]
    for name in sorted(names):
        level = len(name) - len(name.lstrip("."))
        parts = [*package[: len(package) - level + 1], *filter(None, name[level:].split("."))] if level else name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def located(name: str, importer: Module, root: Path) -> Iterator[Module]:
    """The module of that name, if there is one and it counts."""
    top = name.partition(".")[0]
    if top in PROJECT:
        if any(within(name, part) for part in FOLLOWED) and not within(name, NOT_FOLLOWED):
            file = root.joinpath(*name.split(".")).with_suffix(".py")
            yield from [Module(name, file)] * file.is_file()
    elif top not in sys.stdlib_module_names:
        found = file_of(name)
        if found and (top == importer.name.partition(".")[0] or own(found)):
            yield Module(name, found)


def within(name: str, part: str) -> bool:
    """Whether a module is `part` or in it."""
    return f"{name}.".startswith(f"{part}.")


def own(file: Path) -> bool:
    """Whether a file is the user's, and not of an installed library."""
    return not PACKAGED & set(file.parts) and LIBRARIES.isdisjoint(file.parents)


def file_of(name: str) -> Path | None:
    """The file of a module, imported or not; None for what has none."""
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return None  # to find it, its package would have to be run
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(name)
        if spec and spec.has_location and spec.origin:
            return Path(spec.origin)
    return None
