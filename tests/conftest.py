"""What every test stands on: one thread per process, and costly tests that are skipped where everyone sees it."""

import os
import re

import pytest

# before torch is imported: workers must not fight over the cores, and bit-equal runs need one thread count
os.environ.setdefault("OMP_NUM_THREADS", "1")

COSTLY = ("slow", "gpu", "network", "ray", "slurm")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test marked with one of these is skipped unless `-m` names its marker."""
    chosen = set(re.findall(r"\w+", config.option.markexpr))
    for item in items:
        for marker in COSTLY:
            if item.get_closest_marker(marker) and marker not in chosen:
                item.add_marker(pytest.mark.skip(reason=f"{marker}; run it with -m {marker}"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test does to a run stands in the report of pytest, for docs/reliability.md."""
    for mark in item.iter_markers("fault"):
        item.user_properties += [("fault", words) for words in mark.args]
