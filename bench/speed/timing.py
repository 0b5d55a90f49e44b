"""Times of implementations of the same thing: timed alternately inside one run; medians, ratios round by round, the share of CPU wait."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.training.clock import Clock

QUIET = 0.05  # share of a round that our threads may wait for a CPU before other processes decide the time
TASKS = Path("/proc/self/task")
FEWEST = 3  # rounds that a median is taken of, where there are so many


def waited() -> float:
    """Seconds that this process's threads could have run but had no CPU; 0 where the system does not say."""
    return sum(int(text.split()[1]) for text in schedules()) / 1e9


def schedules() -> Iterator[str]:
    """What the system says of each thread."""
    for path in TASKS.glob("*/schedstat") if TASKS.exists() else ():
        with suppress(OSError):  # a thread that has ended since it was listed
            yield path.read_text()


@dataclass(frozen=True)
class Timed:
    """An implementation's rounds."""

    seconds: list[float]  # of each round, an operation's share
    waits: list[float]  # the share of each round spent waiting for a CPU

    @property
    def median(self) -> float:
        """Seconds an operation."""
        return statistics.median(self.seconds)


def timed_alternately(
    implementations: Mapping[str, Callable[[], object]],
    rounds: int,
    device: torch.device,
    operations: int = 1,
    warm_up: int = 1,
    seconds: float = math.inf,
) -> dict[str, Timed]:
    """Each implementation in every round, in order; a call does so many operations. The device is idle at both ends.

    seconds: after so many, warm-up included, no other round is begun if there are three.
    """
    clock, found, end = Clock(device), {name: Timed([], []) for name in implementations}, time.monotonic() + seconds
    for turn in range(warm_up + rounds):
        if turn >= warm_up + FEWEST and time.monotonic() >= end:
            break
        for name, implementation in implementations.items():
            wait, start = waited(), clock.wait()
            implementation()
            seconds, wait = clock.wait() - start, waited() - wait
            if turn >= warm_up:
                found[name].seconds.append(seconds / operations)
                found[name].waits.append(wait / seconds)
    return found


def quiet_rounds(found: Mapping[str, Timed]) -> list[int]:
    """The rounds in which no implementation waited for long, if there are three of them at least; otherwise all."""
    rounds = range(min(len(timed.seconds) for timed in found.values()))
    quiet = [i for i in rounds if all(timed.waits[i] <= QUIET for timed in found.values())]
    return quiet if len(quiet) >= FEWEST else list(rounds)


def quiet(found: Mapping[str, Timed]) -> dict[str, Timed]:
    """Only the rounds that count."""
    rounds = quiet_rounds(found)
    return {name: Timed([t.seconds[i] for i in rounds], [t.waits[i] for i in rounds]) for name, t in found.items()}


def ratio(implementation: Timed, reference: Timed) -> float:
    """Median over rounds of the implementation's time over the reference's: both met the same neighbours."""
    return statistics.median(a / b for a, b in zip(implementation.seconds, reference.seconds, strict=True))
