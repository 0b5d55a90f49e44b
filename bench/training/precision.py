"""The arithmetic that training uses: float32 as the papers, TF32 products on CUDA, or bfloat16 networks with float32 losses and weights."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from bench.errors import UserError
from bench.suites.budget import Precision


def check_precision(precision: Precision, device: str) -> None:
    """UserError for arithmetic that this kind of device does not have."""
    if precision == "tf32" and device != "cuda":
        raise UserError(f"precision 'tf32' is arithmetic of CUDA devices; on {device} it is 'float32' or 'bf16'")


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """TF32 for matrix products and convolutions inside, if that is asked for; full float32 again afterwards."""
    if precision != "tf32":
        yield
        return
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Around a player's terms: networks in bfloat16, if that is asked for; gradients and weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
