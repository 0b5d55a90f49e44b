"""The orderings that papers claim and a suite's rows can answer: a section of its leaderboard. No torch here.

They are those of the papers' files in bench/reproduction; what is said of a seed is what the pages of reproduction say of it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.leaderboard.rows import current_records
from bench.leaderboard.statistics import figures, mean_and_interval
from bench.markdown import compact, counted, listed
from bench.reproduction.paper import Ordering, Paper
from bench.reproduction.reader import built_in, read
from bench.reproduction.results import SuiteResults
from bench.reproduction.verdicts import VERDICTS, Seen, look_in, verdict
from bench.suites.schema import Suite

HEADS = ("ordering", "metric", "first / second", "printed", "won", "in the paper")
MOST = 12  # orderings of a table; of more there is the count alone


def section(suite: Suite, records: Iterable[Mapping[str, Any]]) -> str:
    """What the suite's seeds say of the papers' orderings; empty for a suite that answers none."""
    asked = [(paper, of) for paper in map(read, built_in()) for of in paper.orderings if suite.name in of.suites]
    results = SuiteResults(suite.name, current_records(suite, records))
    found = [(paper, of, seen) for paper, of in asked if (seen := look_in(of, paper, results))]
    if not found:
        return ""
    counts = Counter(verdict([seen]) for *_, seen in found)
    told = listed(f"{counts[of]} {of}" for of in VERDICTS if counts[of])
    words = (
        f"Seed by seed, of {counted(len(found), 'ordering')} of rows that the papers claim: {told}. Other data, networks or budgets may "
        "make other orders; `python -m bench reproduce` says of each where it is printed, what other suites say, and why it may fail."
    )
    table = compact(HEADS, [line(*one) for one in found]) if len(found) <= MOST else ""
    return "\n\n".join(["\n## Beside the papers", words, *filter(None, [table])]) + "\n"


def line(paper: Paper, ordering: Ordering, seen: Seen) -> list[str]:
    """One ordering: where the paper prints two values, also their ratio beside that of the rows."""
    printed = ratio = "–"
    if len(ordering.printed) == 2:
        printed = f"{ordering.printed[0] / ordering.printed[1]:.3g}"
        ratio = figures(*mean_and_interval(seen.ratios)) if seen.ratios else "–"
    return [ordering.claim, seen.metric, ratio, printed, seen.words, f"{paper.name}, {ordering.where}"]
