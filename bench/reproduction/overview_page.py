"""leaderboards/reproduction.md: every printed number by its state, every ordering by its verdict. No torch here."""

from collections import Counter
from collections.abc import Sequence

from bench.leaderboard.statistics import figures
from bench.markdown import bullets, compact, counted, folded, listed, narrow, section
from bench.reproduction.hours import spelt
from bench.reproduction.numbers import STATES, State
from bench.reproduction.paper import BudgetFrom, Paper
from bench.reproduction.paper_page import NOTICE, SHOWN, Found, budgets, metric_of, printed, verdict_of, why, won
from bench.reproduction.verdicts import VERDICTS, Judged, Verdict

NOT_STATED: dict[BudgetFrom, str] = {"implementation": "of a released implementation", "here": "chosen here"}


def page(papers: Sequence[Found]) -> str:
    """The whole page."""
    count, orders = sum(len(of.standings) for of in papers), sum(len(of.judged) for of in papers)
    blocks = [
        f"{NOTICE}\n\n# Reproduction",
        f"{count} numbers that {len(papers)} papers print, and {orders} orderings that they claim: each with what has become of it. "
        "A number stands beside a measured one only where runs had the full budget: the paper's, or, where it states none, its released "
        "implementation's or one chosen here. Reduced budgets answer orderings alone. "
        "[How to read it, and how to run it](../docs/reproduction.md).",
        narrow(["paper", *(SHOWN[s] for s in STATES), "numbers"], [number_line(of) for of in papers]),
        narrow(["paper", *VERDICTS, "orderings"], [order_line(of) for of in papers]),
        judged_where(papers),
        section("Numbers", *(numbers(state, papers) for state in STATES)),
        section("Orderings", *(orders_of(verdict, papers) for verdict in VERDICTS)),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def judged_where(papers: Sequence[Found]) -> str:
    """At which budget the verdicts were come to."""
    told = [of for paper in papers for of in paper.judged if of.seen]
    own = sum(of.budget == "paper" for of in told)
    sources = Counter(source for paper in papers for of in paper.judged for source in full_budgets(of, paper.paper))
    whose = [f"{sources[source]} at a budget {words}" for source, words in NOT_STATED.items() if sources[source]]
    own_experiment = "the paper's own experiment"
    return (
        f"{counted(own, 'ordering')} {'is' if own == 1 else 'are'} judged by {own_experiment}{f' ({listed(whose)})' * bool(whose)}, "
        f"{len(told) - own} by suites with a reduced budget or other data. Contradicted by every seed of {own_experiment}: "
        f"{sum(of.reversed for of in told)}."
    )


def full_budgets(of: Judged, paper: Paper) -> set[BudgetFrom]:
    """Whose full budgets an ordering is judged at; nothing where it is judged at reduced ones."""
    return {paper.settings[seen.suite].budget_from for seen in of.at("paper") if seen.counted}


def link(of: Found) -> str:
    """The paper's page."""
    return f"[{of.paper.name}](reproduction/{of.paper.name}.md)"


def number_line(of: Found) -> list[str]:
    """How many numbers are in each state."""
    counts = Counter(standing.state for standing in of.standings)
    return [link(of), *(str(counts[state]) for state in STATES), str(len(of.standings))]


def order_line(of: Found) -> list[str]:
    """How many orderings have each verdict."""
    counts = Counter(judged.verdict for judged in of.judged)
    return [link(of), *(str(counts[verdict]) for verdict in VERDICTS), str(len(of.judged))]


def numbers(state: State, papers: Sequence[Found]) -> str:
    """The numbers in one state, folded, but for the measured ones."""
    heads = ["paper", "part", "dataset", "method", "metric", "printed"]
    lines, cost = list[list[str]](), dict[tuple[str, str], float]()
    for of in papers:
        for table in of.paper.tables:
            for standing in of.of(table):
                if standing.state != state:
                    continue
                cell = standing.cell
                line = [of.paper.name, table.part, table.dataset, cell.method, cell.metric, printed(standing)]
                if standing.measured:
                    found = standing.measured
                    line += [figures(found.mean, found.half_width), figures(found.difference), standing.word]
                else:
                    line.append(why(standing, of))
                lines.append(line)
                if (hours := of.hours.of(cell, of.paper)) and state == "no record":
                    cost[cell.suite, cell.row] = hours.hours
    if not lines:
        return ""
    title = f"{counted(len(lines), 'number')} {STATES[state]}"
    if state == "measured":
        said = dict.fromkeys(line for of in papers for line in budgets(of.standings, of.paper))
        return "\n\n".join([f"{title}:", compact([*heads, "measured", "difference", "printed is"], lines), *filter(None, [bullets(said)])])
    whole = f" ({len(cost)} rows: {spelt(sum(cost.values()))} for one run of each)" if cost else ""
    return folded(title + whole, compact([*heads, "why"], lines))


def orders_of(verdict: Verdict, papers: Sequence[Found]) -> str:
    """The orderings of one verdict, folded, but for the contradicted ones, which have their reasons."""
    lines = []
    for of in papers:
        for judged in of.judged:
            if judged.verdict == verdict:
                about = judged.ordering
                last = about.reason or ("not known" if verdict in ("contradicted", "mixed") else about.missing)
                lines.append([of.paper.name, about.claim, about.where, metric_of(judged), won(judged), verdict_of(judged), last])
    if not lines:
        return ""
    indirect = sum(line[5].endswith("(indirect)") for line in lines)
    title = f"{counted(len(lines), 'ordering')}: {verdict}" + f", {indirect} of them indirectly" * bool(indirect)
    keep = [0, 1, 2, 3, 4] + [6] * any(line[6] for line in lines)
    heads = ["paper", "ordering", "in the paper", "metric", "won", "verdict", "why"]
    table = compact([heads[i] for i in keep], [[line[i] for i in keep] for line in lines])
    return f"### {title[0].upper()}{title[1:]}\n\n{table}" if verdict == "contradicted" else folded(title, table)
