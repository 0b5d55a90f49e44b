"""`python -m bench status`: which runs are done, which are under way and by whom, what is left. Reads files only. No torch here."""

from collections import Counter
from pathlib import Path

from bench.commands import console
from bench.errors import UserError
from bench.leaderboard import publish as boards
from bench.records.locks import holder_of
from bench.records.store import Store, read_ending
from bench.suites.schema import Run, Suite

HEADS = ["run", "seed", "state"]
LEFT = "left"
SILENT = 120.0  # seconds without a sign of life that are said: an evaluation gives none


def status(out: Path, asked: Suite | None) -> None:
    """A table of a suite's runs; without one, a line on each that has been run. UserError where none has."""
    suites = [asked] if asked else []
    if not asked:
        suites = [boards.suite_of(out, path.name) for path in sorted((out / "runs").glob("[!.]*")) if path.is_dir()]
        if not suites:
            raise UserError(f"{out / 'runs'}: no suite has been run here; another folder: --out")
    for suite in suites:
        store = Store(out, suite.name)
        found = {(run.label, run.seed): state(store, run) for run in suite.runs("cpu")}
        counts = Counter(text.partition(" ")[0].rstrip(",") for text in found.values())
        words = f"{suite.name}: {', '.join(f'{count} {text}' for text, count in counts.most_common())} of {len(found)} runs"
        if asked:
            console.table(HEADS, [[label, str(seed), text] for (label, seed), text in found.items()], words)
        else:
            print(words)


def state(store: Store, run: Run) -> str:
    """What has become of a run, on whichever kind of device."""
    states = [state_of(store, one) for one in (run, run.on("cuda"))]
    return next((text for text in states if text != LEFT), LEFT)


def state_of(store: Store, run: Run) -> str:
    """`done`, `diverged`, `failed: reason`, `running by process N on host, 40 %`, `interrupted`, or `left`."""
    folder = store.folder(run)  # once: its name is a digest of all the run's values
    if not folder.exists():
        return LEFT
    if holder := holder_of(folder):
        share, silent = store.share(run), store.silence(run)
        done = "" if share is None else f", {100 * share:.0f} %"
        return f"running by {holder}{done}" + (f", no news for {silent / 60:.0f} min" if silent >= SILENT else "")
    if record := read_ending(folder):
        return str(record["status"]) + f": {record['error']}" * bool(record["error"])
    return "interrupted, goes on from its checkpoint" if store.begun(run) else LEFT
