"""What a person sees: progress bars on a terminal, nothing but results elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tabulate import tabulate

from bench.runs.events import Event, Tell

err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress(total: int) -> Iterator[Tell]:
    """A bar for the suite and one for each run under way; -> what to call with news."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        whole = bars.add_task(f"{total} runs", total=total)
        tasks, ended = {}, set[str]()

        def tell(event: Event) -> None:
            if event.run in ended:  # each worker says `skipped` of what the others have ended
                return
            if event.run not in tasks:
                tasks[event.run] = bars.add_task(event.run, total=1.0)
            bars.update(tasks[event.run], completed=event.share)
            if event.note:
                err.print(f"{event.run}: {event.note}", markup=False)
            if event.status:
                bars.remove_task(tasks.pop(event.run))
                bars.advance(whole, event.counts)
                ended.add(event.run)
                if event.error:
                    err.print(f"{event.run}: {event.status}: {event.error}", markup=False)

        yield tell


def warn(text: str) -> None:
    """A line on standard error of what is wrong and stops nothing."""
    err.print(f"warning: {text}", markup=False)


def table(head: list[str], rows: list[list[str]], title: str | None = None) -> None:
    """A table on standard output."""
    lines = [title, ""] if title else []
    print("\n".join([*lines, tabulate(rows, head, tablefmt="simple", disable_numparse=True)]))
