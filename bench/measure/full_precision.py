"""Torch in a program of someone else's: it computes in full float32 meanwhile, as in runs, and is the caller's again afterwards.

Torch has two kinds of settings for this. It refuses to read an older one where a newer one says otherwise, so both are kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

cudnn: Any = torch.backends.cudnn
FLOAT32: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn)  # what may take TF32 for float32
T = TypeVar("T")


@contextmanager
def without_tf32() -> Iterator[None]:
    """Products and convolutions in full float32, whatever the caller has set."""
    with torch_as_it_was():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        for of in FLOAT32:
            of.fp32_precision = "ieee"  # where nothing is said of one, the newer setting of all of them holds
        yield


@contextmanager
def torch_as_it_was() -> Iterator[None]:
    """What is set of torch inside (threads, precision) is the caller's again afterwards."""
    threads, kept = torch.get_num_threads(), [of.fp32_precision for of in FLOAT32]
    products, convolutions = readable(torch.get_float32_matmul_precision), readable(lambda: torch.backends.cudnn.allow_tf32)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if products is not None:
            torch.set_float32_matmul_precision(products)
        if convolutions is not None:
            torch.backends.cudnn.allow_tf32 = convolutions
        for of, precision in zip(FLOAT32, kept, strict=True):  # last, for the older settings change these
            of.fp32_precision = precision


def readable(setting: Callable[[], T]) -> T | None:
    """An older setting; None where newer ones say otherwise."""
    try:
        return setting()
    except RuntimeError:
        return None
