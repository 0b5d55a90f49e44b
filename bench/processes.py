"""What worker processes have in common."""

import multiprocessing
import os


def end_with_parent() -> None:
    """Wait until the process that started this one has ended, however it did, then end at once; what was saved remains."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
