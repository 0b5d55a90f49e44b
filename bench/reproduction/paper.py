"""What a paper prints, as frozen values: its parts, numbers and orderings, and which suite, row and metric answer each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BudgetClass = Literal["paper", "cpu"]  # a suite at full budget, or at a reduced one: it answers orderings, never a number
BudgetFrom = Literal["paper", "implementation", "here"]  # who says how long the full budget is
BUDGETS: Mapping[BudgetFrom, str] = {
    "paper": "the paper's",
    "implementation": "the released implementation's; the text of the paper states none",
    "here": "chosen here; the paper states none",
}
Tag = Literal["E", "C", "inferred", "differs"]
TAGS: Mapping[str, str] = {
    "E": "general knowledge, not in the paper",
    "C": "from the paper's released implementation",
    "inferred": "chosen here where the paper is silent",
    "differs": "other than the paper prints",
}


@dataclass(frozen=True)
class Setting:
    """A suite that answers a paper: the [suites.NAME] table."""

    name: str
    budget: BudgetClass
    needs: str = ""  # data that cannot be had without a licence or a download
    differs: str = ""  # of a reduced one: from what the paper did
    budget_from: BudgetFrom = "paper"  # of a full one
    rows: Mapping[str, str] = field(default_factory=dict)  # {a row as the paper's file names it: as this suite does, if otherwise}

    def row(self, name: str) -> str:
        """The suite's own name of a row."""
        return self.rows.get(name, name)


@dataclass(frozen=True)
class Part:
    """A table, figure or section, by the paper's name."""

    title: str  # Table 2
    shows: str
    suites: tuple[str, ...] = ()  # whose runs it is made of
    figures: tuple[str, ...] = ()  # kinds of `python -m bench figures` that draw it
    missing: str = ""  # why it cannot be made

    @property
    def name(self) -> str:
        """As a command takes it: table2."""
        return self.title.lower().replace(" ", "")


@dataclass(frozen=True)
class Cell:
    """A printed number."""

    method: str  # as printed
    metric: str  # the harness's
    printed: float
    plus_minus: float | None = None
    row: str = ""  # of the suite
    suite: str = ""  # at full budget; empty where none has such a row
    reduced: tuple[str, ...] = ()  # suites of the same row at a reduced budget
    best_by: str = ""  # printed of the best run by this metric, the highest; empty: of any run
    scale: str = ""  # why its size does not compare with ours; empty: it does
    missing: str = ""  # why no row answers it
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Numbers of one part of the paper, on one dataset."""

    part: str  # title
    dataset: str  # as printed
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()  # on all of them
    of_metric: Mapping[str, str] = field(default_factory=dict)  # on those of a metric


@dataclass(frozen=True)
class Ordering:
    """A claim that values of rows come in an order, checked seed by seed in every suite that has the rows."""

    claim: str
    where: str  # in the paper
    metrics: tuple[str, ...] = ()  # the first of these that a suite's records have
    rows: tuple[str, ...] = ()  # the best first
    suites: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()  # of these suites, those whose data are not the ones on which the paper says it
    best: Literal["lower", "higher"] = "lower"
    each: Literal["next", "others"] = "next"  # every row beats the next, or the first one beats all others
    statistic: Literal["value", "spread"] = "value"  # spread: the standard deviation over seeds
    target: float | None = None  # the value that is best: the distance from it is compared
    bounds: tuple[float, float] | None = None  # of one row: its value lies between
    bound_rows: tuple[str, ...] = ()  # rows with metric + "_bound" in place of an exact value that they do not have
    constrained: tuple[str, ...] = ()  # rows whose summed latent variance must be near its target
    equal_codes: bool = False  # whether rows must have codes of one length
    printed: tuple[float, ...] = ()  # of the rows
    reason: str = ""  # why records contradict it, where that is known
    missing: str = ""  # why no row answers it


@dataclass(frozen=True)
class Deviation:
    """In what a reproduction is not, or may not be, what the authors did."""

    tag: Tag
    text: str
    parts: tuple[str, ...] = ()  # titles; () is the whole paper


@dataclass(frozen=True)
class Paper:
    """A paper's file."""

    name: str  # the file's, without .toml: vcae
    title: str
    source: str
    settings: Mapping[str, Setting]
    weights: Mapping[str, str]  # {metric: the network's weights that it needs}
    parts: tuple[Part, ...]
    tables: tuple[Table, ...]
    orderings: tuple[Ordering, ...]
    deviations: tuple[Deviation, ...]

    @property
    def cells(self) -> list[Cell]:
        """Every printed number, table by table."""
        return [cell for table in self.tables for cell in table.cells]

    def of_part(self, part: Part) -> list[Table]:
        """The printed numbers of a part, by dataset."""
        return [table for table in self.tables if table.part == part.title]

    def budget(self, suite: str, ordering: Ordering | None = None) -> BudgetClass:
        """Whether a suite is at full budget, and for an ordering also on the data of which the paper says it."""
        return "cpu" if ordering and suite in ordering.elsewhere else self.settings[suite].budget
