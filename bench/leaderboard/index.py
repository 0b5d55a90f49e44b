"""The index of leaderboards: what each suite asks, who leads, and who leads over several suites. From the records, no torch here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.leaderboard.capacity import other_codes
from bench.leaderboard.findings import names as listed
from bench.leaderboard.headline import Head, heads, names
from bench.leaderboard.overview import Overview, overview
from bench.leaderboard.render import NOTICE
from bench.leaderboard.rows import Row, columns_of, losses, progress
from bench.leaderboard.standing import Standing, head_standing
from bench.markdown import compact, prose
from bench.suites.schema import Suite

OVER_SUITES = ("rec_sse_test", "frechet_pca")  # columns whose rows are compared over suites
PAGE = (
    "[index.html](index.html) shows them all to be sorted, filtered and compared, with drawings and each row's card: one file for "
    "a browser; it needs no network."
)
REPRODUCTION = (
    "[reproduction.md](reproduction.md) has every number that the papers print and every ordering that they claim, beside these records."
)
COLUMNS = (
    "SSE: squared error of test reconstructions, summed over pixels. Samples: Fréchet distance on the features named, which is FID on "
    "Inception's alone. Numbers of two suites do not compare."
)
LEADERS = 2  # columns of a suite whose first tiers stand in the index


class Indexed(NamedTuple):
    """What the index says of one board."""

    line: list[object]
    compared: dict[str, tuple[Head, Standing]]  # {metric of OVER_SUITES that it has: its column and standing}


def indexed(name: str, suite: Suite, rows: Sequence[Row]) -> Indexed:
    """The entry of a board by the name of its file without .md; raises what values raise that are none of a record."""
    columns, apart = columns_of(suite, rows), other_codes(suite, rows)
    standings = [(head, head_standing(head, rows, apart)) for head in heads(names(suite), columns, rows)]
    shown = f"[{name}]({name}.md)" if any(row.records for row in rows) else name
    compared = {metric: (head, head_standing(head, rows, apart)) for metric in OVER_SUITES for head in heads((metric,), columns, rows)}
    return Indexed([shown, prose(suite.question), *line(suite, rows, standings)], compared)


def index(boards: Mapping[str, Indexed], reproduction: bool = False) -> str:
    """The whole of leaderboards/README.md: one line for each board, by the names of their files without .md; then overviews.

    reproduction: whether the page of the papers lies beside it.
    """
    ordered = dict(sorted(boards.items()))
    table = compact(["suite", "question", "dataset", "first tiers", "seeds", "state"], [of.line for of in ordered.values()])
    over = (found.text() for found in overviews(ordered))
    blocks = [f"{NOTICE.format('python -m bench page')}s", PAGE, REPRODUCTION * reproduction, table, COLUMNS * bool(ordered), *over]
    return "\n\n".join(filter(None, blocks)) + "\n"


def overviews(boards: Mapping[str, Indexed]) -> list[Overview]:
    """The rows that boards share, compared over them."""
    compared = {metric: {name: of.compared[metric] for name, of in boards.items() if metric in of.compared} for metric in OVER_SUITES}
    return [over for metric, found in compared.items() if (over := overview(metric, found))]


def line(suite: Suite, rows: Sequence[Row], standings: Sequence[tuple[Head, Standing]]) -> list[object]:
    """Dataset, first tiers, seeds and state of a suite's runs."""
    current = [row for row in rows if not row.stale]
    ran = [record for row in current for record in row.records]
    done, total = progress(suite, current)
    state = f"{done}/{total} runs done{losses(ran)}" if ran else "not run"
    state += ", stale rows" if len(current) < len(rows) else ""
    ranked = [(head, found) for head, found in standings if found.rows][:LEADERS]
    return [suite.dataset, "; ".join(leaders(head, found) for head, found in ranked) or "no ranks", suite.seeds, state]


def leaders(head: Head, found: Standing) -> str:
    """`SSE: a and b, of 12`; of a column of one tier, that all rows tie."""
    if not found.tiers.best():
        return f"{head.title}: all {len(found.rows)} tie"
    return f"{head.title}: {listed(found.first())}, of {len(found.rows)}"
