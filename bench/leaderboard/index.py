"""The index of leaderboards: what each suite asks, who leads, and who leads over several suites. From the records, no torch here."""

from collections.abc import Iterable, Mapping, Sequence

from bench.leaderboard.capacity import other_codes
from bench.leaderboard.findings import names as listed
from bench.leaderboard.headline import Head, heads, names
from bench.leaderboard.overview import overview
from bench.leaderboard.render import NOTICE
from bench.leaderboard.rows import Record, Row, columns_of, losses, rows_of
from bench.leaderboard.standing import Standing, head_standing
from bench.markdown import compact
from bench.suites.schema import Suite

OVER_SUITES = ("rec_sse_test", "frechet_pca")  # columns whose rows are compared over suites
LEADERS = 2  # columns of a suite whose first tiers stand in the index


def index(boards: Mapping[str, tuple[Suite, Iterable[Record]]], command: str = "nox -s bench") -> str:
    """The whole of leaderboards/README.md: one line for each board, {name of its file without .md: (suite, records)}; then overviews."""
    lines = []
    found: dict[str, dict[str, tuple[Head, Standing]]] = {name: {} for name in OVER_SUITES}
    for name, (suite, records) in sorted(boards.items()):
        rows = rows_of(suite, records, ())
        columns, apart = columns_of(suite, rows), other_codes(suite, rows)
        standings = [(head, head_standing(head, rows, apart)) for head in heads(names(suite), columns, rows)]
        lines.append([f"[{name}]({name}.md)" if any(row.records for row in rows) else name, suite.question, *line(suite, rows, standings)])
        for metric in OVER_SUITES:
            for head in heads((metric,), columns, rows):
                found[metric][name] = head, head_standing(head, rows, apart)
    table = compact(["suite", "question", "dataset", "first tiers", "seeds", "state"], lines)
    over = [section for metric, of in found.items() if (section := overview(metric, of))]
    return "\n\n".join(filter(None, [f"{NOTICE.format(command)}s", table, *over])) + "\n"


def line(suite: Suite, rows: Sequence[Row], standings: Sequence[tuple[Head, Standing]]) -> list[object]:
    """Dataset, first tiers, seeds and state of a suite's runs."""
    current = [row for row in rows if not row.stale]
    ran = [record for row in current for record in row.records]
    total = sum(max(suite.seeds, len(row.records)) for row in current)
    state = f"{sum(len(row.done()) for row in current)}/{total} runs done{losses(ran)}" if ran else "not run"
    state += ", stale rows" if len(current) < len(rows) else ""
    ranked = [(head, found) for head, found in standings if found.rows][:LEADERS]
    return [suite.dataset, "; ".join(leaders(head, found) for head, found in ranked) or "no ranks", suite.seeds, state]


def leaders(head: Head, found: Standing) -> str:
    """`SSE: a and b, of 12`; of a column of one tier, that all rows tie."""
    if not found.tiers.best():
        return f"{head.title}: all {len(found.rows)} tie"
    return f"{head.title}: {listed(found.first())}, of {len(found.rows)}"
