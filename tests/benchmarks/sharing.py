"""What it costs to share a step; writes the table of docs/several-devices.md.

`torchrun --nproc-per-node 2 tests/benchmarks/sharing.py docs`: the first process takes steps alone, then all take them together, on the CPU
over gloo, one thread each. The fastest of some steps counts.
"""

import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bench.datasets.batches import Batches
from bench.environment import processor, set_up
from bench.registry import Catalogue, catalogue
from bench.runs.shareable import networks_of
from bench.suites.budget import Budget, Optimizer
from bench.training.shared import SharedTraining, shared
from bench.training.team import Team, joined
from bench.training.train import Plan, Training

BEGIN, END = "<!-- sharing: begin -->", "<!-- sharing: end -->"
STEPS, SECONDS = 40, 6.0  # at most so many steps, for at most so long


class Case(NamedTuple):
    """A training step."""

    method: str
    network: str
    shape: tuple[int, int, int]
    dim: int
    batch_size: int


CASES = (
    Case("wae_mmd", "mlp", (1, 8, 8), 8, 100),
    Case("vcae", "conv", (1, 28, 28), 16, 128),
    Case("wae_mmd", "conv", (3, 64, 64), 64, 128),
)


class Timed(Team):
    """A team that says how long it was busy with what goes between its processes, waiting included, and how many bytes these were."""

    def __init__(self, team: Team):
        super().__init__(team.rank, team.size, team.group)
        self.start_again()

    def start_again(self) -> None:
        """For the next step."""
        self.spent = {"gathering": [0.0, 0.0], "averaging": [0.0, 0.0]}  # milliseconds, MiB

    def note(self, what: str, start: float, moved: int) -> None:
        """Another one of them has ended."""
        self.spent[what][0] += 1000 * (time.perf_counter() - start)
        self.spent[what][1] += moved / 2**20

    def gathered(self, share: Tensor) -> Tensor:
        """As of any team."""
        start = time.perf_counter()
        found = super().gathered(share)
        self.note("gathering", start, found.nbytes)
        return found

    def average(self, tensors: Iterable[Tensor]) -> None:
        """As of any team."""
        start, own = time.perf_counter(), list(tensors)
        super().average(own)
        self.note("averaging", start, sum(tensor.nbytes for tensor in own))


def fastest(case: Case, known: Catalogue, team: Timed | None) -> list[float]:
    """Milliseconds of the fastest of some steps; and of a shared one milliseconds and MiB in gathering and in averaging."""
    torch.manual_seed(0)
    method = known.get("method", case.method)(case.dim).assemble(case.shape, case.dim, known.get("network", case.network))
    images = torch.randint(0, 256, (case.batch_size, *case.shape), dtype=torch.uint8)
    batches, plan = Batches(images, 255, case.batch_size, 0), Plan(Budget(steps=STEPS), Optimizer(), STEPS + 1, STEPS)
    noise, found = torch.Generator().manual_seed(0), list[list[float]]()
    with shared(networks_of(method).values(), team) if team else nullcontext() as sharing:
        training = SharedTraining(sharing, method, plan, noise) if sharing else Training(method, plan, noise)
        begun = time.perf_counter()
        while len(found) < STEPS and agreed(team, time.perf_counter() - begun) < SECONDS:
            if team:
                team.start_again()
            start = time.perf_counter()
            training.take_step(batches)
            taken = 1000 * (time.perf_counter() - start)
            found.append([taken, *(value for pair in (team.spent.values() if team else ()) for value in pair)])
    return min(found)


def agreed(team: Team | None, seconds: float) -> float:
    """By the first process's clock."""
    return team.of_first(seconds) if team else seconds


def line(case: Case, known: Catalogue, team: Timed) -> str:
    """A row of the table."""
    alone = fastest(case, known, None)[0] if team.first else 0.0
    team.of_first(0)  # the others wait meanwhile
    step, gathering, gathered, averaging, averaged = fastest(case, known, team)
    what = f"`{case.method}`, `{case.network}`, {'×'.join(map(str, case.shape))}, {case.batch_size}"
    numbers = [alone, step, gathering, averaging, gathered, averaged]
    return f"| {what} | {' | '.join(f'{value:.3g}' for value in numbers)} |"


def page(text: str, between: str) -> str:
    """The page with this in place of what is between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{between}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    device, path = set_up("cpu", 1), Path(sys.argv[1]) / "several-devices.md"
    with joined("cpu") as world:
        team, known = Timed(world), catalogue()
        lines = [line(case, known, team) for case in CASES]
    if team.first:
        head = [
            f"Milliseconds of a step on {processor()}, one thread a process, {team.size} processes over gloo:",
            "",
            f"| method, network, images, batch | 1 process | {team.size} processes | gathering | averaging | MiB gathered | MiB averaged |",
            f"|---|{'---:|' * 6}",
        ]
        path.write_text(page(path.read_text(encoding="utf-8"), "\n".join([*head, *lines])), encoding="utf-8")
