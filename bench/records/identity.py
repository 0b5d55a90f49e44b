"""What trained a record: its resolved values and its code. Records of one row that others trained are stale, and this says why."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.suites.schema import canonical, digest

Record = Mapping[str, Any]  # {config, trained_by} at least, and {environment} of several processes
SHOWN = 6  # modules at most, in a line


def trained_values(record: Record) -> dict[str, Any]:
    """The values that a method and a density got, their functions' defaults included; all others are in the row's key.

    And how many processes trained it together, where they were several: the order of their sums is in the weights' last digits.
    """
    config, processes = record["config"], record.get("environment", {}).get("processes")
    options = (config.get("density") or {}).get("options") or {}
    several = {"processes": processes} if processes else {}
    return {**config.get("hyperparameters", {}), **{f"density.{name}": value for name, value in options.items()}, **several}


def identity(record: Record) -> str:
    """A digest of what trained a record."""
    return digest([trained_values(record), record.get("trained_by")])


def differences(old: Record, new: Record) -> list[str]:
    """What trained `old` and is not so in `new`, in words: `beta was 1.0, is 30.0` and `models/vae.py changed`; [] where nothing is."""
    before, after = trained_values(old), trained_values(new)
    return [*changed_values(before, after), *changed_code(old.get("trained_by"), new.get("trained_by"))]


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Each value that differs, as records write it."""
    spelt = [{name: canonical(value) for name, value in values.items()} for values in (before, after)]
    old, new = spelt
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return [f"{name} was {old.get(name, 'not there')}, is {new.get(name, 'not there')}" for name in names]


def changed_code(before: Mapping[str, str] | None, after: Mapping[str, str] | None) -> list[str]:
    """Which modules differ, in one text."""
    if before == after:
        return []
    if before is None or after is None:
        return ["trained by other code: one of the two is of a version before 0.3, whose records do not say by which"]
    kinds = {
        "changed": (name for name in before if name in after and before[name] != after[name]),
        "not used then": (name for name in after if name not in before),
        "not used now": (name for name in before if name not in after),
    }
    said = [f"{listed(found)} {word}" for word, names in kinds.items() if (found := sorted(names))]
    return ["trained by other code: " + "; ".join(said)]


def listed(names: Iterable[str]) -> str:
    """`models/vae.py, plugin.py`, and how many more where there are many."""
    found = list(names)
    return ", ".join(found[:SHOWN]) + f" and {len(found) - SHOWN} more" * (len(found) > SHOWN)
