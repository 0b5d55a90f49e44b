"""How long the papers' own budgets take: seconds of a training step, measured by `reproduce --dry-run --keep`. No torch here."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.files import write
from bench.reproduction.paper import Cell, Paper


@dataclass(frozen=True)
class Cost:
    """What a run of a row costs, without its evaluation."""

    hours: float  # of one run
    steps: int
    upper: bool = False  # measured on fewer images than a batch has, and scaled: at most that long

    def __str__(self) -> str:
        return f"{'at most ' * self.upper}{spelt(self.hours)}"


@dataclass
class Hours:
    """The costs of rows on one machine."""

    machine: str = ""
    rows: dict[str, dict[str, Cost]] = field(default_factory=dict)  # {suite: {row: cost}}

    def of(self, cell: Cell, paper: Paper) -> Cost | None:
        """What one run of a printed number's row costs, where that has been measured."""
        return self.rows.get(cell.suite, {}).get(paper.settings[cell.suite].row(cell.row)) if cell.suite else None


def spelt(hours: float) -> str:
    """`20 s`, `3 min`, `1.4 h`, `120 h`."""
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    return f"{60 * hours:.0f} min" if hours < 1 else f"{hours:.2g} h" if hours < 10 else f"{hours:,.0f} h"


def path(out: Path) -> Path:
    """Where the costs are kept."""
    return out / "leaderboards" / "reproduction" / "hours.json"


def read(out: Path) -> Hours:
    """What has been measured and kept in a folder of results; UserError for a damaged file."""
    try:
        content = json.loads(path(out).read_bytes())
        rows = {suite: {row: Cost(**cost) for row, cost in of.items()} for suite, of in content["rows"].items()}
        return Hours(str(content["machine"]), rows)
    except FileNotFoundError:
        return Hours()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path(out)}: not the hours of a dry run ({error}); delete it") from None


def keep(out: Path, hours: Hours) -> Path:
    """Write them, in the place of what was kept of the same rows; -> the file."""
    rows = read(out).rows
    for suite, of in hours.rows.items():
        rows[suite] = {**rows.get(suite, {}), **of}
    content: dict[str, Any] = {"machine": hours.machine, "rows": {s: {r: asdict(c) for r, c in of.items()} for s, of in rows.items()}}
    write(path(out), (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())
    return path(out)
