"""Recorded values beside those computed again: which moved, by how much, and what is known to differ. No torch here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
ABSENT = "-"
PLACE = ("device", "driver", "threads", "precision", "python", "torch", "numpy", "scipy", "scikit-learn")  # of an environment


@dataclass(frozen=True)
class Change:
    """Something of a record that is not so any more."""

    run: str
    what: str  # a metric, or weights, or data
    old: str
    new: str
    relative: float | None  # |new - old| over the larger of |old| and |new|; None where there are no two numbers
    why: tuple[str, ...]


@dataclass(frozen=True)
class Now:
    """What values computed now stand on."""

    weights: str
    data: str
    code: str
    environment: Record


def relative(old: float, new: float) -> float:
    """How far apart two numbers are, 0 to 2."""
    return abs(new - old) / max(abs(old), abs(new)) if old != new else 0.0


def changes(run: str, record: Record, entries: Record, now: Now, tolerance: float) -> list[Change]:
    """What moved of a record: its hashes, and each metric with another protocol or a value that is not near the old one.

    entries: the same metrics as the record's, computed again; what is missing among them is no metric any more.
    """
    found = [
        Change(run, name, str(record["hashes"].get(name))[:16], hashed[:16], None, (words,))
        for name, hashed, words in (
            ("weights", now.weights, "the file does not hold what was trained"),
            ("data", now.data, "the dataset is another"),
        )
        if record["hashes"].get(name) != hashed
    ]
    return found + [
        moved for name, entry in record["metrics"].items() if (moved := change(run, name, entry, record, entries.get(name), now, tolerance))
    ]


def change(run: str, name: str, old: Record, record: Record, new: Record | None, now: Now, tolerance: float) -> Change | None:
    """A metric's change; None where it did not move."""
    if new is None:
        return Change(run, name, number(old["value"]), ABSENT, None, ("no metric has this name now",))
    why = [*protocol(old.get("protocol", ""), new["protocol"]), *reasons(record, name, now)]
    both = old["value"] is not None and new["value"] is not None
    apart = relative(old["value"], new["value"]) if both else None
    if old.get("protocol", "") == new["protocol"] and (apart <= tolerance if apart is not None else old["value"] is new["value"]):
        return None
    absent = [f"{when}: {entry.get('reason')}" for when, entry in (("then", old), ("now", new)) if entry["value"] is None]
    return Change(run, name, number(old["value"]), number(new["value"]), apart, tuple(absent + why) or ("nothing known differs",))


def number(value: float | None) -> str:
    """As a table shows it."""
    return ABSENT if value is None else f"{value:.9g}"


def protocol(old: str, new: str) -> list[str]:
    """The parts in which two protocols differ."""
    before, after = old.split("; "), new.split("; ")
    gone, come = ([part for part in one if part not in other] for one, other in ((before, after), (after, before)))
    return [f"protocol: {'; '.join(gone) or ABSENT} → {'; '.join(come) or ABSENT}"] if old != new else []


def reasons(record: Record, name: str, now: Now) -> list[str]:
    """What differs between the circumstances of a recorded value and those of now, as far as both are known."""
    source = origin(record, name)
    hashes = [("weights", record["hashes"].get("weights"), now.weights), ("data", record["hashes"].get("data"), now.data)]
    pairs = [(fact, str(old)[:16], str(new)[:16]) for fact, old, new in [*hashes, ("code", source["code"], now.code)]]
    pairs += [(fact, str(source["environment"].get(fact)), str(now.environment.get(fact))) for fact in PLACE]
    return [f"{fact} {old} → {new}" for fact, old, new in pairs if old != new]


def origin(record: Record, name: str) -> Record:
    """{code, environment} of what computed a metric's value: the run itself, or a later evaluation that says so."""
    notes = [note for note in record.get("evaluated", []) if name in note["metrics"]]
    return notes[-1] if notes else {"code": record["hashes"].get("code"), "environment": record["environment"]}


def updated(record: Record, entries: Record, note: Record) -> dict[str, Any]:
    """The record with those entries in place of its own of these names, and who computed them.

    note: {code, environment, finished}. A later evaluation takes over the names that it computed.
    """
    notes: Iterable[Record] = record.get("evaluated", [])
    left = [{**earlier, "metrics": [name for name in earlier["metrics"] if name not in entries]} for earlier in notes]
    evaluated = [earlier for earlier in left if earlier["metrics"]] + [{**note, "metrics": sorted(entries)}] * bool(entries)
    return {**record, "metrics": {**record["metrics"], **entries}, "evaluated": evaluated}
