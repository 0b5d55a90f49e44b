"""What a command line says of where runs lie and what works on them. No torch here."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Folders and resources of runs, the same in every process of a command."""

    out: Path  # gets runs/ and leaderboards/
    data_root: Path
    device: str | None = None  # cpu or cuda; None: the command finds out
    threads: int = 1  # of the CPU, for each run
    jobs: int | None = None  # runs at a time; None: as many as there is room for
    save_every: float = 30.0  # seconds between two checkpoints
    cache: Path | None = None  # of features; None: beside the runs
    fresh: bool = False  # whether finished runs are run again
    log: tuple[str, ...] = ()  # trackers that follow the runs: bench/runs/trackers.py
    measure_at: tuple[float, ...] = ()  # shares of the budget at which runs are measured while they train: bench/runs/anytime.py
    measured: tuple[str, ...] = ()  # the metrics of it; (): those of the suite's first screen
    limit: float | None = None  # seconds without a sign of life after which a run is given up; None: it is waited for

    def on(self, device: str) -> "Settings":
        """The same on that kind of device."""
        return replace(self, device=device)

    def absolute(self) -> "Settings":
        """The same for a process that was started in another folder."""
        return replace(self, out=self.out.absolute(), data_root=self.data_root.absolute(), cache=self.cache and self.cache.absolute())


def rising(name: str, shares: Iterable[object]) -> tuple[float, ...]:
    """Shares of a budget in rising order, each once; UserError for one that is not between 0 and 1, where a run is on record."""
    found = set[float]()
    for share in shares:
        if not isinstance(share, (int, float)) or not 0 < share < 1:
            raise UserError(f"{name} must be shares of the budget between 0 and 1, such as 0.1,0.5, not {share!r}")
        found.add(float(share))
    return tuple(sorted(found))
