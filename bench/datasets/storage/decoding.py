"""Image files decoded by several processes, in order, in blocks that travel together.

This process reads the files and the workers decode them, so that none of them holds the list of all files; each worker takes about 45 MB.
"""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np

from bench.datasets.storage.image_files import Encoded
from bench.datasets.storage.progress_bar import bar
from bench.processes import cores, end_with_parent

WORKERS = 4  # at most: the whole of CelebA takes minutes, and stays below 1 GiB

Decode = Callable[[Encoded], np.ndarray]  # -> (C, H, W) uint8
Mapper = Callable[[Callable[[Sequence[Encoded]], np.ndarray], Iterable[Sequence[Encoded]]], Iterable[np.ndarray]]


def blocks(
    decode: Decode, read: Callable[[str], Encoded], names: Sequence[str], size: int, words: str, start: int = 0, most: int | None = None
) -> Iterator[np.ndarray]:
    """Blocks of up to `size` images, from number `start` on, in the order of `names`.   -> (<= size, C, H, W) uint8

    decode: can be pickled. most: processes. A bar with `words` on standard error if that is a terminal. Raises what `read` and
    `decode` raise.
    """
    starts = range(start, len(names), size)
    work = ([read(name) for name in names[i : i + size]] for i in starts)
    with bar(words, len(names), start, "images") as advance, mapper(min(cores(), most or WORKERS, len(starts))) as in_order:
        for images in in_order(partial(block, decode), work):
            advance(len(images))
            yield images


def block(decode: Decode, images: Sequence[Encoded]) -> np.ndarray:
    """Images decoded together.   -> (n, C, H, W) uint8"""
    return np.stack([decode(image) for image in images])


@contextmanager
def mapper(workers: int) -> Iterator[Mapper]:
    """`map` by that many processes of their own, in order, at most two tasks ahead for each; plain `map` if one is enough."""
    if workers <= 1 or multiprocessing.current_process().daemon:  # which may have no children
        yield map
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=begin_worker)

    def in_order(decode: Callable[[Sequence[Encoded]], np.ndarray], tasks: Iterable[Sequence[Encoded]]) -> Iterator[np.ndarray]:
        ahead: deque[Future[np.ndarray]] = deque()
        for task in tasks:
            ahead.append(pool.submit(decode, task))
            if len(ahead) >= 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    try:
        yield in_order
    finally:
        pool.shutdown(cancel_futures=True)


def begin_worker() -> None:
    """Ctrl-C is for the parent, which ends its workers; and a worker ends with its parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
