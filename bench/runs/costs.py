"""What a run costs, as entries of its record: parameters, times, memory."""

from collections.abc import Sequence
from typing import Any

import torch

from bench.environment import peak_memory_mib
from bench.runs.prepare import Prepared
from bench.training.train import Outcome


def costs(prepared: Prepared, outcomes: Sequence[Outcome], evaluation: float, device: torch.device) -> dict[str, Any]:
    """What differs between two equal runs: times and memory.   evaluation: seconds"""
    memory = "allocated on the device" if device.type == "cuda" else "resident in the process, without mapped files"
    first, images = outcomes[0], outcomes[0].step * prepared.run.batch_size
    stages = zip(prepared.stages, outcomes, strict=False)  # fewer outcomes, where one diverged
    return {
        **{stage.seconds[0]: entry(outcome.seconds, stage.seconds[1], "s") for stage, outcome in stages},
        "images_per_second": entry(images / first.seconds, "training images over training seconds", "1/s", "higher"),
        "evaluation_seconds": entry(evaluation, "all metrics of the run", "s"),
        "peak_memory_mib": entry(peak_memory_mib(device), f"most memory {memory}, training and evaluation", "MiB"),
    }


def parameters(prepared: Prepared) -> dict[str, Any]:
    """How many parameters the run trains."""
    return entry(prepared.parameter_count, "trained values of all players", better=None)


def entry(value: float | None, protocol: str, unit: str = "", better: str | None = "lower") -> dict[str, Any]:
    """An entry of a record, as a metric's is."""
    reason = {} if value is not None else {"reason": "this system does not say"}
    return {"value": value, **reason, "unit": unit, "better": better, "group": "cost", "protocol": protocol}
