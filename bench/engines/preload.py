"""The modules that workers need, by name: a process imports them while the command itself still does. Nothing here loads torch."""

import pkgutil

import bench.datasets
import bench.runs
import metrics
import models

PACKAGES = (metrics, models, bench.datasets, bench.runs)
WORK = "bench.engines.local"  # of the engines the one whose workers these are


def preloaded() -> list[str]:
    """Every module of the packages that runs are made of."""
    found = (info for package in PACKAGES for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
    return [*(info.name for info in found if not info.ispkg), WORK]
