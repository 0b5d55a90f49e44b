"""What a command line says of where runs lie and what works on them. No torch here."""

from dataclasses import dataclass
from pathlib import Path


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
