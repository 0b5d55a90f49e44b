"""Signs of life of a run: news for whoever waits, its share beside its lock for `status`, an end where there are none for too long.

The end comes from a thread of Python's `faulthandler`, which waits for no lock of the interpreter: it writes where every thread stands and
ends the process. Whoever claims the run next finds that and records a failure.
"""

import contextlib
import faulthandler
import time
from types import TracebackType
from typing import TextIO

from bench.errors import UserError
from bench.records.store import Store, text_of
from bench.runs.events import Event, Tell
from bench.runs.live import News
from bench.suites.schema import Run

STALLED = "stalled.txt"  # where the threads of a process that was ended stood
BEAT = 5.0  # seconds between two notes beside the lock


def name_of(run: Run) -> str:
    """A run as a progress bar calls it."""
    return f"{run.label} seed {run.seed}"


def stalled(store: Store, run: Run) -> str | None:
    """Where a process stood that was ended for want of a sign of life; None where none was. An empty file is of one that was killed."""
    return text_of(store.folder(run) / STALLED) or None


class Watch:
    """Called with news of the run. While it is entered, the process is ended if that does not happen for `limit` seconds."""

    def __init__(self, store: Store, run: Run, limit: float | None, tell: Tell):
        self.store, self.run, self.limit, self.tell = store, run, limit, tell
        self.file: TextIO | None = None
        self.noted = 0.0

    def __enter__(self) -> "Watch":
        if self.limit:
            self.file = (self.store.folder(self.run) / STALLED).open("w", encoding="utf-8")
        self.wait()
        return self

    def __call__(self, news: News) -> None:
        self.wait()
        self.tell(Event(name_of(self.run), news.share, loss=news.loss, images_per_second=news.images_per_second))
        if time.monotonic() - self.noted >= BEAT:
            with contextlib.suppress(UserError):  # a note is not worth a run
                self.store.note_share(self.run, news.share)
            self.noted = time.monotonic()

    def wait(self) -> None:
        """Begin to wait for the next sign."""
        if self.limit and self.file:
            faulthandler.dump_traceback_later(self.limit, file=self.file, exit=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.file:
            faulthandler.cancel_dump_traceback_later()
            self.file.close()
            (self.store.folder(self.run) / STALLED).unlink(missing_ok=True)
