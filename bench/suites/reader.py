"""Reading suite files: TOML in, a frozen `Suite` out, and one clear line for whatever is wrong."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.errors import UserError, unknown
from bench.suites.names import SUITES, check_name, fingerprint, settled, variant
from bench.suites.names import built_in as names
from bench.suites.schema import Density, Entry, Search, Select, Selection, Suite, place
from bench.suites.space import space
from bench.suites.sweep import check_not_said, expand, group, points
from bench.suites.values import build, check_storable, convert

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,99}")  # of a folder; no dot: --set methods.NAME.key splits there
OWN = (
    "method",
    "network",
    "latent_dim",
    "batch_size",
    "budget",
    "optimizer",
    "density",
)  # what a row may override; the rest are hyper-parameters
FOLDER = "folder:"  # begins the name of a dataset that is a folder of images
OWN_OF_DENSITY = ("model", "budget", "optimizer")
OF_ROWS = ("optimizer", "density")  # tables of the suite that a grid changes key by key, in a row that has none of its own


def read(
    suite: str, overrides: tuple[str, ...] = (), methods: tuple[str, ...] = (), seeds: int | None = None, name: str | None = None
) -> Suite:
    """The suite of that name, or in that file, with `key=value` overrides and a choice of its rows.

    Overrides make a variant with a name of its own, or with the one given, so that its numbers never mix with the suite's.
    """
    path = locate(suite)
    return choose(from_text(text_of(path), path, overrides, seeds, name), methods)


def text_of(path: Path) -> str:
    """What a suite file says; UserError where it is not UTF-8."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: byte {error.start + 1} is not UTF-8; save it as UTF-8") from None
    if text.startswith("\ufeff"):
        raise UserError(f"{path}: it begins with a byte order mark, which TOML does not have; save it as UTF-8 without one")
    return text


def read_both(
    suite: str, overrides: tuple[str, ...], methods: tuple[str, ...], seeds: int | None = None, name: str | None = None
) -> tuple[Suite, Suite]:
    """The suite with the rows and seeds that were asked for, and with all that its file has, as its page shows it."""
    return read(suite, overrides, methods, seeds, name), read(suite, overrides, name=name)


def from_text(text: str, path: Path, overrides: tuple[str, ...] = (), seeds: int | None = None, name: str | None = None) -> Suite:
    """The suite that a TOML text, read from `path`, and overrides make together."""
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: not a TOML file that can be read: it has lists in lists in lists without end") from None
    where = place(path, overrides)
    if name is not None:
        check_name(name, f"--name {name}", "choose another")
    try:
        for override in overrides:
            apply(table, override)
        check_storable(table, "")
        values = settled(overrides, table)
        about = {"name": name or variant(path.stem, values), "chosen_name": name or "", "values": fingerprint(values) if values else ""}
        if seeds is not None:
            table["seeds"] = seeds
        return parse(table, path, **about, source=str(path), text=text, overrides=overrides)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def locate(suite: str) -> Path:
    """A name or a path to the file it means."""
    if suite.endswith(".toml") or "/" in suite:
        path = Path(suite)
        if path.is_dir():
            raise UserError(f"{suite}: a folder, not a suite file; name the .toml file in it")
        if not path.is_file():
            raise UserError(f"{suite}: no such suite file; known suites: {', '.join(names())}")
        if path.resolve().parent != SUITES.resolve():
            check_name(path.stem, suite, "rename the file")
        return path
    if suite not in names():
        raise UserError(unknown("suite", suite, names()) + "; or give the path of a .toml file")
    return SUITES / f"{suite}.toml"


def apply(table: dict[str, Any], override: str) -> None:
    """Set `a.b.c=value` in a nested table; the value is read as TOML, or as a plain word."""
    key, equals, text = override.partition("=")
    *parents, last = key.strip().split(".")
    if not equals or not last:
        raise UserError("write it as key=value, for instance methods.vcae.weight=0.5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # not TOML, or a number of thousands of digits
        value = text.strip()
    for depth, name in enumerate(parents):
        if depth == 1 and parents[0] == "methods" and name not in table:
            raise UserError(unknown("method", name, table))
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise UserError(f"{'.'.join(parents[: depth + 1])} is a value, it has no key {last!r}")
    if parents[-1:] == ["budget"]:
        table.clear()  # a budget is one key: the new one takes the old one's place
    table[last] = value


def parse(table: dict[str, Any], path: Path, **given: Any) -> Suite:
    """A `Suite` from the table of a file; UserError names the key."""
    table = dict(table)
    rows, presets = (tables(table.pop(name, {}), name) for name in ("methods", "presets"))
    if "sweep" in table:
        given["sweep"] = points(table.pop("sweep"), "sweep")
    if "select" in table:
        given["select"] = convert(table.pop("select"), Select, "select")
    shared = given | {name: table[name] for name in OF_ROWS if name in table}
    made = {label: made_of(label, row, presets, shared) for label, row in rows.items()}
    entries = tuple(one for of, _ in made.values() for one in of)
    given["searches"] = tuple(rule for _, rule in made.values() if isinstance(rule, Search))
    rules = {label: rule for label, (_, rule) in made.items() if isinstance(rule, Select)}
    given["selections"] = tuple(Selection(label, tuple(one.label for one in made[label][0]), rule) for label, rule in rules.items())
    plugins = convert(table.get("plugins", []), tuple[str, ...], "plugins")
    table["plugins"] = [str(path.parent / plugin) for plugin in plugins]
    if str(table.get("dataset")).startswith(FOLDER):
        table["plugins"].append(f"{FOLDER}{path.parent}")  # where its path begins
    if table.get("metrics") == []:
        raise UserError("metrics must name at least one metric, not []; leave the key out for all of them")
    if "density" in table:
        given["density"] = density(table.pop("density"), "density")
    suite: Suite = build(Suite, table, "", methods=entries, **given)
    return suite


def made_of(
    label: str, row: dict[str, Any], presets: Mapping[str, Any], common: Mapping[str, Any]
) -> tuple[tuple[Entry, ...], Select | Search | None]:
    """The rows that one [methods.LABEL] makes, several where there is a sweep, and the rule that chooses one of them, or its search.

    common: the suite's own `sweep`, `select`, `optimizer` and `density`, for rows that have none.
    """
    if not LABEL.fullmatch(label):
        raise UserError(f"methods.{label!r:.110}: a name has up to 100 letters, digits and _ + -, the first a letter or digit")
    where = f"methods.{label}"
    whole = dict(with_preset(row, presets, where))
    own, own_rule, sought = (whole.pop(name, None) for name in ("sweep", "select", "search"))
    values = common.get("sweep") if own is None else points(own, f"{where}.sweep")
    rule = common.get("select") if own_rule is None else convert(own_rule, Select, f"{where}.select")
    if sought is not None:
        if values:
            raise UserError(f"{where} has a sweep and a search; a row has one of the two")
        if rule is None:
            raise UserError(f'{where}.search needs the rule that chooses one of its trials, such as select = {{ metric = "fid_pz" }}')
        return (entry(label, whole, label),), Search(label, space(sought, f"{where}.search"), rule)
    if not values:
        if own_rule is not None:
            raise UserError(f"{where}.select chooses among the rows of a grid, and there is no sweep")
        return (entry(label, whole, label),), None
    check_not_said(label, row, values[0])
    whole = {name: common[name] for name in OF_ROWS if name in common and any(key.startswith(f"{name}.") for key in values[0])} | whole
    return tuple(entry(name, table, label) for name, table in expand(label, whole, values).items()), rule


def tables(value: Any, name: str) -> dict[str, dict[str, Any]]:
    """The tables [name.X] of a file."""
    if not isinstance(value, dict):
        raise UserError(f"{name} must be tables, [{name}.NAME]")
    for key, table in value.items():
        if not isinstance(table, dict):
            raise UserError(f"{name}.{key} must be a table, not {table!r}")
    return value


def with_preset(row: dict[str, Any], presets: Mapping[str, Mapping[str, Any]], where: str) -> dict[str, Any]:
    """The row on top of the preset that it names: a key of its own takes the preset's place, in an optimizer key by key."""
    if "preset" not in row:
        return row
    own = {key: value for key, value in row.items() if key != "preset"}
    name = convert(row["preset"], str, f"{where}.preset")
    if name not in presets:
        raise UserError(f"{where}.preset: {unknown('preset', name, presets)}")
    preset = presets[name]
    if isinstance(preset.get("optimizer"), dict) and isinstance(own.get("optimizer"), dict):
        own["optimizer"] = preset["optimizer"] | own["optimizer"]
    return {**preset, **own}


def entry(label: str, row: Mapping[str, Any], method: str) -> Entry:
    """The row of a [methods.LABEL] table; method: what it is of where the table does not say."""
    own, values = split(row, OWN)
    if "density" in own:
        own["density"] = density(own["density"], f"methods.{label}.density")
    return build(Entry, {"method": method, **own}, f"methods.{label}", label=label, hyperparameters=values)


def density(table: Any, where: str) -> Density:
    """One [methods.LABEL.density] table, or that of all rows."""
    if not isinstance(table, dict):
        raise UserError(f"{where} must be a table, not {table!r}")
    own, values = split(table, OWN_OF_DENSITY)
    return build(Density, own, where, options=values)


def split(table: Mapping[str, Any], own: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings among the keys, and the rest: keyword arguments of what the table names, their lists as tuples."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items() if key not in own}
    return {key: value for key, value in table.items() if key in own}, values


def choose(suite: Suite, methods: tuple[str, ...]) -> Suite:
    """The suite with only those rows, in the suite's order; the name of a row in the file means all that its grid made of it."""
    labels = [entry.label for entry in suite.methods]
    for label in methods:
        if label not in [*labels, *map(group, labels)]:
            raise UserError(f"{suite.where}: {unknown('method', label, labels)}")
    kept = tuple(entry for entry in suite.methods if not methods or {entry.label, group(entry.label)} & {*methods})
    return Suite(**{f.name: getattr(suite, f.name) for f in fields(suite)} | {"methods": kept})
