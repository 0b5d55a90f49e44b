"""Rows with values that are not finite, counted before a comparison, a sort, a bin or a cast takes NaN or infinity for a number."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from metrics.metric import Unavailable


def tensors(view: Any) -> Iterator[Tensor]:
    """The floating-point tensors of a view: itself, or those of a tuple's parts."""
    if isinstance(view, tuple):
        for part in view:
            yield from tensors(part)
    elif isinstance(view, Tensor) and view.is_floating_point():
        yield view


def rows_not_finite(view: Any) -> tuple[int, int]:
    """How many rows of a view have a value that is not finite, and how many rows there are; of parts of one length, by row.

    A number alone is a row. (0, 0) for a view that holds no floating-point tensor.
    """
    bad = dict[int, Tensor]()
    for part in tensors(view):
        rows = ~part.reshape(part.shape[0] if part.dim() else 1, -1).isfinite().all(1)
        bad[len(rows)] = bad[len(rows)] | rows if len(rows) in bad else rows
    return max(((int(rows.sum()), n) for n, rows in bad.items()), default=(0, 0))


def require_finite(what: str, *parts: Tensor | None) -> None:
    """Unavailable where rows have values that are not finite: `3 of 25 codes have values that are not finite`.   (N, ...) each"""
    bad, n = rows_not_finite(parts)
    if bad:
        raise Unavailable(f"{bad} of {n} {what} have values that are not finite")


def require_rows(what: str, rows: Tensor, least: int = 2) -> None:
    """Unavailable where there are fewer rows than an estimate needs.   (N, ...)"""
    if len(rows) < least:
        raise Unavailable(f"needs at least {least} {what}, there {'is' if len(rows) == 1 else 'are'} {len(rows)}")


def or_nan(value: Tensor, *of: Tensor) -> Tensor:
    """The value; NaN where a tensor that it is of is not finite.   (), any shapes -> ()"""
    finite = torch.stack([part.isfinite().all() for part in of]).all()
    return torch.where(finite, value, torch.nan)
