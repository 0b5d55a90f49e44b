"""What a person sees: progress bars on a terminal, nothing but results elsewhere."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, zip_longest
from textwrap import wrap

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tabulate import tabulate

from bench.runs.events import Event, Tell

err = Console(stderr=True, highlight=False, soft_wrap=True)
NOW = TextColumn("{task.fields[now]}", markup=False)  # what a run that trains has come to
LEAST = 8  # characters of a column that is made narrower, where there is room for so many


class News:
    """What is said of runs: bars on a terminal, elsewhere a line for each that has ended."""

    def __init__(self, bars: Progress, total: int, terminal: bool):
        self.bars, self.total, self.terminal = bars, total, terminal
        self.whole = bars.add_task(f"{total} runs", total=total, now="")
        self.tasks, self.ended, self.count = dict[str, TaskID](), set[str](), 0

    def __call__(self, event: Event) -> None:
        if event.run in self.ended:  # each worker says `skipped` of what the others have ended
            return
        if event.holder:
            say(f"waiting for {event.run}, held by {event.holder}")
        if event.note:
            say(f"{event.run}: {event.note}")
        if event.run not in self.tasks:
            self.tasks[event.run] = self.bars.add_task(event.run, total=1.0, now="")
        self.bars.update(self.tasks[event.run], completed=event.share, now=now(event))
        if event.status:
            self.end(event, event.status)

    def end(self, event: Event, status: str) -> None:
        """A run has ended."""
        self.bars.remove_task(self.tasks.pop(event.run))
        self.bars.advance(self.whole, event.counts)
        self.ended.add(event.run)
        self.count += event.counts
        if event.error:
            say(f"{event.run}: {status}: {event.error}")
        elif not self.terminal and event.counts and status not in ("skipped", "refused"):  # those have a line of their own, or had it
            say(f"{event.run}: {status}, {self.count} of {self.total}")


def now(event: Event) -> str:
    """`loss 21.4, 9,310 images/s` of a run that trains; nothing while it is measured."""
    if event.loss is None or event.images_per_second is None:
        return ""
    return f"loss {event.loss:.4g}, {event.images_per_second:,.0f} images/s"


@contextmanager
def progress(total: int) -> Iterator[Tell]:
    """What to call with news of so many runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn(), NOW)
    terminal = sys.stderr.isatty()  # not rich's word, which FORCE_COLOR decides
    with Progress(*columns, console=err, transient=True, disable=not terminal) as bars:
        yield News(bars, total, terminal)


def say(text: str) -> None:
    """A line on standard error."""
    err.print(text, markup=False)


def warn(text: str) -> None:
    """A line on standard error of what is wrong and stops nothing."""
    say(f"warning: {text}")


def table(head: list[str], rows: list[list[str]], title: str | None = None) -> None:
    """A table on standard output; on a terminal no wider than that, its longest cells in several lines."""
    lines = [title, ""] if title else []
    if sys.stdout.isatty():
        lines += laid_out(head, rows, shutil.get_terminal_size().columns)
    else:
        lines.append(tabulate(rows, head, tablefmt="simple", disable_numparse=True))
    print("\n".join(lines))


def laid_out(head: list[str], rows: list[list[str]], columns: int) -> list[str]:
    """The lines of a table that fits a terminal: tabulate makes columns wider than it is told, and numbers with commas break it."""
    widths = fitting(head, rows, columns)

    def in_lines(row: list[str]) -> list[str]:
        cells = [[part for line in cell.split("\n") for part in wrap(line, width) or [""]] for cell, width in zip(row, widths, strict=True)]
        lines = zip_longest(*cells, fillvalue="")
        return ["  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip() for line in lines]

    return [*in_lines(head), "  ".join("-" * width for width in widths), *chain.from_iterable(map(in_lines, rows))]


def fitting(head: list[str], rows: list[list[str]], columns: int) -> list[int]:
    """Widths of a table's columns that fit a terminal: the widest ones give, down to LEAST characters, or to what there is room for."""
    room = columns - 2 * (len(head) - 1)
    least = max(1, min(LEAST, room // len(head)))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    while sum(widths) > room and max(widths) > least:
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return widths
