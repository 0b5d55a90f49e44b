"""Where a method's time goes: a training step split into its phases, and the kernels that take most of it."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler import profile, record_function  # torch.profiler is the same with a compiler, which takes seconds to import
from torch.autograd.profiler_util import FunctionEvent

from bench.datasets.batches import Batches, generator
from bench.environment import describe
from bench.errors import FOREIGN, RunError, UserError, in_a_line
from bench.runs.context import Context
from bench.runs.prepare import Prepared
from bench.training.clock import Clock
from bench.training.gathered import trainer_on
from bench.training.precision import products_in
from bench.training.train import Training

PHASES = ("data", "forward", "regulariser", "backward", "optimiser")
WARM_UP, TIMED, PROFILED = 10, 30, 5  # to tell of a step the profiler takes longer than the step
TOP = 15
FIRST = "first"  # a step that is left out: a profiler on a GPU may lose kernels where it begins


def profiled(prepared: Prepared, context: Context) -> dict[str, Any]:
    """A row's profile; RunError where its training steps raise something."""
    try:
        return profile_run(prepared, context)
    except (UserError, RunError):
        raise
    except FOREIGN as error:  # a plugin's, or no memory left
        raise RunError(f"cannot be profiled: {in_a_line(error)}") from error


def profile_run(prepared: Prepared, context: Context) -> dict[str, Any]:
    """Step time (median, unprofiled), its split and its top kernels, on the run's data and device, of steps taken one by one.

    A step of a CUDA graph has no phases to be seen, so none is timed here. The regulariser's backward counts as backward.
    """
    run, device = prepared.run, context.device
    data = context.data(run)
    method, noise = prepared.method.to(device), generator(device, run.seed, "profile")
    training = trainer_on(device)(method, prepared.plan, noise, capture=False, named=True)
    batches = Batches(data.train, data.levels, run.batch_size, run.seed)
    training.method.train()
    with products_in(prepared.plan.precision):
        step_ms = timed(training, batches)
    where = "cuda" if device.type == "cuda" else None  # besides the CPU
    with products_in(prepared.plan.precision), profile(use_device=where, with_flops=True, use_kineto=True) as profiler:
        with record_function(FIRST):
            training.take_step(batches)
            Clock(device).wait()
        for _ in range(PROFILED):
            training.take_step(batches)
        Clock(device).wait()
    events = without_first(profiler.function_events or [])
    return {
        **{name: getattr(run, name) for name in ("suite", "label")},
        "row_key": run.row_key(),
        "device": device.type,
        "trained_by": prepared.trained_by,
        "environment": describe(device, context.jobs, prepared.plan.precision),
        "steps": PROFILED,
        "step_ms": step_ms,
        "phases": phases(events, device),
        "kernels": kernels(events, device, PROFILED),
    }


def timed(training: Training, batches: Batches) -> float:
    """Median milliseconds of a step without the profiler."""
    clock, times = Clock(batches.images.device), []
    for _ in range(WARM_UP + TIMED):
        start = clock.wait()
        training.take_step(batches)
        times.append(1000 * (clock.wait() - start))
    return statistics.median(times[WARM_UP:])


def without_first(events: Iterable[FunctionEvent]) -> list[FunctionEvent]:
    """Those that began once the first step had ended, on the host and, for it was waited for, on the device."""
    events = list(events)
    ends = [event.time_range.end for event in events if event.name == FIRST and event.device_type == DeviceType.CPU]
    return [event for event in events if event.time_range.start >= max(ends, default=0)]


def phases(events: Iterable[FunctionEvent], device: torch.device) -> dict[str, float]:
    """Shares of a step by phase; `forward` is without the regulariser inside it. They sum to 1.

    On CUDA a kernel belongs to the phase in which it was launched, by whichever thread (autograd has one of its own) and however
    late the device came to it; on the CPU a phase is what its range lasts. RunError where the profiler saw nothing.
    """
    events = list(events)
    ranges = [event for event in events if event.device_type == DeviceType.CPU and event.name in PHASES]
    total = dict.fromkeys(PHASES, 0.0)
    if device.type == "cuda":
        for event in events:
            around = [of for of in ranges if of.time_range.start <= event.time_range.start < of.time_range.end]
            if around and event.device_type == DeviceType.CPU:
                total[min(around, key=elapsed).name] += sum(kernel.duration for kernel in event.kernels)
    else:
        for event in ranges:
            total[event.name] += elapsed(event)
        total["forward"] -= total["regulariser"]
    whole = sum(total.values())
    if not whole:
        raise RunError(f"cannot be profiled: torch's profiler saw nothing on {device.type}; is CUPTI there, and no other profiler at work?")
    return {name: value / whole for name, value in total.items()}


def elapsed(event: FunctionEvent) -> float:
    """Microseconds from an event's start to its end."""
    return float(event.time_range.elapsed_us())


def kernels(events: Iterable[FunctionEvent], device: torch.device, steps: int) -> list[dict[str, Any]]:
    """What took most time of its own in so many steps: name, calls per step, microseconds per step, share, FLOPs per step.

    On CUDA the kernels themselves and not the operations that launched them, whose time is the same once more; torch knows the
    FLOPs of operations only.
    """
    kind = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    own, calls, flops = defaultdict[str, float](float), Counter[str](), Counter[str]()
    for event in events:
        if event.device_type == kind and event.name not in PHASES:
            own[event.name] += elapsed(event) if kind == DeviceType.CUDA else event.self_cpu_time_total
            calls[event.name] += 1
            flops[event.name] += event.flops or 0
    whole = sum(own.values())
    return [
        {
            "name": name,
            "calls": calls[name] / steps,
            "self_us": own[name] / steps,
            "share": own[name] / whole,
            "flops": int(flops[name] / steps),
        }
        for name in sorted(own, key=lambda name: (-own[name], name))[:TOP]
    ]
