"""Names under which results are kept, as files and folders are called: another name for other values; and commands that repeat them."""

import json
import os.path
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.suites.schema import Suite, digest

SUITES = Path(__file__).parent
STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
PAGES = ("README", "speed", "kernels", "gpu", "runs", "reproduction")  # of leaderboards/, beside those of suites
READABLE = 60  # characters of a variant's values in its name: with endings and folders no name comes near 255 bytes


def built_in() -> list[str]:
    """The suites that come with latentbench."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def check_name(name: str, where: str, way_out: str) -> None:
    """UserError unless results of the user's own can be kept under that name without meeting those of others."""
    fault = None
    if not STEM.fullmatch(name):
        fault = "a suite's name becomes a file name, it has up to 100 letters, digits, _ and -, the first a letter or digit"
    for taken in built_in():
        if name.casefold() == taken.casefold():
            fault = f"latentbench has a suite {taken!r}, their results would mix"
    for taken in PAGES:
        if name.casefold() == taken.casefold():
            fault = f"leaderboards/{taken} is no suite's, and the page of this one would take its place"
    if fault:
        raise UserError(f"{where}: {fault}; {way_out}")


def settled(overrides: tuple[str, ...], table: Mapping[str, Any]) -> dict[str, Any]:
    """What each key that an override named has come to be in the suite's table, in whatever order they stood; None: it is not there."""
    found = dict[str, Any]()
    for override in overrides:
        key = override.partition("=")[0].strip()
        value: Any = table
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        found[key] = value
    return found


def variant(stem: str, values: Mapping[str, Any]) -> str:
    """The name of a suite with other values: `digits+methods.vcae.weight=0.5-1b2c3d4e`; the end is a hash of these values.

    What can be read of them is cut short and has no characters that a file's name must not have: the hash is what tells names apart.
    """
    if not values:
        return stem
    there = sorted((key, value) for key, value in values.items() if value is not None)
    said = (f"{key}={value if isinstance(value, str) else json.dumps(value, default=str)}" for key, value in there)
    readable = "+".join(re.sub(r"[^A-Za-z0-9_.=-]+", "_", text).strip("_") for text in said)[:READABLE]
    return f"{stem}+{readable}-{fingerprint(values)}"


def fingerprint(values: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that name the values of overrides."""
    return digest(json.dumps(values, sort_keys=True, default=str))[:8]


def stem_of(suite: Suite) -> str:
    """The name of the file that a suite was read from."""
    return Path(suite.source).stem if suite.source else suite.name.partition("+")[0]


def options(suite: Suite, folder: Path | None = None) -> str:
    """`--suite digits --set 'methods.vcae.weight = 0.5'`: what names this suite to a command, for a shell."""
    return f"--suite {argument(suite, folder)}"


def argument(suite: Suite, folder: Path | None = None) -> str:
    """The same without `--suite`, for commands that take it without.

    folder: where the command is to be given; without it, where this process was started.
    """
    stem = stem_of(suite)
    file = stem if stem in built_in() or not suite.source else relative(suite.source, folder)
    parts = [file, *(word for override in suite.overrides for word in ("--set", override))]
    return shlex.join([*parts, *(["--name", suite.chosen_name] if suite.chosen_name else [])])


def relative(path: str, folder: Path | None) -> str:
    """The path as it is called from a folder."""
    return path if folder is None else Path(os.path.relpath(path, folder)).as_posix()
