"""`python -m bench compare`: two rows, or the rows that two files of records share. No torch here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.commands import console
from bench.errors import UserError, unknown
from bench.leaderboard import publish as boards
from bench.leaderboard.paired import LEVEL, Difference, differences
from bench.leaderboard.rows import Row, by_seed, rows_of, versions
from bench.leaderboard.statistics import figures
from bench.markdown import counted, listed
from bench.records.store import RECORD, Store, read_record, read_records
from bench.suites import reader
from bench.suites.schema import Suite

HEADS = ["metric", "first", "second", "first - second", "seeds", "the first is"]
FILES = (".json", ".jsonl")


def compare(first: str, second: str, out: Path, metrics: Sequence[str]) -> None:
    """A table for each pair of rows: every metric, the difference with its interval, and what the seeds can tell."""
    one, other = rows(first, out), rows(second, out)
    if one.keys() == {""} or other.keys() == {""}:
        pairs = [(next(iter(one.values())), next(iter(other.values())))] if len(one) == len(other) == 1 else []
    else:
        pairs = [(one[name], other[name]) for name in one if name in other]
    if not pairs:
        raise UserError(f"compare: {first} and {second} share no row; name a row of each: SUITE/ROW or FILE/ROW")
    known = {name for pair in pairs for row in pair for record in row.done() for name in record["metrics"]}
    for name in metrics:
        if name not in known:
            raise UserError(f"--metrics: {unknown('metric', name, known)}")
    found = [(a, b, *differences(a, b, metrics)) for a, b in pairs]
    for i, (a, b, compared, left) in enumerate(found):
        print("\n" * bool(i), end="")
        show(a, b, compared, left)


def rows(what: str, out: Path) -> dict[str, Row]:
    """{label: row} of a file of records; {"": row} of SUITE/ROW or FILE/ROW. UserError for what is neither."""
    path = Path(what)
    if path.suffix in FILES and path.is_file():
        return of_file(path)
    place, slash, label = what.rpartition("/")
    if path.suffix in FILES or not slash:
        raise UserError(f"compare: {what!r} is neither a file of records nor a row; write SUITE/ROW, FILE/ROW or FILE")
    if Path(place).suffix in FILES:
        if not Path(place).is_file():
            raise UserError(f"{place}: no such file")
        found, where = of_file(Path(place)), place
    else:
        suite = suite_of(place, out)
        where = f"{out / 'leaderboards' / 'runs' / suite.name}.jsonl"
        kept = rows_of(suite, Store(out, suite.name).records(), ())
        found = {row.name: replace(row, name=f"{suite.name}/{row.name}") for row in kept if row.records}
    if label not in found:
        raise UserError(f"{where}: {unknown('row', label, found)}")
    return {"": found[label]}


def suite_of(name: str, out: Path) -> Suite:
    """The suite of that name or file, or the user's own whose results are in the folder."""
    kept = (out / "leaderboards" / "runs" / f"{name}{boards.SUITE}").is_file()
    return boards.suite_of(out, name) if kept else reader.read(name)


def of_file(path: Path) -> dict[str, Row]:
    """{label: row} of a file of records, or of a run's record.json; of several versions of a row the one that finished last."""
    record = read_record(path.parent) if path.name == RECORD else None
    found = dict[str, list[dict[str, object]]]()
    for one in sorted([record] if record else read_records(path, ""), key=lambda r: str(r.get("times", {}).get("finished"))):
        found.setdefault(one["label"], []).append(one)
    made = {}
    for label, records in found.items():
        keys = list(dict.fromkeys(str(record["row_key"]) for record in reversed(records)))
        *earlier, last = versions([record for record in records if record["row_key"] == keys[0]])
        if earlier or keys[1:]:
            console.warn(
                f"{path}: {label} has runs of {len(keys) + len(earlier)} versions; those of the one that finished last are compared"
            )
        made[label] = Row(f"{path}/{label}", False, by_seed(last), None)
    if not made:
        raise UserError(f"{path}: no records")
    return made


def show(first: Row, second: Row, found: Sequence[Difference], left: dict[str, str]) -> None:
    """The table, what it is, and what is not in it."""
    lines = [line(of) for of in found]
    title = f"first: {first.name}; second: {second.name}. Differences are paired by seed, ± their {100 * LEVEL:.0f} % t interval."
    console.table(HEADS, lines, title)
    counts = {verdict: sum(of.verdict == verdict for of in found) for verdict in ("better", "worse", "not separated")}
    said = listed(
        f"{verdict} in {count}" if verdict != "not separated" else f"not separated in {count}" for verdict, count in counts.items()
    )
    print(f"\n{first.name} is {said} of {counted(sum(counts.values()), 'metric')}")
    for reason in dict.fromkeys(left.values()):
        print(f"not compared, {reason}: {', '.join(name for name in left if left[name] == reason)}")


def line(of: Difference) -> list[str]:
    """A metric's line."""
    unit = f" ({of.column.unit})" if of.column.unit else ""
    numbers = [figures(of.first), figures(of.second), figures(of.difference, of.half_width)]
    return [of.column.name + unit, *numbers, str(of.seeds), of.verdict]
