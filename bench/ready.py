"""Importing this imports all that a worker needs: done once, in the process that workers are forks of."""

from bench import sweep
from bench.registry import BUILT_IN, modules

__all__ = ["sweep"]

for package in BUILT_IN:
    list(modules(package))
