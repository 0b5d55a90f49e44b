"""Leaderboards on disk: written from records alone, and indexed. No torch here."""

import json
from pathlib import Path

from bench.errors import UserError
from bench.files import write
from bench.leaderboard.curves import picture
from bench.leaderboard.paper_claims import section
from bench.leaderboard.render import index, render
from bench.records.store import PROFILE, Store
from bench.suites import reader
from bench.suites.schema import Suite

SUITE = ".suite.json"  # ends the names of kept suite files


def publish(out: Path, suite: Suite) -> Path:
    """Write leaderboards/<suite>.md and the index; -> the leaderboard's path."""
    store = Store(out, suite.name)
    if suite.name not in reader.names():
        keep(store, suite)
    path = store.boards / f"{suite.name}.md"
    with store.alone():  # a board made of fewer records must not come after one made of more
        write(path, board(store, suite).encode())
        write(store.boards / "README.md", index(everything(out)).encode())
    return path


def current(out: Path, suite: Suite) -> bool:
    """Whether the leaderboard on disk is what its records make."""
    store = Store(out, suite.name)
    path = store.boards / f"{suite.name}.md"
    return path.exists() and path.read_text(encoding="utf-8") == board(store, suite)


def board(store: Store, suite: Suite) -> str:
    """The text of a leaderboard, with its training curves where they have been drawn."""
    records, curves = store.kept(), picture(store)
    text = render(suite, records, store.kept(PROFILE)) + section(suite, records)
    words = "Means over seeds of the terms as each row minimises them; scales of different costs differ."
    return f"{text}\n## Training curves\n\n{words}\n\n![curves]({curves.name})\n" if curves.exists() else text


def keep(store: Store, suite: Suite) -> None:
    """Keep the text of a suite that does not come with latentbench beside its records, for the index."""
    content = {"toml": suite.text, "set": list(suite.overrides), "file": Path(suite.source).name}
    write(store.boards / "runs" / f"{suite.name}{SUITE}", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def everything(out: Path) -> dict[str, tuple[Suite, list[dict]]]:
    """Every suite that has records, by the name of its board."""
    folder = out / "leaderboards" / "runs"
    suites = {name: reader.read(name) for name in reader.names()}
    for path in folder.glob(f"*{SUITE}"):
        suite = kept_suite(path)
        suites[suite.name] = suite
    return {name: (suite, records) for name, suite in suites.items() if (records := Store(out, name).kept())}


def kept_suite(path: Path) -> Suite:
    """The suite that `keep` kept there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return reader.from_text(content["toml"], Path(content["file"]), tuple(content["set"]))
    except (ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(f"{path}: not a suite that this version can read ({error}); delete it") from None


def suite_of(out: Path, name: str) -> Suite:
    """The suite that a folder of results is of, by its name; UserError where neither latentbench nor the results have it."""
    if name in reader.names():
        return reader.read(name)
    path = out / "leaderboards" / "runs" / f"{name}{SUITE}"
    if not path.is_file():
        raise UserError(f"{path}: no such file, so that suite {name!r} is not known; name its suite file instead of the run")
    return kept_suite(path)
