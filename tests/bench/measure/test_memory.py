"""10,000 pairs of 64×64 on lite0: bounded memory, and about a minute on two cores; memory does not grow with the number of blocks."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metrics.features import lite0

CODE = """
import resource, sys
from pathlib import Path
import torch
from bench.measure.measure import Options, measure
torch.set_num_threads(int(sys.argv[3]))
record = measure(originals=sys.argv[1], reconstructions=sys.argv[2], options=Options(networks=(sys.argv[4],)))
assert record["what"]["count"] == int(sys.argv[5])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, n: int, network: str, threads: int) -> tuple[int, float]:
    """MiB at most, and seconds, of a process that measures so many pairs."""
    random = np.random.RandomState(0)
    for name in ("a", "b"):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (n, 64, 64, 3))
        for start in range(0, n, 1000):
            file[start : start + 1000] = random.randint(0, 255, (min(1000, n - start), 64, 64, 3))
        file.flush()
    begun = time.monotonic()
    arguments = [str(folder / "a.npy"), str(folder / "b.npy"), str(threads), network, str(n)]
    run = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False, timeout=290)
    assert run.returncode == 0, run.stderr
    return int(run.stdout), time.monotonic() - begun


@pytest.mark.slow
def test_ten_thousand_pairs(tmp_path: Path) -> None:
    pytest.importorskip(lite0.PACKAGE)
    memory, seconds = peak(tmp_path, 10_000, "lite0", 2)
    print(f"{memory} MiB, {seconds:.0f} s")
    assert memory < 2048
    assert seconds < 120  # 60 on two cores that do nothing else


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    small, large = (peak(tmp_path, n, "pixels", 1)[0] for n in (2000, 8000))
    assert large - small < 4 * 6000 * 3072 * 4 / 2**20  # rows of pixels of both sides, once in parts and once whole
