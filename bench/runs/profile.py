"""Where a method's time goes: a training step split into its phases, and the kernels that take most of it."""

import statistics
from typing import Any

import torch
from torch.autograd.profiler import profile  # torch.profiler is the same with a compiler, which takes seconds to import

from bench.datasets.batches import Batches, generator
from bench.environment import describe
from bench.errors import RunError, UserError, in_a_line
from bench.runs.context import Context
from bench.runs.run import Prepared
from bench.training.clock import Clock
from bench.training.precision import products_in
from bench.training.train import Training

PHASES = ("data", "forward", "regulariser", "backward", "optimiser")
WARM_UP, TIMED, PROFILED = 10, 30, 5  # to tell of a step the profiler takes longer than the step
TOP = 15


def profiled(prepared: Prepared, context: Context) -> dict[str, Any]:
    """A row's profile; RunError where its training steps raise something."""
    try:
        return profile_run(prepared, context)
    except UserError:
        raise
    except Exception as error:  # a plugin's, or no memory left
        raise RunError(f"cannot be profiled: {in_a_line(error)}") from error


def profile_run(prepared: Prepared, context: Context) -> dict[str, Any]:
    """Step time (median, unprofiled), its split and its top kernels, on the run's data and device.

    Shares are of time inside the step's ranges as torch.profiler sees them; the regulariser's backward counts as backward.
    """
    run, device = prepared.run, context.device
    data = context.data(run)
    method, noise = prepared.method.to(device), generator(device, run.seed, "profile")
    training = Training(method, prepared.plan, noise)
    batches = Batches(data.train, data.levels, run.batch_size, run.seed)
    training.method.train()
    with products_in(prepared.plan.precision):
        step_ms = timed(training, batches)
    training = Training(method, prepared.plan, noise, capture=False)  # a recorded step has no phases to be seen
    where = "cuda" if device.type == "cuda" else None  # besides the CPU
    with products_in(prepared.plan.precision), profile(use_device=where, with_flops=True, use_kineto=True) as profiler:
        for _ in range(PROFILED):
            training.take_step(batches)
        Clock(device).wait()
    events = profiler.key_averages()
    return {
        **{name: getattr(run, name) for name in ("suite", "label")},
        "row_key": run.row_key(),
        "device": device.type,
        "environment": describe(device, context.jobs, prepared.plan.precision),
        "steps": PROFILED,
        "step_ms": step_ms,
        "phases": phases(events, device),
        "kernels": kernels(events, device),
    }


def timed(training: Training, batches: Batches) -> float:
    """Median milliseconds of a step without the profiler."""
    clock, times = Clock(batches.images.device), []
    for _ in range(WARM_UP + TIMED):
        start = clock.wait()
        training.take_step(batches)
        times.append(1000 * (clock.wait() - start))
    return statistics.median(times[WARM_UP:])


def phases(events: Any, device: torch.device) -> dict[str, float]:
    """Shares of a step by phase; `forward` is without the regulariser inside it. They sum to 1."""
    total = dict.fromkeys(PHASES, 0.0)
    for event in events:
        if event.key in total:
            total[event.key] = event.device_time_total if device.type == "cuda" else event.cpu_time_total
    total["forward"] -= total["regulariser"]
    whole = sum(total.values())
    return {name: value / whole for name, value in total.items()}


def kernels(events: Any, device: torch.device) -> list[dict[str, Any]]:
    """The kernels with most time of their own: name, calls per step, microseconds per step, share, FLOPs per step."""
    cuda = device.type == "cuda"
    own = {event.key: event.self_device_time_total if cuda else event.self_cpu_time_total for event in events if event.key not in PHASES}
    by_name = {event.key: event for event in events}
    whole = sum(own.values())
    return [
        {
            "name": name,
            "calls": by_name[name].count / PROFILED,
            "self_us": own[name] / PROFILED,
            "share": own[name] / whole,
            "flops": int(by_name[name].flops / PROFILED),
        }
        for name in sorted(own, key=lambda name: (-own[name], name))[:TOP]
    ]
