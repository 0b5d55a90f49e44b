"""Run in a process of its own with TRITON_INTERPRET=1, or on a CUDA device: every Triton kernel against the formula in float64.

Prints one line for each: what, relative error of its value, of its worst gradient, and whether all is NaN where one number is infinite.
`python tests/support/triton_kernels.py cpu`, with names behind it those cases alone.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from metrics.divergences import imq, imq7, mmd, rbf
from metrics.mixture_bound import mixture_kl_bound

Loss = Callable[..., Tensor]


def error(fast: Tensor, exact: Tensor) -> float:
    """Largest difference, relative to the largest number."""
    return ((fast.double() - exact).abs().max() / exact.abs().max().clamp(min=1e-30)).item()


def gradients_of(loss: Loss, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The value, and the gradients of its sum."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    return value.detach(), torch.autograd.grad(value.sum(), leaves)


def spoiled(loss: Loss, *inputs: Tensor) -> bool:
    """Whether value and gradients are NaN when the last input has one infinite number."""
    last = inputs[-1].clone()
    last[1, 0] = torch.inf
    value, gradients = gradients_of(partial(loss, backend="triton"), *inputs[:-1], last)
    return bool(value.isnan()) and all(bool(gradient.isnan().all()) for gradient in gradients)


def errors(loss: Loss, *inputs: Tensor) -> tuple[float, float]:
    """Of triton's value and gradients of these inputs against the broadcasting form's in float64; the upstream gradient is not all ones."""
    found = []
    for backend, dtype in (("triton", None), ("broadcast", torch.float64)):
        leaves = [x.detach().to(dtype or x.dtype).requires_grad_() for x in inputs]
        value = loss(*leaves, backend=backend)
        weights = torch.linspace(-1, 2, value.numel(), device=value.device, dtype=value.dtype).view_as(value)
        found.append((value.detach(), torch.autograd.grad((value * weights).sum(), leaves)))
    (value, gradients), (exact_value, exact_gradients) = found
    return error(value, exact_value), max(map(error, gradients, exact_gradients))


def cases(device: str) -> Iterator[tuple[str, Loss, tuple[Tensor, ...]]]:
    """Sizes that are no multiple of a block, two points, points that coincide; more dimensions than a program takes, in bfloat16 too."""
    noise = torch.Generator().manual_seed(0)
    normal = lambda *size: torch.randn(*size, generator=noise).to(device)
    for name, kernel in {"imq": imq, "imq7": imq7, "rbf": rbf}.items():
        for n, m, d in ((2, 3, 1), (70, 19, 3), (33, 130, 5)):
            q = normal(m, d) * 1.3 + 0.4
            q[0] = q[1]
            yield f"mmd {name} {n} {m} {d}", lambda p, q, k=kernel, **how: mmd(p, q, 2.0 * q.shape[1], k, **how), (normal(n, d), q)
    for m, d, low in ((2, 1, 0.0), (70, 3, -1.0), (33, 5, -20.0), (4, 40, -1.0)):
        yield f"bound {m} {d}", mixture_kl_bound, (normal(m, d), normal(m, d) + low)
    half = lambda *size: normal(*size).bfloat16()
    yield "mmd imq 3 2 64 bfloat16", lambda p, q, **how: mmd(p, q, 2.0 * q.shape[1], imq, **how), (half(3, 64), half(2, 64) + 1)
    yield "bound 3 64 bfloat16", mixture_kl_bound, (half(3, 64), half(3, 64))


if __name__ == "__main__":
    for what, loss, inputs in cases(sys.argv[1]):
        if (name := what.replace(" ", "_")) in sys.argv[2:] or not sys.argv[2:]:
            print(name, *errors(loss, *inputs), spoiled(loss, *inputs))
