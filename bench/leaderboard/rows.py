"""Rows and columns of a leaderboard, from its records. No torch here.

A row is one method of the suite on one kind of device, as the suite file means it today, trained by one code: that of the run which
ended last. What ran under an earlier meaning, or was trained by other code or with other values, is a stale row, below and apart.
Values of different protocols, or of different code of a metric, are different columns.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from typing import Any

from bench.errors import UserError
from bench.markdown import counted, listed, text
from bench.records.check import finite
from bench.records.identity import differences, identity
from bench.records.store import cell
from bench.suites.schema import AUTO, Suite

Record = Mapping[str, Any]  # one training run, or one profile, as the store reads them
Place = tuple[str, str, str]  # label, kind of device, row key
MACHINE = ("device", "processor", "driver", "threads", "jobs", "processes", "torch", "python")  # what times depend on
ABSENT = "–"


@dataclass(frozen=True)
class Row:
    """The records of one method on one kind of device under one meaning: one for each seed, by seed."""

    name: str
    stale: bool
    records: tuple[Record, ...]  # their costs among their metrics
    profile: Record | None
    why: str = ""  # what trained it differently from the row that took its place

    def done(self) -> list[Record]:
        return [record for record in self.records if record["status"] == "done"]

    @cached_property
    def entries(self) -> dict["Column", dict[int, Record]]:
        """{column: {seed: entry}} of the finished runs, with and without a value."""
        found: dict[Column, dict[int, Record]] = {}
        for record in self.done():
            for name, entry in record["metrics"].items():
                found.setdefault(Column.of(name, entry), {})[record["seed"]] = entry
        return found

    @cached_property
    def numbers(self) -> dict["Column", dict[int, float]]:
        """{column: {seed: value}} of the entries that have a finite one."""
        return {
            column: {seed: float(value) for seed, entry in of.items() if (value := entry["value"]) is not None and finite(value)}
            for column, of in self.entries.items()
        }

    def has_losses(self) -> bool:
        """Whether a run diverged or failed, so that the values are those of the seeds that survived."""
        return any(record["status"] in ("diverged", "failed") for record in self.records)

    def machines(self) -> list[str]:
        """What the row's finished runs ran on."""
        return list(dict.fromkeys(machine(record["environment"]) for record in self.done()))

    def status(self, seeds: int) -> str:
        """`5/5 done`, `4/5 done, 1 diverged`, `3 of 5 seeds, 1 failed`; stale rows say so first."""
        count = len(self.records)
        said = f"{len(self.done())}/{count} done" if count >= seeds else f"{count} of {counted(seeds, 'seed')}"
        return ("stale: " if self.stale else "") + (said + losses(self.records) if count else "not run")


@dataclass(frozen=True, order=True)
class Column:
    """Values that may stand under one another."""

    name: str
    protocol: str
    unit: str
    better: str
    group: str
    code: str  # of the metric

    def __hash__(self) -> int:
        return hash(self.name)  # few share one: tables look columns up a hundred thousand times

    @staticmethod
    def of(name: str, entry: Record) -> "Column":
        get = entry.get
        return column(name, get("protocol") or "", get("unit") or "", get("better") or "", get("group") or "", get("code") or "")

    def values(self, row: Row) -> Mapping[int, float]:
        """{seed: value} of the finished runs that have one here."""
        return row.numbers.get(self, {})

    def why_absent(self, record: Record) -> str:
        """The reason for which a finished run has no number here; empty if it has one."""
        entry = record["metrics"].get(self.name)
        if entry is None or Column.of(self.name, entry) != self:
            same = entry and Column.of(self.name, {**entry, "code": self.code}) == self
            return "measured by other code" if same else "measured under another protocol" if entry else "not measured"
        if entry["value"] is None:
            return text(entry.get("reason") or "no reason given")
        return "" if finite(entry["value"]) else f"not a finite number: {entry['value']!s:.20}"


column = cache(Column)  # one object for equal ones, which tables find the fastest


def losses(records: Iterable[Record]) -> str:
    """`, 1 diverged, 2 failed`, or nothing."""
    states = [record["status"] for record in records]
    return "".join(f", {states.count(bad)} {bad}" for bad in ("diverged", "failed") if bad in states)


def network_of(suite: Suite, rows: Iterable[Row]) -> str:
    """The suite's network, and which rows have another: `mlp (stacked_mlp in `stacked_wae`)`."""
    others: dict[str, list[str]] = {}
    for entry in suite.methods:
        if entry.network and entry.network != suite.network:
            others.setdefault(entry.network, []).append(f"`{entry.label}`")
    said = "; ".join(f"{name} in {listed(labels)}" for name, labels in others.items())
    return own_network(suite, rows) + f" ({said})" * bool(said)


def own_network(suite: Suite, rows: Iterable[Row]) -> str:
    """That of rows that name none; of `auto`, which it became by the records: `conv (auto)`."""
    if suite.network != AUTO:
        return suite.network
    own = {entry.label for entry in suite.methods if (entry.network or AUTO) == AUTO}
    records = [record for row in rows if not row.stale for record in row.records if record["label"] in own]
    became = sorted({str(record["config"]["network"]) for record in records})
    return f"{' and '.join(became)} ({AUTO})" if became else AUTO


def progress(suite: Suite, rows: Iterable[Row]) -> tuple[int, int]:
    """How many runs of the rows have finished, and how many there are to be."""
    found = list(rows)
    return sum(len(row.done()) for row in found), sum(max(suite.seeds, len(row.records)) for row in found)


def rows_of(suite: Suite, records: Iterable[Record], profiles: Iterable[Record]) -> list[Row]:
    """Rows in the suite's order, those without records too; then the stale ones by label."""
    ran, profiled = placed(suite, records), placed(suite, profiles)
    places = {*ran, *profiled}
    kinds = {kind for _, kind, _ in places}
    labels = [entry.label for entry in suite.methods]
    now = places & {(run.label, kind, run.row_key()) for kind in kinds for run in suite.runs(kind)}
    now |= {(label, "", "") for label in labels if label not in {place[0] for place in now}}
    current, stale = list[Row](), list[Row]()
    for place in (*sorted(now, key=lambda place: (labels.index(place[0]), place)), *sorted(places - now)):
        label, kind, key = place
        *earlier, last = versions(ran.get(place, []))
        for found in (*earlier, last):
            old = f"stale {key[:8]}" if place not in now else ""
            why = "; ".join(differences(found[0], last[0])) if found is not last else ""
            notes = ", ".join(filter(None, [kind if len(kinds) > 1 else "", f"stale {identity(found[0])[:8]}" if why else old]))
            whole = by_seed(found)
            row = Row(f"{label} ({notes})" if notes else label, bool(why or old), whole, profile_of(whole, profiled.get(place, [])), why)
            (stale if row.stale else current).append(row)
    return current + stale


def by_seed(records: Iterable[Record]) -> tuple[Record, ...]:
    """Records of one row in the order of their seeds, of a seed's records the last; their costs among their metrics."""
    seeds = {record["seed"]: record for record in records}
    return tuple({**r, "metrics": {**r["metrics"], **r["cost"]}} for _, r in sorted(seeds.items()))


def versions(records: Sequence[Record]) -> list[list[Record]]:
    """Records of one place, apart by what trained them, the version that ended last at the end; [[]] of none."""
    found: dict[str, list[Record]] = {}
    for record in records:
        name = identity(record)
        found[name] = [*found.pop(name, []), record]  # behind those that ended before
    return list(found.values()) or [[]]


def profile_of(records: Sequence[Record], profiles: Sequence[Record]) -> Record | None:
    """The last profile of the code that trained these records; one of which that is not known counts too."""
    codes = [None, *(record.get("trained_by") for record in records)]
    fitting = [profile for profile in profiles if len(codes) == 1 or None in codes[1:] or profile.get("trained_by") in codes]
    return fitting[-1] if fitting else None


def current_records(suite: Suite, records: Iterable[Record]) -> list[Record]:
    """Those of the rows that are not stale."""
    return [record for row in rows_of(suite, records, ()) if not row.stale for record in row.records]


def placed(suite: Suite, records: Iterable[Record]) -> dict[Place, list[Record]]:
    """Records or profiles by place, each list in an order of its own; UserError for what is not of this board."""
    found: dict[Place, list[Record]] = {}
    for record in by_time(records):
        where = f"leaderboard {suite.name}: {record['label']}, seed {record.get('seed', ABSENT)}:"
        if record.get("smoke"):
            raise UserError(f"{where} a smoke run; a leaderboard takes whole runs only: run again without --smoke")
        if record["suite"] != suite.name:
            raise UserError(f"{where} a record of suite {record['suite']!r}; a leaderboard takes its own suite's only")
        found.setdefault((*cell(record)[:2], record["row_key"]), []).append(record)
    return found


def by_time(records: Iterable[Record]) -> list[Record]:
    """Records by the time at which they ended, those of one time by all that they say."""
    times = groupby(sorted(records, key=finished), finished)
    of_one_time = [list(found) for _, found in times]
    return [record for of in of_one_time for record in (sorted(of, key=lambda r: json.dumps(r, sort_keys=True)) if len(of) > 1 else of)]


def finished(record: Record) -> str:
    """When a run or profile ended, as text."""
    return str(record.get("times", {}).get("finished"))


def columns_of(suite: Suite, rows: Sequence[Row]) -> dict[Column, str]:
    """Every column of the finished runs and what it is called, in the suite's order of metrics, then by name."""
    rank = {name: place for place, name in enumerate(suite.metrics)}
    columns = sorted({column for row in rows for column in row.entries}, key=lambda c: (rank.get(c.name, len(rank)), c))
    same = {column: [c for c in columns if c.name == column.name] for column in columns}
    return {c: c.name + f", protocol {same[c].index(c) + 1}" * (len(same[c]) > 1) for c in columns}


def machines(rows: Sequence[Row]) -> list[str]:
    """Every distinct machine of the finished runs, in the order of rows and seeds."""
    return list(dict.fromkeys(place for row in rows for place in row.machines()))


def machine(environment: Record) -> str:
    """The part of an environment that times depend on, in words."""
    return ", ".join(f"{key} {text(environment[key])}" for key in MACHINE if environment.get(key) is not None)
