"""What the records of a folder say of suites' rows, seed by seed, as the suites have them now. No torch here."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.leaderboard.rows import current_records
from bench.records.check import finite
from bench.records.store import Store
from bench.suites import reader

Record = Mapping[str, Any]
Cell = tuple[str, int]  # kind of device, seed


class SuiteResults:
    """The records of one suite that no change of its file has made stale."""

    def __init__(self, name: str, records: list[Record]):
        self.name, self.records = name, records

    @cached_property
    def rows(self) -> dict[str, dict[Cell, Record]]:
        """{row: {(kind of device, seed): record}} of the runs that have ended, whatever became of them."""
        found: dict[str, dict[Cell, Record]] = {}
        for record in self.records:
            found.setdefault(record["label"], {})[record["config"]["device"], record["seed"]] = record
        return found

    def entries(self, row: str, metric: str) -> dict[Cell, Record]:
        """{place: the metric's entry} of the row's finished runs that have a finite value of it."""
        done = {place: record["metrics"].get(metric) for place, record in self.rows.get(row, {}).items() if record["status"] == "done"}
        return {place: entry for place, entry in done.items() if entry and entry["value"] is not None and finite(entry["value"])}

    def values(self, row: str, metric: str) -> dict[Cell, float]:
        """{place: value} of the same."""
        return {place: float(entry["value"]) for place, entry in sorted(self.entries(row, metric).items())}

    def done(self, row: str) -> list[Record]:
        """The row's finished runs."""
        return [record for _, record in sorted(self.rows.get(row, {}).items()) if record["status"] == "done"]

    def lost(self, row: str) -> list[Cell]:
        """Where the row diverged or failed."""
        return [place for place, record in sorted(self.rows.get(row, {}).items()) if record["status"] != "done"]

    def why_absent(self, row: str, metric: str) -> str:
        """Why finished runs of the row have no value of a metric; empty without such runs."""
        entries = [record["metrics"].get(metric, {"reason": "not measured"}) for record in self.done(row)]
        return next((str(entry.get("reason") or "its value is not finite") for entry in entries), "")


class Results:
    """Those of every suite, read when first asked for."""

    def __init__(self, out: Path):
        self.out, self.known = out, dict[str, SuiteResults]()

    def __getitem__(self, suite: str) -> SuiteResults:
        if suite not in self.known:
            self.known[suite] = SuiteResults(suite, current_records(reader.read(suite), Store(self.out, suite).records()))
        return self.known[suite]
