"""`python -m bench reproduce`: the papers' numbers, figures and orderings beside the records of a folder."""

from dataclasses import dataclass
from pathlib import Path

from bench.commands import console
from bench.commands import run as run_command
from bench.commands.absent import recorded_names
from bench.commands.figures import figures as draw_figures
from bench.commands.reproduce_costs import missing_data, show_costs
from bench.figures import canvas, kl_curves
from bench.files import write
from bench.leaderboard.statistics import figures
from bench.records.store import Store
from bench.registry import catalogue
from bench.reproduction import hours, publish
from bench.reproduction.numbers import STATES
from bench.reproduction.overview_page import number_line, order_line
from bench.reproduction.paper import BudgetClass, Paper, Part
from bench.reproduction.paper_page import SHOWN, Found, printed, seeds, why
from bench.reproduction.reader import built_in, check_metrics, read
from bench.reproduction.selection import Selection, needed, select
from bench.reproduction.verdicts import VERDICTS, verdict
from bench.runs.run import WEIGHTS
from bench.runs.settings import Settings
from bench.suites import reader as suites


@dataclass(frozen=True)
class Asked:
    """What a command line asks for."""

    paper: str | None
    part: str | None
    budget: BudgetClass | None
    settings: Settings

    def selections(self) -> list[Selection]:
        """The papers, or the part of one; UserError for what does not exist, a metric in a paper's file included."""
        papers = [read(self.paper)] if self.paper else [read(name) for name in built_in()]
        for paper in papers:
            check_metrics(paper, known_metrics(paper))
        return [select(paper, self.part) for paper in papers]


def known_metrics(paper: Paper) -> set[str]:
    """The names under which records of a paper's suites have metrics."""
    known = catalogue()
    return {name for suite in paper.settings for name in recorded_names(known.metrics, suites.read(suite), known)}


def list_parts(asked: Asked) -> None:
    """A line for each part of the papers."""
    lines = [
        [of.paper.name, part.name, part.shows, part.missing or ", ".join((*part.suites, *part.figures))]
        for of in asked.selections()
        for part in of.parts
    ]
    lines += [[of.paper.name, "claims", f"{len(of.orderings)} orderings", ""] for of in asked.selections() if len(of.parts) != 1]
    console.table(["paper", "part", "what it shows", "suites and figures, or why there are none"], lines)


def dry_run(asked: Asked, keep: bool) -> None:
    """What training what was asked for takes on this machine, and what is missing for it."""
    rows = [(of.paper, one) for of in asked.selections() for one in needed(of, asked.budget or "paper")]
    measured = show_costs(rows, asked.settings)
    if keep:
        print(f"\nkept: {hours.keep(asked.settings.out, measured)}")
        publish.publish(publish.look(publish.all_papers(), asked.settings.out), asked.settings.out)


def check(asked: Asked) -> int:
    """1 if a page on disk is not what records make."""
    outdated = publish.outdated(asked.settings.out)
    for path in outdated:
        print(f"{path} is not what the records say; write it with: python -m bench reproduce")
    return 1 if outdated else 0


def reproduce(asked: Asked, run: bool, seed_count: int | None) -> int:
    """Train what is missing where that is asked for, write the pages, show what was asked for; -> exit code."""
    selections, out = asked.selections(), asked.settings.out
    failed = run and train(selections, asked, seed_count)
    drawn = [path for of in selections for part in of.parts for path in draw(of.paper, part, asked)]
    found = publish.look(publish.all_papers(of.paper for of in selections), out)
    path = publish.publish(found, out)
    if asked.paper is None:
        console.table(["paper", *(SHOWN[s] for s in STATES), "numbers"], [[of.paper.name, *number_line(of)[1:]] for of in found])
        print()
        console.table(["paper", *VERDICTS, "orderings"], [[of.paper.name, *order_line(of)[1:]] for of in found])
    else:
        found = [of for of in found if of.paper == selections[0].paper]
        show(selections[0], found[0], asked.budget)
        path = publish.page_of(found[0].paper, out)
    print("".join(f"\n{file}" for file in (*drawn, path)))
    chosen = {of.claim for selection in selections for of in selection.orderings}
    wrong = [of for paper in found for of in paper.judged if of.reversed and of.ordering.claim in chosen] if asked.budget != "cpu" else []
    for of in wrong:
        console.say(f"reversed by every seed at full budget: {of.ordering.claim} ({of.ordering.where})")
    return 1 if wrong or failed else 0


def train(selections: list[Selection], asked: Asked, seed_count: int | None) -> bool:
    """Run what has no record yet; -> whether a run failed. Suites whose data are not here are left out, with a line."""
    rows: dict[str, list[str]] = {}
    for of in selections:
        for one in needed(of, asked.budget or "paper"):
            rows.setdefault(one.suite, []).append(one.row)
    failed = False
    for suite, labels in rows.items():
        if lacking := missing_data(suites.read(suite).dataset, asked.settings.data_root):
            console.say(f"{suite}: left out, it needs {lacking}")
            continue
        chosen, whole = suites.read_both(suite, (), tuple(dict.fromkeys(labels)), seed_count)
        failed |= run_command.run(chosen, whole, asked.settings, smoke=False, profiles=True) != 0
    return failed


def show(selection: Selection, found: Found, budget: BudgetClass | None) -> None:
    """The numbers and orderings that were asked for."""
    if selection.cells and budget == "cpu":
        print("A reduced budget answers orderings alone: no number is shown.\n")
    elif selection.cells:
        console.table(["part", "dataset", "method", "metric", "printed", "measured", "difference", "state"], number_lines(selection, found))
        print()
    lines = []
    for of in found.judged:
        if of.ordering in selection.orderings:
            seen = of.seen if budget is None else of.at(budget)
            told = of.verdict if budget is None else verdict(seen)
            mark = " (indirect)" * (budget is None and of.budget == "cpu" and bool(of.seen))
            lines.append([of.ordering.claim, of.ordering.where, "; ".join(map(seeds, seen)).replace("**", "") or "-", told + mark])
    if lines:
        console.table(["ordering", "in the paper", "won", "verdict"], lines)


def number_lines(selection: Selection, found: Found) -> list[list[str]]:
    """A line for each number."""
    lines = []
    for part in selection.parts:
        for table in found.paper.of_part(part):
            for of in found.of(table):
                got = of.measured
                measured = [figures(got.mean, got.half_width), figures(got.difference), of.word] if got else ["", "", why(of, found)]
                lines.append([table.part, table.dataset, of.cell.method, of.cell.metric, printed(of), *measured])
    return lines


def draw(paper: Paper, part: Part, asked: Asked) -> list[Path]:
    """Draw a figure that was asked for by its name, of finished runs with weights here; -> the files of an analytic one."""
    if not asked.part or part.missing or not part.figures:
        return []
    if not part.suites:
        return analytic(asked.settings.out / "leaderboards" / publish.FOLDER / f"{paper.name}-{part.name}")
    budget = asked.budget or "paper"
    for suite in part.suites:
        if paper.budget(suite) == budget:
            folders = weights(Store(asked.settings.out, suite).runs)
            for folder in folders:
                draw_figures(str(folder), ((), None), part.figures, "png", asked.settings)
            if not folders:
                print(f"{part.title}: no weights of suite {suite} here; train it with: python -m bench run --suite {suite}")
    return []


def weights(runs: Path) -> list[Path]:
    """The folder of each row's finished run of the lowest seed that has weights here."""
    found: dict[str, Path] = {}
    for path in sorted(runs.glob(f"*/*/{WEIGHTS}"), key=lambda path: int(path.parent.name.partition("-")[0])):
        found.setdefault(path.parent.parent.name, path.parent)
    return list(found.values())


def analytic(stem: Path) -> list[Path]:
    """The picture and the values in it."""
    with canvas.style():
        content = canvas.save(kl_curves.picture(), "png")
    files = {stem.with_suffix(".png"): content, stem.with_suffix(".csv"): kl_curves.values().encode()}
    for path, data in files.items():
        write(path, data)
    return list(files)
