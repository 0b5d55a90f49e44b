"""The divergences' kernels in `python -m bench gpu-check`: how exact each is on the device, and how long it takes there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial

import torch
from torch import Tensor

from bench.datasets.batches import generator
from bench.environment import peak_memory_mib
from bench.processes import cores
from bench.speed.gpu_parts import ENOUGH, Case, Row, Task, new_peak, relative, worst
from bench.speed.timing import timed_alternately
from bench.training.cuda_graph import WARM_UP, Captured, PlayersStep
from metrics.divergences import imq, imq7, mmd, rbf
from metrics.kernels.backends import using
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.latent import total_variance
from metrics.mixture_bound import mixture_kl_bound
from metrics.mixture_density import log_mixture_density

TOLERANCE = 1e-5  # relative error of a kernel's value and gradient in float32
LOOSER = {"squared_sliced_wasserstein": 5e-5}  # torch's own sum of products over directions, in float32
BROADCAST = 512  # n up to which the reference is the formula by broadcasting; beyond, tiles in float64
CALLS = 20  # that are launched together, so that a small kernel's time is not that of the host's launches


@cache
def directions(dim: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Of the sliced distance; drawn on the host once, in no call that is timed.   -> (64, dim)"""
    return unit_vectors(64, dim).to(device, dtype)


Loss = Callable[[Tensor, Tensor], Tensor]  # two (n, d) -> ()
KERNELS: dict[str, Loss] = {  # to be checked and timed; the second argument gets a gradient
    "mmd imq": lambda p, q: mmd(p, q, 2.0 * q.shape[1], imq),
    "mmd imq7": lambda p, q: mmd(p, q, 2.0 * q.shape[1], imq7),
    "mmd rbf": lambda p, q: mmd(p, q, 2.0 * q.shape[1], rbf),
    "mixture_kl_bound": lambda p, q: mixture_kl_bound(q, p),
    "log_mixture_density": lambda p, q: log_mixture_density(q, p, p).mean(),
    "squared_sliced_wasserstein": lambda p, q: squared_sliced_wasserstein(p, q, directions(q.shape[1], q.device, q.dtype)),
    "total_variance": lambda p, q: total_variance(q),
}


def value_and_gradient(loss: Loss, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """-> (), (n, d)"""
    q = q.detach().requires_grad_()
    value = loss(p, q)
    (gradient,) = torch.autograd.grad(value, q)
    return value.detach(), gradient


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many of the CPU's within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def exactness(name: str, n: int, d: int, device: torch.device) -> Row:
    """A kernel in float32 on the device against float64 on the CPU, gradient included."""
    loss, noise = KERNELS[name], torch.Generator().manual_seed(n + d)
    p, q = (torch.randn(n, d, generator=noise) for _ in range(2))
    q = 0.5 * q + 1.5  # far from the prior: the value is no difference of nearly equal numbers
    value, gradient = value_and_gradient(loss, p.to(device), q.to(device))
    # on the CPU, where sizes are tiny, this process is a fork, in which OpenMP may not have its threads
    with using("broadcast" if n <= BROADCAST else "tiled"), threads(cores() if device.type == "cuda" else 1):
        exact, slope = value_and_gradient(loss, p.double(), q.double())
    errors = relative(value, exact), relative(gradient, slope)
    return {"value": errors[0], "gradient": errors[1], "ok": worst(errors) <= LOOSER.get(name, TOLERANCE)}


def correctness(case: Case) -> list[Task]:
    """Each kernel at each size."""
    return [Task({"kernel": name, "n": n, "d": d}, partial(exactness, name, n, d)) for name in KERNELS for n, d in case.sizes]


def called(loss: Loss, p: Tensor, q: Tensor, batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
    """Forward and backward, CALLS times: a step as `Captured` takes it, that needs no batches.   -> (CALLS,)"""
    return torch.stack([value_and_gradient(loss, p, q)[0] for _ in range(CALLS)])


def kernel_time(name: str, n: int, d: int, rounds: int, device: torch.device) -> Row:
    """Milliseconds of forward and backward, from a CUDA graph if the kernel can be in one, and most memory."""
    p, q = (torch.randn(n, d, device=device) for _ in range(2))
    new_peak(device)
    step: PlayersStep = partial(called, KERNELS[name], p, q)
    how = "eager: device cpu"
    if device.type == "cuda":
        step = captured = Captured(step, generator(device, 0, "noise"))
        for _ in range(WARM_UP + 1):
            captured((), ())
        how = f"{CALLS} calls a CUDA graph" if captured.reason is None else f"eager: {captured.reason}"
    found = timed_alternately({name: lambda: step((), ())}, rounds, device, operations=CALLS, seconds=ENOUGH)
    return {"ms": 1000 * found[name].median, "peak_mib": peak_memory_mib(device), "execution": how}


def kernel_times(case: Case) -> list[Task]:
    """Each kernel at each size but the smallest."""
    return [
        Task({"kernel": name, "n": n, "d": d}, partial(kernel_time, name, n, d, case.rounds))
        for name in KERNELS
        for n, d in case.timed_sizes
    ]
