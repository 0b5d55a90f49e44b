"""Leaderboards on disk: written from records alone, and indexed. No torch here."""

import json
from collections.abc import Callable, Mapping
from os.path import lexists, normpath
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

from bench.errors import UserError, in_a_line
from bench.files import write
from bench.leaderboard import selection
from bench.leaderboard.curves import picture
from bench.leaderboard.index import Indexed, index, indexed, overviews
from bench.leaderboard.page.board import Board
from bench.leaderboard.page.board import board as board_of
from bench.leaderboard.page.build import page
from bench.leaderboard.page.drawn import critical_file, front_file
from bench.leaderboard.paper_claims import section
from bench.leaderboard.pictures import FOLDER, across, front
from bench.leaderboard.render import render
from bench.leaderboard.rows import rows_of
from bench.records.check import check_types
from bench.records.store import PROFILE, Store
from bench.suites import reader
from bench.suites.names import relative, stem_of
from bench.suites.schema import Suite

SUITE = ".suite.json"  # ends the names of kept suite files
PAGE = "index.html"
REPRODUCTION = "reproduction.md"
Warn = Callable[[str], None]  # a line for the user


class Shown(NamedTuple):
    """A suite among all: its entry in the index, and its part of the page."""

    entry: Indexed
    board: Board


def publish(out: Path, suite: Suite, warn: Warn) -> Path:
    """Write leaderboards/<suite>.md and the index; -> the leaderboard's path. What is wrong with other suites' files is a warning."""
    store = Store(out, suite.name)
    path = store.boards / f"{suite.name}.md"
    with store.alone():  # a board made of fewer records must not come after one made of more
        text = board(store, suite)
        claim(out, suite)
        write(path, text.encode())
        write_overviews(out, warn)
    return path


def write_overviews(out: Path, warn: Warn) -> Path:
    """Write what shows all suites, README.md, the page and its drawings as files; -> the page's path."""
    found, boards = everything(out, warn), out / "leaderboards"
    reproduced = (boards / REPRODUCTION).is_file()
    write(boards / "README.md", index({name: of.entry for name, of in found.items()}, reproduced).encode())
    for name, content in drawings(found).items():
        write(boards / FOLDER / name, content)
    write(boards / PAGE, page_of(found).encode())
    return boards / PAGE


def drawings(found: Mapping[str, Shown]) -> dict[str, bytes]:
    """Drawings of the page as files in FOLDER, for the boards and the index to show."""
    fronts = {front(of.board.suite.name): front_file(of.board.scatters) for of in found.values() if of.board.scatters}
    over = overviews({name: found[name].entry for name in sorted(found)})
    return fronts | {across(one.metric): critical_file(one) for one in over if one.tells}


def page_of(found: Mapping[str, Shown]) -> str:
    """The page of all leaderboards."""
    return page({name: of.board for name, of in found.items()}, overviews({name: found[name].entry for name in sorted(found)}))


def page_current(out: Path, warn: Warn) -> bool:
    """Whether the page and the drawings on disk are what the records make."""
    boards, found = out / "leaderboards", everything(out, warn)
    expected = {boards / PAGE: page_of(found).encode(), **{boards / FOLDER / name: of for name, of in drawings(found).items()}}
    return all(path.exists() and path.read_bytes() == content for path, content in expected.items())


def current(out: Path, suite: Suite) -> bool:
    """Whether the leaderboard on disk is what its records make."""
    store = Store(out, suite.name)
    path = store.boards / f"{suite.name}.md"
    return path.exists() and path.read_bytes() == board(store, suite).encode()


def board(store: Store, suite: Suite) -> str:
    """The text of a leaderboard, with its training curves where they have been drawn."""
    records, curves = store.records(), picture(store)
    text = render(suite, records, store.records(PROFILE), folder=store.out) + section(suite, records)
    if suite.selections:
        seen = selection.seen_by(suite)
        text += selection.section(suite, records if seen == suite else Store(store.out, seen.name).records(), store.out)
    words = "Means over seeds of the terms as each row minimises them; scales of different costs differ."
    return f"{text}\n## Training curves\n\n{words}\n\n![curves]({curves.name})\n" if curves.exists() else text


def claim(out: Path, suite: Suite) -> None:
    """Keep the text of a suite of the user's own beside its records, for the index; UserError where the name is another suite's there."""
    if suite.name in reader.names():
        return
    check(out, suite)
    content = {"toml": suite.text, "set": list(suite.overrides), "file": Path(suite.source).name}
    if stem_of(suite) not in reader.names():
        content["path"] = relative(suite.source, out)
    if suite.chosen_name:
        content |= {"name": suite.chosen_name, "values": suite.values}
    write(out / "leaderboards" / "runs" / f"{suite.name}{SUITE}", (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def check(out: Path, suite: Suite) -> None:
    """UserError where a folder's results under the suite's name are those of another file, or of other values."""
    try:
        kept = json.loads((out / "leaderboards" / "runs" / f"{suite.name}{SUITE}").read_bytes())
        file, name, values = str(kept["file"]), kept.get("name", ""), kept.get("values", "")
        theirs = Path(normpath(out / kept["path"])) if "path" in kept else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or a damaged one, which is written anew
        return
    mine, shipped = Path(suite.source), [f"{name}.toml" for name in reader.names()]
    other = (file in shipped) != (mine.name in shipped) or (file in shipped and file != mine.name)
    if other or (theirs and theirs.is_file() and mine.is_file() and not theirs.samefile(mine)):
        way = "choose another --name" if suite.chosen_name else "rename one of the files, or give another --name or --out"
        raise UserError(f"{suite.where}: {out} has results of {theirs or file} under the name {suite.name!r}; {way}")
    if (name, values) != (suite.chosen_name, suite.values if suite.chosen_name else ""):
        raise UserError(f"--name {suite.name}: {out} has results under it that are of other values; choose another")


def everything(out: Path, warn: Warn) -> dict[str, Shown]:
    """What is shown of every suite that has records, by the name of its board; one whose files are damaged is a warning."""
    runs, found = out / "leaderboards" / "runs", dict[str, Shown]()
    suites = {name: reader.read(name) for name in reader.names() if lexists(runs / f"{name}.jsonl")}  # few have records
    for path in sorted(runs.glob(f"*{SUITE}")):
        try:
            suite = kept_suite(path)
            suites[suite.name] = suite
        except UserError as error:
            warn(f"{error}; the index is written without it")
    for name, suite in suites.items():
        try:
            store = Store(out, name)
            if records := store.records():
                rows = [row for row in rows_of(suite, records, store.records(PROFILE)) if row.records or not row.stale]
                found[name] = Shown(indexed(name, suite, rows), board_of(suite, rows, out))
        except UserError as error:
            warn(f"{error}; the index is written without {name}")
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # whole lines, whose values are none of a record
            warn(f"{runs / name}.jsonl: not records ({in_a_line(error)}); the index is written without {name}")
    return found


class Kept(TypedDict):
    """A suite beside its records, as `keep` keeps it."""

    path: NotRequired[str]  # of the suite file, from the folder of results on
    file: NotRequired[str]  # its name alone, as versions before 0.3 kept it
    toml: str  # what the file said
    set: list[str]  # overrides
    name: NotRequired[str | None]  # with --name


def kept_suite(path: Path) -> Suite:
    """The suite that `keep` kept there."""
    try:
        content = json.loads(path.read_bytes())
        check_types(content, Kept)
        file = Path(normpath(path.parents[2] / content["path"]) if "path" in content else content["file"])
        return reader.from_text(content["toml"], file, tuple(content["set"]), name=content.get("name"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, UserError) as error:
        raise UserError(f"{path}: not a suite that this version can read ({error}); delete it") from None


def suite_of(out: Path, name: str) -> Suite:
    """The suite that a folder of results is of, by its name; UserError where neither latentbench nor the results have it."""
    if name in reader.names():
        return reader.read(name)
    path = out / "leaderboards" / "runs" / f"{name}{SUITE}"
    if not path.is_file():
        raise UserError(f"{path}: no such file, so that suite {name!r} is not known; name its suite file instead of the run")
    return kept_suite(path)
