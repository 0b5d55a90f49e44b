"""Images/s of an epoch of CelebA batches: from the pack as the harness reads it, and decoding 178 x 218 JPEGs in a DataLoader."""

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.batches import Batches
from bench.datasets import faces, pack
from bench.datasets.faces import Encoded, View

VIEW, BATCH, ROUNDS = View((19, 39, 159, 179), 64), 100, 5


def jpeg(seed: int) -> bytes:
    """A 178 x 218 image of smooth colour and a little noise: about 9 kB, the real ones have 7 kB on average."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (9, 7, 3), np.uint8)).resize(faces.ALIGNED, Image.Resampling.BICUBIC)
    noisy = np.clip(np.asarray(coarse, np.int16) + random.integers(-4, 5, (218, 178, 1)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class Files(Dataset[Tensor]):
    """What a training script without a pack does for each image, each epoch."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        path = self.paths[index]
        return torch.from_numpy(np.ascontiguousarray(faces.face(VIEW, Encoded(path.read_bytes(), path.name)))).float().div_(255)


def shuffled(count: int) -> np.ndarray:
    """(batches, images): an epoch's order."""
    return torch.randperm(count).view(-1, BATCH).numpy()


def ways(folder: Path, count: int) -> dict[str, Callable[[], list[Tensor]]]:
    """An epoch by each way; each gives float batches in [0, 1] in a random order."""
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number))
    album = faces.album(folder)
    after = lambda start: faces.faces(VIEW, album, [path.name for path in paths], "packing", start)
    streams = {split: pack.Stream.continuable((count, 3, 64, 64), "|u1", after) for split in ("train", "test")}
    pack.SMALL, small = 0, pack.SMALL
    train = pack.load(folder.parent, name="faces", convention="", files=(), read=lambda _: streams).train
    pack.SMALL = small
    workers = {"num_workers": faces.cores(), "persistent_workers": True, "multiprocessing_context": "fork"}
    loader = DataLoader(Files(paths), BATCH, shuffle=True, **workers)
    memory = Batches(torch.from_numpy(np.require(train, requirements="W")), 255, BATCH, seed=0)
    return {
        "decoded": lambda: list(loader),
        "packed": lambda: [memory.at(step) for step in range(memory.per_epoch)],
        "packed, from disk": lambda: [torch.from_numpy(train[rows]).float().div_(255) for rows in shuffled(count)],
    }


@pytest.mark.timeout(600)
def test_packed_batches_come_many_times_as_fast(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    count = 200 if benchmark.disabled else 2000
    epochs, seconds = ways(tmp_path / "images", count), dict[str, list[float]]()
    means = {way: torch.cat(epoch()).mean(0) for way, epoch in epochs.items()}  # and the loader's workers have started
    for mean in means.values():
        torch.testing.assert_close(mean, means["decoded"])  # the same images

    def one_of_each() -> None:
        for way, epoch in epochs.items():
            start = time.perf_counter()
            epoch()
            seconds.setdefault(way, []).append(time.perf_counter() - start)

    benchmark.pedantic(one_of_each, rounds=ROUNDS)
    rates = {way: count / statistics.median(took) for way, took in seconds.items()}
    benchmark.extra_info |= {f"{way}, images/s": round(rate) for way, rate in rates.items()}
    if not benchmark.disabled:  # a busy machine is no reason for the tests to fail
        assert rates["packed"] >= (50 if faces.cores() <= 2 else 5) * rates["decoded"]  # decoding has a worker for each core
        assert rates["packed, from disk"] >= 5 * rates["decoded"]
