"""Datasets and weights of feature networks under the data root, against their hashes."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from bench.commands import data, features
from bench.commands.doctor.finding import Finding
from bench.datasets.dataset import Source
from bench.errors import UserError
from bench.registry import Catalogue, catalogue


def examine(root: Path, full: bool) -> Iterator[Finding]:
    """full: read large sets whole too."""
    known = catalogue()
    yield from datasets(known, root, full)
    yield from weights(known, root)


def datasets(known: Catalogue, root: Path, full: bool) -> Iterator[Finding]:
    """Files of each dataset that needs some; those that are not there in one note."""
    option = f" --data-root {shlex.quote(str(root))}"
    missing = []
    for source in known.datasets.values():
        state, checksums, where = data.state(source, root)
        if state == "missing":
            missing.append(source.name)
        elif state in ("damaged", "incomplete"):
            yield Finding("datasets", "warning", f"{source.name}: {state}: {where}", f"python -m bench data fetch {source.name}{option}")
        elif state != "built in":
            yield compared(source, root, full or not data.large(source, root), checksums, option)
    if missing:
        says = f"not under {root}: {', '.join(missing)}"
        yield Finding("datasets", "note", says, f"where a suite needs one: python -m bench data fetch NAME{option}")


def compared(source: Source, root: Path, whole: bool, checksums: str, option: str) -> Finding:
    """A dataset that is there; whole: read it, its pack too, against its hashes."""
    if not whole:
        said = "as when its files were last compared with their hashes" if checksums == "good" else "not compared with its hashes"
        return Finding("datasets", "good", f"{source.name}: {said}", f"to compare: python -m bench data verify {source.name}{option}")
    try:
        return Finding("datasets", "good", data.verify(source, root))
    except UserError as error:
        says, _, remedy = str(error).partition("; ")
        return Finding("datasets", "warning", f"{source.name}: {says}", remedy or f"python -m bench data fetch {source.name}{option}")


def weights(known: Catalogue, root: Path) -> Iterator[Finding]:
    """Files of feature networks."""
    absent = []
    for network, file, state in features.rows(known, root):
        if state.startswith("present"):
            yield Finding("weights", "good", f"{network}: {file}, {state.removeprefix('present, ')}")
        elif "is not in the folder" in state:
            absent.append(network)
        elif state != "needs none":
            yield Finding("weights", "warning", f"{network}: {state}", f"delete {root / features.WEIGHTS / file}, fetch or train it again")
    if absent:
        says = f"no weights of {', '.join(absent)}: metrics that need them are absent from records"
        yield Finding("weights", "note", says, f"python -m bench features fetch {absent[0]} --data-root {shlex.quote(str(root))}")
