"""News of runs, from whoever works on them to whoever shows them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """News of a run: a share of its budget spent, or its status once it has ended (`skipped`: another process had it)."""

    run: str
    share: float = 0.0
    status: str | None = None
    error: str | None = None
    note: str | None = None  # to be said at once
    counts: bool = True  # as one of the runs; a profile does not
    holder: str | None = None  # of another command, whose end is waited for
    loss: float | None = None  # of the last steps, while it trains
    images_per_second: float | None = None  # of training


Tell = Callable[[Event], None]
