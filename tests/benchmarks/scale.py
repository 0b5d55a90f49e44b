"""How commands grow with records and cells; writes the table of docs/scale.md: `python tests/benchmarks/scale.py docs` (minutes).

Records are copies of a committed one of `digits` under other names, with other values; cells are those of a suite file of so many rows.
"""

import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.commands.status import status
from bench.engines.cell import unfinished
from bench.environment import processor
from bench.leaderboard import publish
from bench.records.store import Store
from bench.registry import catalogue
from bench.runs.context import Context, context_of
from bench.runs.resolve import Resolved, resolve
from bench.runs.settings import Settings
from bench.suites import reader
from bench.suites.schema import Suite

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
ROOT = Path(__file__).parents[2]
RECORDS, CELLS, SEEDS = (10, 100, 1000, 10_000), (100, 1000, 10_000), 10
HEAD = """question = "How large may it be?"
hardware = "any"
expected_time = "none"
dataset = "digits"
network = "mlp"
latent_dim = 2
batch_size = 100
seeds = {seeds}
metrics = ["rec_sse_test"]
[budget]
steps = 20
"""


def seconds(step: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def suite_of(folder: Path, count: int) -> Suite:
    """A suite of so many cells, ten seeds a row."""
    rows = count // SEEDS
    path = folder / "scale.toml"
    path.write_text(HEAD.format(seeds=SEEDS) + "".join(f"[methods.row{n}]\nmethod = 'ae'\nlatent_dim = {2 + n}\n" for n in range(rows)))
    return reader.read(str(path))


def made_up(suite: Suite) -> list[dict[str, Any]]:
    """A record for each cell: a committed one with other names, and values that differ by a tenth."""
    model = next(record for record in Store(ROOT, "digits").records() if record["label"] == "wae_mmd")
    dice = random.Random(0)

    def other(entry: dict[str, Any]) -> dict[str, Any]:
        return entry if entry["value"] is None else {**entry, "value": entry["value"] * dice.uniform(0.95, 1.05)}

    return [
        {
            **model,
            **{"suite": suite.name, "label": run.label, "seed": run.seed, "key": run.key(), "row_key": run.row_key()},
            "config": {**model["config"], **run.config(), "recipe": model["config"]["recipe"], "convention": model["config"]["convention"]},
            "metrics": {name: other(entry) for name, entry in model["metrics"].items()},
        }
        for run in suite.runs("cpu")
    ]


def of_records(folder: Path, count: int) -> dict[str, float]:
    """What reading and showing so many records takes."""
    suite = suite_of(folder, count)
    store, records = Store(folder, suite.name), made_up(suite)
    return {
        "put records into a suite's file": seconds(lambda: store.merge(records)),
        "read them": seconds(store.records),
        "write the board": seconds(lambda: publish.board(store, suite)),
        "write the page of all boards": seconds(lambda: publish.page_of(publish.everything(folder, print))),
    }


def of_cells(folder: Path, count: int) -> dict[str, float]:
    """What beginning and watching so many cells takes."""
    found = {"read the suite file": seconds(lambda: suite_of(folder, count))}
    suite = suite_of(folder, count)
    context = context_of(Settings(folder, folder, "cpu"), suite.name, ())
    runs = suite.runs("cpu")
    known, resolved = catalogue(), list[Resolved]()
    found["resolve all cells"] = seconds(lambda: resolved.extend(resolve(run, known) for run in runs))
    found["see which are left"] = seconds(lambda: unfinished(resolved, context, lambda event: None))
    found["claim and free each"] = seconds(lambda: claim_all(context, runs))
    found["`status`, none done"] = seconds(lambda: quiet(lambda: status(folder, suite)))
    for run, record in zip(runs, made_up(suite), strict=True):
        context.store.save_record(run, record)
    found["`status`, all done"] = seconds(lambda: quiet(lambda: status(folder, suite)))
    return found


def claim_all(context: Context, runs: list[Any]) -> None:
    """Have each run to itself once."""
    for run in runs:
        with context.store.claim(run) as mine:
            assert mine


def quiet(step: Callable[[], None]) -> None:
    """Without what it prints."""
    before, sys.stdout = sys.stdout, open("/dev/null", "w")  # noqa: SIM115
    try:
        step()
    finally:
        sys.stdout.close()
        sys.stdout = before


def table(of: Callable[[Path, int], dict[str, float]], sizes: tuple[int, ...], what: str) -> str:
    """A row for each step: seconds by size, and by which power of the size they grow between the last two."""
    columns = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            columns.append(of(Path(folder), size))
        print(size, columns[-1], file=sys.stderr)
    lines = [f"| {what} | {' | '.join(f'{size:,}' for size in sizes)} | grows with the power |", f"|---|{'---:|' * (len(sizes) + 1)}"]
    for name in columns[0]:
        times = [column[name] for column in columns]
        power = math.log(times[-1] / times[-2]) / math.log(sizes[-1] / sizes[-2])
        lines.append(f"| {name} | {' | '.join(f'{value:.2g}' if value < 10 else f'{value:.0f}' for value in times)} | {power:.2f} |")
    return "\n".join(lines)


def start_up() -> str:
    """Of the command line, without and with torch."""
    bare = [sys.executable, "-m", "bench", "list", "suites"]
    listed = seconds(lambda: subprocess.run(bare, capture_output=True, check=True, cwd=ROOT))
    dry = [sys.executable, "-m", "bench", "run", "--suite", "digits", "--dry-run"]
    started = seconds(lambda: subprocess.run(dry, capture_output=True, check=True, cwd=ROOT))
    return f"Start-up: `list suites` {listed:.2g} s, `run --suite digits --dry-run`, which loads torch, {started:.2g} s."


def page(text: str, between: str) -> str:
    """The page with this in place of what is between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{between}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    path = Path(sys.argv[1]) / "scale.md"
    parts = [
        f"Seconds on {processor()}, one process, files on a local disk.",
        table(of_records, RECORDS, "records, ten seeds a row"),
        table(of_cells, CELLS, "cells, ten seeds a row"),
        start_up(),
    ]
    path.write_text(page(path.read_text(encoding="utf-8"), "\n\n".join(parts)), encoding="utf-8")
