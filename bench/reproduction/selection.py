"""Which of a paper's parts a command means, and which rows of which suites answer them. No torch here."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bench.errors import UserError, unknown
from bench.reproduction.paper import BudgetClass, Cell, Ordering, Paper, Part

CLAIMS = "claims"  # in the place of a part: the orderings


@dataclass(frozen=True)
class Selection:
    """A paper, or what of it was asked for."""

    paper: Paper
    parts: tuple[Part, ...]
    orderings: tuple[Ordering, ...]

    @property
    def cells(self) -> list[Cell]:
        """The printed numbers."""
        return [cell for part in self.parts for table in self.paper.of_part(part) for cell in table.cells]


class Needed(NamedTuple):
    """A row that answers something."""

    suite: str
    row: str
    metrics: tuple[str, ...]
    numbers: int  # how many printed ones it stands beside, or answers orderings of


def select(paper: Paper, part: str | None) -> Selection:
    """The whole paper, its orderings by `claims`, or one part with the orderings that the paper has there; UserError for another part."""
    if part is None:
        return Selection(paper, paper.parts, paper.orderings)
    if part.lower() == CLAIMS:
        return Selection(paper, (), paper.orderings)
    found = part_of(paper, part)
    number = found.title.partition(" ")[2]
    kind = found.title.partition(" ")[0]
    there = tuple(of for of in paper.orderings if mentions(of.where, kind, number))
    return Selection(paper, (found,), there)


def mentions(where: str, kind: str, number: str) -> bool:
    """Whether a place names that table, figure or section: `Tables 3, 10` names Table 10."""
    words = where.replace(",", " ").replace(";", " ").split()
    inside = ""
    for word in words:
        inside = word.lower().rstrip("s") if word[0].isalpha() else inside
        if inside == kind.lower() and word == number:
            return True
    return False


def part_of(paper: Paper, part: str) -> Part:
    """The part of that name: `table2`, `Figure 4`; a number alone is a table's, or where there is none a figure's."""
    wanted = part.lower().replace(" ", "").replace("fig.", "figure")
    known = {of.name: of for of in paper.parts}
    for name in (wanted, f"table{wanted}", f"figure{wanted}", f"section{wanted}"):
        if name in known:
            return known[name]
    raise UserError(f"{paper.name}: {unknown('part', part, [*known, CLAIMS])}")


def needed(selection: Selection, budget: BudgetClass) -> list[Needed]:
    """The rows at a budget that answer what was asked for, in the order of the paper's suites."""
    paper, found, numbers = selection.paper, dict[tuple[str, str], dict[str, None]](), Counter[tuple[str, str]]()

    def add(suite: str, row: str, metrics: Iterable[str], ordering: Ordering | None = None) -> None:
        if paper.budget(suite, ordering) == budget:
            place = (suite, paper.settings[suite].row(row))
            found.setdefault(place, {}).update(dict.fromkeys(metrics))
            numbers[place] += ordering is None

    for cell in selection.cells:
        for suite in (*filter(None, [cell.suite]), *cell.reduced):
            add(suite, cell.row, [cell.metric])
    for ordering in selection.orderings:
        for suite in ordering.suites:
            for row in ordering.rows:
                add(suite, row, ordering.metrics, ordering)
    order = list(paper.settings)
    places = sorted(found, key=lambda place: order.index(place[0]))
    return [Needed(*place, tuple(found[place]), numbers[place]) for place in places]
