"""Networks may run in bfloat16; losses, densities and whatever else a part computes never do.

The trainer asks for bfloat16 by torch's autocast around a player's terms. `losses_in_float32` lifts that request from all that is inside
but the encoder and the decoder, which are called by `run_network`; what they give is float32 again before anything looks at it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

asked_for: ContextVar[torch.dtype | None] = ContextVar("asked_for", default=None)  # of networks; None: as they are


@contextmanager
def losses_in_float32(device: torch.device) -> Iterator[None]:
    """No product is rounded inside but those of `run_network`; distances of near codes would be lost."""
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    token = asked_for.set(torch.get_autocast_dtype(device.type))
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        asked_for.reset(token)


def run_network(network: nn.Module, x: Tensor) -> Tensor:
    """The network's output in the arithmetic that was asked for, as losses take it: bfloat16 becomes float32.   (B, ...) -> (B, ...)"""
    dtype = asked_for.get()
    if dtype is None:
        return to_float32(network(x))
    with torch.autocast(x.device.type, dtype):
        return to_float32(network(x))


def to_float32(y: Tensor) -> Tensor:
    """bfloat16 becomes float32, anything else stays.   (B, ...) -> (B, ...)"""
    return y.float() if y.dtype == torch.bfloat16 else y
