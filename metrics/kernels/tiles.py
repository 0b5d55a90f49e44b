"""What the tiled kernels share: tiles of a matrix of pairs, memory that they reuse, how far a matrix product can be trusted.

|a - b|² = |a|² + |b|² - 2 a·b costs one matrix product, and errs by |a|² ε: near points far from the origin lose all. So points are
centred, and the product is taken in float32, in float64, or not at all, by how far from their centre they are.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

ROWS, COLUMNS = 256, 512  # of a tile: it, its slope and its float64 copy stay in a second-level cache
LOST = {torch.float32: 2e-6, torch.float64: 1e-13}  # of a kernel's value at most, relative, by rounding of distances


class Memory:
    """What every tile is written to, over and over: fresh pages cost more than what is written to them."""

    def __init__(self, dtype: torch.dtype, device: torch.device):
        self.dtypes = (dtype, dtype, dtype, dtype, torch.float64)
        self.device = device
        self.flat: list[Tensor] = []
        self.views = dict[tuple[int, int], list[Tensor]]()

    def tile(self, I: slice, J: slice) -> list[Tensor]:
        """Four tensors of a tile's shape in one type and one in float64; whatever they held before."""
        rows, columns = I.stop - I.start, J.stop - J.start
        if (rows, columns) not in self.views:
            if not self.flat or len(self.flat[0]) < rows * columns:
                self.flat = [torch.empty(rows * columns, dtype=dtype, device=self.device) for dtype in self.dtypes]
                self.views.clear()
            self.views[rows, columns] = [flat[: rows * columns].view(rows, columns) for flat in self.flat]
        return self.views[rows, columns]

    def narrow(self, I: slice, J: slice) -> Tensor:
        """The fifth one's first half, in float32."""
        wide = self.tile(I, J)[-1]
        return wide.view(torch.float32).flatten()[: wide.numel()].view(wide.shape)


def spans(a: slice, size: int) -> Iterator[slice]:
    """a in slices of at most `size`."""
    return (slice(i, min(i + size, a.stop)) for i in range(a.start, a.stop, size))


def upper(a: slice) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover every pair i < j of a once; those on the diagonal, (I, I), have i ≥ j as well."""
    for I in spans(a, ROWS):
        yield I, I
        yield from ((I, J) for J in spans(slice(I.stop, a.stop), COLUMNS))


def every(a: slice, b: slice) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover all pairs of a and b."""
    return ((I, J) for I in spans(a, ROWS) for J in spans(b, COLUMNS))


def trusted(radius2: float, smallest: float, dtype: torch.dtype, precision: torch.dtype) -> bool:
    """Whether squared distances by a product in `dtype` lose no more than `precision` allows.

    radius2: the largest |x|² there is; smallest: the squared distance over which the kernel changes. No, where radius2 is NaN.
    """
    if dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        return False  # the machine may take TF32 or bfloat16
    return 4 * radius2 * torch.finfo(dtype).eps <= LOST[precision] * smallest


def guarded(value: Tensor, *inputs: Tensor) -> Tensor:
    """The value, to the last bit; NaN, and so are all gradients through it, where an input holds a number that is not finite.

    A point at infinity is at distance ∞ from all others, where kernels are 0 and comparisons swallow NaN: without this, a loss of
    broken codes would be an ordinary number. Nothing waits for a device.
    """
    return value * (1 + sum((0 * x.detach()).sum() for x in inputs))


def accumulator(*points: Tensor) -> torch.dtype:
    """float64 for float64 points, else float32."""
    return torch.float64 if any(x.dtype == torch.float64 for x in points) else torch.float32
