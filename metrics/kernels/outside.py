"""Work on tensors that torch does not see, so that whoever records a training step hears of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

Work = Callable[[], object]
listeners: list[Callable[[Work, tuple[Tensor, ...]], None]] = []


def run(work: Work, *memory: Tensor) -> None:
    """Do it; it reads and writes those tensors' memory, and may be done again."""
    work()
    for listener in listeners:
        listener(work, memory)


@contextmanager
def listening(listener: Callable[[Work, tuple[Tensor, ...]], None]) -> Iterator[None]:
    """Tell it of all such work inside."""
    listeners.append(listener)
    try:
        yield
    finally:
        listeners.remove(listener)
