"""Python and the packages that latentbench declares, beside those that are installed. No torch here: it may be what is missing."""

import importlib.metadata
import platform
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from bench.commands.doctor.finding import Finding, some

PROJECT = Path(__file__).resolve().parents[3] / "pyproject.toml"
NAME = "latentbench"
Declared = dict[str, list[Requirement]]  # by extra; "" is what everything needs


def examine(project: Path = PROJECT) -> Iterator[Finding]:
    """Python, the packages that every run needs, and the extras."""
    python, declared = of_checkout(project) if project.exists() else of_installation()
    found = platform.python_version()
    if SpecifierSet(python).contains(found, prereleases=True):
        yield Finding("python", "good", f"{platform.python_implementation()} {found} on {platform.system()} {platform.machine()}")
    else:
        yield Finding("python", "fault", f"Python {found} is installed, {python} is declared", f"make an environment of Python {python}")
    needed = declared.pop("")
    wrong = [finding for one in needed for finding in compared(one)]
    versions = some((f"{one.name} {installed(one)}" for one in needed), len(needed))
    yield from wrong or [Finding("packages", "good", f"all {len(needed)} are of declared versions: {versions}")]
    absent = [extra for extra, all_of in declared.items() if any(installed(one) is None for one in all_of)]
    yield from (finding for extra, all_of in declared.items() if extra not in absent for one in all_of for finding in compared(one))
    if absent:
        remedy = f"for one of them: pip install '{NAME}[{absent[0]}]'"
        yield Finding("packages", "note", f"extras that are not installed, or not whole: {', '.join(absent)}", remedy)


def compared(one: Requirement) -> Iterator[Finding]:
    """What is wrong with a package, if anything is."""
    found, how = installed(one), f"pip install '{one.name}{one.specifier}'"
    if found is None:
        yield Finding("packages", "fault", f"{one.name} is not installed, {one.name}{one.specifier} is declared", how)
    elif not one.specifier.contains(found, prereleases=True):
        yield Finding("packages", "warning", f"{one.name} {found} is installed, {one.specifier} is declared", how)


def installed(one: Requirement) -> str | None:
    """The version of a package, None where there is none."""
    try:
        return importlib.metadata.version(one.name)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_checkout(project: Path) -> tuple[str, Declared]:
    """What a pyproject.toml declares: Python's versions, packages."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    texts = {"": table["dependencies"], **table["optional-dependencies"]}
    return table["requires-python"], {extra: [Requirement(text) for text in of] for extra, of in texts.items()}


def of_installation() -> tuple[str, Declared]:
    """The same of an installed latentbench."""
    about = importlib.metadata.metadata(NAME)
    declared: Declared = {extra: [] for extra in ("", *(about.get_all("Provides-Extra") or ()))}
    for one in map(Requirement, about.get_all("Requires-Dist") or ()):
        extras = [extra for extra in declared if extra and one.marker and one.marker.evaluate({"extra": extra})]
        plain = one.marker is None or one.marker.evaluate({"extra": ""})
        for extra in [""] if plain else extras:
            declared[extra].append(one)
    return about["Requires-Python"], declared
