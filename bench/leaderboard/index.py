"""The index of leaderboards: what each suite asks, and who leads. From the records, no torch here."""

from collections.abc import Iterable, Mapping

from bench.leaderboard.render import NOTICE
from bench.leaderboard.rows import Record, losses, rows_of
from bench.markdown import table
from bench.suites.schema import Suite


def index(boards: Mapping[str, tuple[Suite, Iterable[Record]]], command: str = "nox -s bench") -> str:
    """The whole of leaderboards/README.md: one line for each board, {name of its file without .md: (suite, records)}."""
    lines = []
    for name, (suite, records) in sorted(boards.items()):
        rows = rows_of(suite, records, ())
        current = [row for row in rows if not row.stale]
        ran = [record for row in current for record in row.records]
        total = sum(max(suite.seeds, len(row.records)) for row in current)
        state = f"{sum(len(row.done()) for row in current)}/{total} runs done{losses(ran)}" if ran else "not run"
        state += ", stale rows" if len(current) < len(rows) else ""
        link = f"[{name}]({name}.md)" if any(row.records for row in rows) else name
        lines.append([link, suite.question, suite.dataset, ", ".join(e.label for e in suite.methods), suite.seeds, state])
    return f"{NOTICE.format(command)}s\n\n{table(['suite', 'question', 'dataset', 'methods', 'seeds', 'state'], lines)}\n"
