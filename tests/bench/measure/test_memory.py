"""10,000 pairs of 64×64 on lite0: bounded memory and CPU time; memory does not grow with the number of blocks.

In the default run, 1,200 pairs without a network: what is under way, which is most of it.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from bench.environment import peak_memory_mib, reset_peak_memory
from bench.measure.collect import collect_pairs
from bench.measure.image_sets import ImageSet, regrouped
from bench.measure.networks import Chosen
from metrics.features import lite0

CODE = """
import sys
import torch
from bench.environment import peak_memory_mib
from bench.measure.measure import Options, measure
torch.set_num_threads(int(sys.argv[3]))
record = measure(originals=sys.argv[1], reconstructions=sys.argv[2], options=Options(networks=(sys.argv[4],)))
assert record["what"]["count"] == int(sys.argv[5])
print(peak_memory_mib(torch.device("cpu")))
"""


def peak(folder: Path, n: int, network: str, threads: int, environment: Mapping[str, str] = MappingProxyType({})) -> tuple[float, float]:
    """MiB at most without mapped files, and seconds of CPU, of a process that measures so many pairs."""
    random = np.random.RandomState(0)
    for name in ("a", "b"):
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (n, 64, 64, 3))
        for start in range(0, n, 1000):
            file[start : start + 1000] = random.randint(0, 255, (min(1000, n - start), 64, 64, 3))
        file.flush()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    arguments = [str(folder / "a.npy"), str(folder / "b.npy"), str(threads), network, str(n)]
    command, env = [sys.executable, "-c", CODE, *arguments], {**os.environ, **environment}
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=290, env=env)
    assert run.returncode == 0, run.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(run.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def made(n: int, seed: int) -> ImageSet:
    """Noise that is made while it passes."""

    def blocks() -> Iterator[torch.Tensor]:
        noise = torch.Generator().manual_seed(seed)
        for _ in range(n // 50):
            yield torch.randint(0, 256, (50, 3, 64, 64), generator=noise, dtype=torch.uint8)

    return ImageSet("made", "array", n, (3, 64, 64), blocks)


def test_what_is_under_way_is_a_small_part_of_the_images() -> None:
    """1,200 pairs are 118 MB as real numbers, and their errors in float64 take 20 times a part of 100."""
    cpu = torch.device("cpu")
    reset_peak_memory(cpu)
    before = peak_memory_mib(cpu)
    if before is None:
        pytest.skip("this system does not say what memory a process had")
    found = collect_pairs(made(1200, 1), made(1200, 2), Chosen({}, pixels=False), 10_000, cpu)
    after = peak_memory_mib(cpu)
    assert after is not None
    assert len(found.errors.sse) == len(found.psnr) == len(found.originals.collected.sharpness) == 1200
    assert after - before < 600  # 877 in blocks of 1,000, whose gaps are kept from one to the next


def test_blocks_are_of_one_size_and_what_is_left_holds_nothing_else() -> None:
    rows = torch.arange(23)[:, None]
    found = list(regrouped(iter(rows.split([4, 1, 9, 9])), 5))
    assert [len(block) for block in found] == [5, 5, 5, 5, 3]
    assert torch.equal(torch.cat(found), rows)
    assert found[-1].untyped_storage().nbytes() == 3 * 8
    whole = torch.zeros(5, 1)
    assert next(regrouped(iter([whole]), 5)).data_ptr() == whole.data_ptr()  # not copied


@pytest.mark.slow
def test_ten_thousand_pairs(tmp_path: Path) -> None:
    pytest.importorskip(lite0.PACKAGE)
    memory, seconds = peak(tmp_path, 10_000, "lite0", 1)
    print(f"{memory:.0f} MiB, {seconds:.0f} s of CPU")
    assert memory < 2048
    assert seconds < 400  # of CPU, whatever else the machine does: 120 are a minute of two cores


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    own = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # what is freed is the system's at once: no gaps, whose size is another in each process
    small, large = (peak(tmp_path, n, "pixels", 1, own)[0] for n in (4000, 8000))  # of fewer than 3,072 there is no covariance
    rows = 2 * 4000 * 3072 * 4 / 2**20  # of pixels of both sides, which are kept
    assert 0.9 * rows < large - small < 1.2 * rows  # 94 MiB; the images as real numbers are 375 more
