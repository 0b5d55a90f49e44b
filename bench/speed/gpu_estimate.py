"""`python -m bench gpu-check --estimate`: what bounds each suite's training on a GPU, by counts of its steps and a GPU's published limits.

Nothing is measured. A step takes at least as long as its launches do one after the other, and at least as long as the device needs for
them; of each launch that is the longer of the time for its bytes and the time for its products.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from bench.markdown import bullets, folded, listed, narrow, section
from bench.registry import Catalogue
from bench.reproduction.hours import spelt
from bench.runs.prepare import prepare
from bench.runs.stages import Stage
from bench.speed.step_costs import Counted, HostWaitsError, count_step
from bench.suites.budget import Precision
from bench.suites.schema import Run, Suite

Bound = Literal["launches", "memory", "arithmetic"]
COMMAND = "python -m bench gpu-check --estimate"
HEADS = ["row", "network", "batch", "launches", "MB", "GFLOP", "µs: launches", "memory", "arithmetic", "a step", "bound", "execution"]
OVERVIEW = ["suite", "runs", "steps", "PFLOP", "launches a step", "bound by launches", "memory", "arithmetic", "float32", "tf32"]


@dataclass(frozen=True)
class Machine:
    """What a GPU does at most, as published."""

    name: str
    bandwidth: float  # bytes/s, read and written
    rates: dict[Precision, float]  # FLOP/s of products
    eager: float  # seconds of the host for each launch that Python makes
    graph: float  # seconds between two launches of a CUDA graph


H100 = Machine("H100 SXM", 3.35e12, {"float32": 67e12, "tf32": 494.5e12, "bf16": 989.5e12}, eager=5e-6, graph=0.5e-6)
SOURCES = (
    "Memory 3.35 TB/s; products 67 TFLOP/s in float32, 494.5 in TF32 (989 with sparsity): NVIDIA, *H100 Tensor Core GPU*, data sheet, SXM.",
    "0.5 µs between the launches of a CUDA graph: NVIDIA, *Getting Started with CUDA Graphs*, 2019: 3.4 µs for a kernel of 2.9 µs (V100).",
    "5 µs for a launch from Python: an assumption; a bare launch takes 4 to 6 µs, and torch's own work comes on top.",
)


@dataclass(frozen=True)
class Estimate:
    """A stage of a row: its counts, and the least that its step takes on a machine."""

    label: str
    network: str
    batch_size: int
    step: Counted  # without launches where it reads a value, on which the rest may depend
    steps: int | None  # of its budget; None for one in seconds
    eager: str | None  # why steps are no CUDA graph; None where they are

    @property
    def execution(self) -> str:
        """As a record would have it."""
        return "one CUDA graph a step" if self.eager is None else f"eager: {self.eager}"

    def launching(self, machine: Machine) -> float:
        """Seconds that launches alone take."""
        return len(self.step.launches) * (machine.graph if self.eager is None else machine.eager)

    def computing(self, machine: Machine, precision: Precision) -> tuple[float, float]:
        """Seconds of the device in launches that wait for memory, and in those that wait for products."""
        memory = products = 0.0
        for launch in self.step.launches:
            moving, multiplying = launch.bytes / machine.bandwidth, launch.flops / machine.rates[precision]
            memory += moving if moving >= multiplying else 0.0
            products += multiplying if moving < multiplying else 0.0
        return memory, products

    def seconds(self, machine: Machine, precision: Precision) -> float:
        """The least that a step takes."""
        return max(self.launching(machine), sum(self.computing(machine, precision)))

    def bound(self, machine: Machine, precision: Precision) -> Bound:
        """What takes longest."""
        memory, products = self.computing(machine, precision)
        if self.launching(machine) >= memory + products:
            return "launches"
        return "memory" if memory >= products else "arithmetic"


def estimates(suite: Suite, catalogue: Catalogue) -> list[Estimate]:
    """Every stage of every row that trains by steps."""
    found = list[Estimate]()
    for run in suite.runs("cpu"):
        if run.seed == 0:
            prepared = prepare(run, catalogue)
            shape, network = catalogue.get("dataset", run.dataset).shape, prepared.values.network
            modules = [stage.module for stage in prepared.stages]
            for stage in prepared.stages:
                if stage.plan is not None:
                    eager = stage.trainable.why_eager()
                    try:
                        step = count_step(stage.trainable, stage.plan, run.batch_size, shape, *modules)
                    except HostWaitsError as error:
                        step, eager = Counted(()), eager or str(error)
                    found.append(Estimate(named(run, stage), network, run.batch_size, step, stage.plan.total, eager))
    return found


def named(run: Run, stage: Stage) -> str:
    """`vcae`, and `vcae, density` of a second stage."""
    return ", ".join((run.label, *stage.scope))


def overview(suite: Suite, found: Sequence[Estimate], machine: Machine) -> list[str]:
    """A line of the first table: all runs of a suite, without those of a budget in seconds and those that cannot be counted."""
    counted = [one for one in found if one.step.launches]

    def total(of: Callable[[Estimate], float]) -> float:
        return suite.seeds * sum(of(one) * one.steps for one in counted if one.steps is not None)

    def hours(precision: Precision) -> str:
        return spelt(total(lambda one: one.seconds(machine, precision)) / 3600)

    bounds = [one.bound(machine, "float32") for one in counted]
    launches = [len(one.step.launches) for one in counted]
    return [
        suite.name,
        str(suite.seeds * len(suite.methods)),
        f"{total(lambda one: 1):,.0f}",
        short(total(lambda one: one.step.flops) / 1e15),
        f"{min(launches)} to {max(launches)}" if launches else "-",
        *(str(bounds.count(bound)) for bound in ("launches", "memory", "arithmetic")),
        hours("float32"),
        hours("tf32"),
    ]


def line(labels: Iterable[str], one: Estimate, machine: Machine) -> list[str]:
    """A line of a suite's table, of all rows that cost the same."""
    names = [listed(labels, 4), one.network, str(one.batch_size)]
    if not one.step.launches:
        return [*names, *["-"] * (len(HEADS) - len(names) - 1), one.execution]
    memory, products = one.computing(machine, "float32")
    times = (one.launching(machine), memory, products, one.seconds(machine, "float32"))
    return [
        *names,
        str(len(one.step.launches)),
        short(one.step.bytes / 1e6),
        short(one.step.flops / 1e9),
        *(short(1e6 * seconds) for seconds in times),
        one.bound(machine, "float32"),
        one.execution,
    ]


def suite_table(found: Sequence[Estimate], machine: Machine) -> str:
    """Rows in the suite's order; those that cost the same are one line."""
    same = dict[tuple[object, ...], list[Estimate]]()
    for one in found:
        key = one.network, one.batch_size, len(one.step.launches), one.step.bytes, one.step.flops, one.eager
        same.setdefault(key, []).append(one)
    return narrow(HEADS, [line((one.label for one in ones), ones[0], machine) for ones in same.values()])


def short(value: float) -> str:
    """Three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def page(found: Sequence[tuple[Suite, Sequence[Estimate]]], machine: Machine = H100) -> str:
    """The Markdown of all suites."""
    words = [
        f"<!-- generated by `{COMMAND}`; do not edit -->\n\n# What would bound training on a GPU",
        "Nothing here is measured: these are counts of each row's training step, and the least time that it can take on one "
        f"{machine.name}. A step is taken on tensors that have shapes and no values; each operation of torch {torch.__version__} that "
        "computes something is one launch, which reads its tensors once and writes its results, and our Triton kernels are counted where "
        "they would be launched. Libraries may launch more, caches may save bytes, and no kernel reaches a limit: real steps take longer.",
        bullets(SOURCES),
        "A step takes at least as long as its launches, and at least as long as the device computes; each launch takes the longer of the "
        "time for its bytes and the time for its products. The longest of the three sums is what bounds it, here in float32. Whether steps "
        "become CUDA graphs (`execution`) is what methods declare, and none that reads a value of the device, after which nothing can be "
        "counted here. Gathering the batch, evaluation, and fits between epochs are not in it.",
    ]
    lines = [overview(suite, ones, machine) for suite, ones in found if ones]
    tables = [folded(suite.name, suite_table(ones, machine)) for suite, ones in found if ones]
    all_runs = section("Suites", "Times are of all runs, one after the other, at least.", narrow(OVERVIEW, lines))
    return "\n\n".join([*words, all_runs, section("Rows", *tables)]) + "\n"


def estimate(suites: Iterable[Suite], catalogue: Callable[[Suite], Catalogue], tell: Callable[[str], None]) -> str:
    """The page of these suites."""
    found = list[tuple[Suite, Sequence[Estimate]]]()
    for suite in suites:
        tell(suite.name)
        found.append((suite, estimates(suite, catalogue(suite))))
    return page(found)
