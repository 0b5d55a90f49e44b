"""What the page's script reads: columns as the seeds rank them, and each row's card. Texts stand once, and cards name them by number."""

import base64
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.leaderboard.appendix import PHASES, RECIPE, SETTINGS, TABLES, commit_of, costliest, day_of, settings
from bench.leaderboard.page.board import Board, Listed
from bench.leaderboard.rows import Row, machine
from bench.leaderboard.standing import Standing
from bench.leaderboard.tiers import paired_p, separated

KERNELS = 3  # of a profile
HASH = 12  # digits of a hash that are shown


class Texts:
    """A list of texts, each of which stands in it once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, value: object) -> int:
        """The number of a text."""
        return self.numbers.setdefault(str(value), len(self.numbers))


def suite_data(board: Board, texts: Texts) -> dict[str, Any]:
    """A suite's rows, columns and cards, as JSON has them."""
    names = {row.name: i for i, row in enumerate(board.rows)}
    listed = {column.key: column for column in (*board.heads, *(column for of in board.groups.values() for column in of))}
    return {
        "rows": list(names),
        "heads": [column.key for column in board.heads],
        "columns": {key: [described(column, texts), *ranking(column.standing, names)] for key, column in listed.items()},
        "pairs": {column.key: told_apart(column.standing) for column in board.heads if column.standing.rows},
        "command": board.command,
        "cards": [card(board, row, texts) for row in board.rows],
    }


def described(column: Listed, texts: Texts) -> int:
    """What a column is called and how it is measured, on two lines."""
    return texts(f"{column.title}\n{column.about}")


def ranking(found: Standing, names: dict[str, int]) -> tuple[list[int], list[int]]:
    """All rows with a value, best first, by number; and where tiers begin, and the last ends, among those that are ranked."""
    starts = [found.tiers.place[row][0] - 1 for row in found.rows]
    return [names[row] for row in found.order()], [*sorted(set(starts)), len(starts)]


def told_apart(found: Standing) -> str:
    """Which pairs of the ranked rows the seeds separate: a bit each, (1, 2), (1, 3), ... (2, 3), ..., the first in the highest place."""
    bits = separated(paired_p(found.compared.values))[np.triu_indices(len(found.rows), 1)]
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def card(board: Board, row: Row, texts: Texts) -> dict[str, Any]:
    """One row's card; empty of what its records do not say."""
    facts = configuration(row)
    label = row.records[0]["label"] if row.records else row.name
    return {
        "facts": [[texts(name), texts(value)] for name, value in facts],
        "recipe": {part: texts(value) for part, value in recipe(row).items()},
        "values": [[float(f"{v:.5g}") for _, v in sorted(found.items())] if found else [] for found in per_seed(board.heads, row)],
        "runs": [run(record, texts) for record in row.records],
        "hashes": [[texts(name), texts(value)] for name, value in hashes(row)],
        "status": texts(row.status(board.suite.seeds)),
        "why": texts(row.why),
        "command": texts(shlex.quote(label)),
        "folder": texts(folder(board.suite.name, row)),
        "absent": [texts(said) for said in absent(row)],
        **({"strip": board.strips[row.name]} if row.name in board.strips else {}),
        **({"profile": hot_spots(row.profile, texts)} if row.profile else {}),
    }


def folder(suite: str, row: Row) -> str:
    """Where the row's first finished run is, as a word for a shell; empty if none has a key."""
    kept = [record for record in row.done() if record.get("key")]
    return shlex.quote(f"runs/{suite}/{kept[0]['label']}/{kept[0]['seed']}-{kept[0]['key']}") if kept else ""


def per_seed(heads: Sequence[Listed], row: Row) -> list[dict[int, float]]:
    """{seed: value} in each column of the first screen."""
    return [dict(head.standing.values.get(row.name, {})) for head in heads]


def recipe(row: Row) -> dict[str, str]:
    """The parts that the row's method is put together of, in words."""
    said = row.records[0]["config"]["recipe"] if row.records else {}
    return {part: text_of(said.get(part, "none")) for part in RECIPE} if said else {}


def text_of(value: object) -> str:
    """One line."""
    return " ".join(str(value).split())


def plain(markdown: str) -> str:
    """What `bench.markdown.text` made safe for Markdown, as it was: the page has an escaping of its own."""
    return markdown.replace("&lt;", "<")


def configuration(row: Row) -> list[tuple[str, str]]:
    """What the row was trained with, name by name."""
    if not row.records:
        return []
    config = row.records[0]["config"]
    said = [("method", config["method"])]
    said += [(name, settings(config[name])) for name in TABLES if config.get(name)]
    said += [(name.replace("_", " "), str(config[name])) for name in SETTINGS]
    return [(name, value) for name, value in said if value not in ("none", "–")]


def run(record: Any, texts: Texts) -> list[int | str]:
    """[seed, status, error, key, finished, weights, machine and commit] of one run."""
    where = record["environment"]
    weights = str((record["hashes"] or {}).get("weights") or "")[:HASH]
    said = [texts(record["status"]), texts(text_of(record["error"] or "")), record.get("key") or "", day_of(record), weights]
    return [record["seed"], *said, texts(plain(f"{machine(where)}; commit {commit_of(where)}"))]


def hashes(row: Row) -> list[tuple[str, str]]:
    """What the row's runs stand on, if they agree in it; else each."""
    found = []
    for name in ("data", "code"):
        values = sorted({str(record["hashes"][name])[:HASH] for record in row.records if record["hashes"].get(name)})
        found += [(name, ", ".join(values))] if values else []
    return found


def absent(row: Row) -> list[str]:
    """Why the row's finished runs have no value, and of which metrics."""
    found: dict[str, list[str]] = {}
    for record in row.done():
        for name, entry in sorted(record["metrics"].items()):
            if entry["value"] is None and name not in (names := found.setdefault(text_of(entry.get("reason") or "no reason given"), [])):
                names.append(name)
    return [f"{reason}: {', '.join(names)}" for reason, names in found.items()]


def hot_spots(profile: Any, texts: Texts) -> dict[str, Any]:
    """Where a training step's time goes: its phases and kernels in per cent."""
    return {
        "step": float(f"{profile['step_ms']:.4g}"),
        "phases": [[texts(name), round(100 * profile["phases"][name], 1)] for name in PHASES if name in profile["phases"]],
        "kernels": [
            [texts(k["name"].removeprefix("aten::")), round(100 * k["share"]), round(k["calls"])] for k in costliest(profile, KERNELS)
        ],
        "where": texts(plain(machine(profile["environment"]))),
    }
