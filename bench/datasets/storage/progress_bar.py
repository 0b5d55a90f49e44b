"""A bar on standard error for what takes minutes, where that is a terminal; nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(words: str, total: int | None, done: int, unit: Literal["images", "bytes"]) -> Iterator[Callable[[int], None]]:
    """-> what to call with how many more are done; `done` were when it began."""
    console = Console(stderr=True)
    counted = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn(words, markup=False), BarColumn(), counted, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(words, total=total, completed=done)
        yield lambda count: progress.advance(task, count)
