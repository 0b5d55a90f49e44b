"""The forms of an export, by the option that asks for each. No torch here."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.leaderboard.exports.contents import board_of, export
from bench.leaderboard.exports.flat import as_csv, as_parquet
from bench.leaderboard.exports.latex import as_latex
from bench.leaderboard.rows import Record
from bench.suites.schema import Suite

Writer = Callable[[Suite, Iterable[Record], Sequence[str]], bytes]  # of a suite, its records, and the metrics that were chosen


def csv_of(suite: Suite, records: Iterable[Record], metrics: Sequence[str] = ()) -> bytes:
    """A line for each row and metric."""
    return as_csv(export(board_of(suite, records, metrics))).encode()


def json_of(suite: Suite, records: Iterable[Record], metrics: Sequence[str] = ()) -> bytes:
    """The whole `Export`, a line for each row, column and cell."""
    found = export(board_of(suite, records, metrics))
    lines = [f"{spelt(name)}: {listed(value) if isinstance(value, list) else spelt(value)}" for name, value in found.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def listed(entries: Sequence[object]) -> str:
    """A list of JSON with a line for each entry."""
    return "[\n" + ",\n".join(map(spelt, entries)) + "\n]"


def spelt(value: object) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def latex_of(suite: Suite, records: Iterable[Record], metrics: Sequence[str] = ()) -> bytes:
    """The first screen as a table environment."""
    return as_latex(board_of(suite, records, metrics), metrics).encode()


def parquet_of(suite: Suite, records: Iterable[Record], metrics: Sequence[str] = ()) -> bytes:
    """The lines of the CSV as a parquet file."""
    return as_parquet(export(board_of(suite, records, metrics)))


WRITERS: Mapping[str, Writer] = {"--csv": csv_of, "--json": json_of, "--latex": latex_of, "--parquet": parquet_of}
