"""Reading in `python -m bench speed`: an epoch of CelebA batches from image files as a DataLoader decodes them, and from the pack."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.datasets.batches import Batches
from bench.datasets.storage import celeba_files as faces
from bench.datasets.storage import decoding, pack
from bench.datasets.storage.celeba_files import View
from bench.datasets.storage.image_files import Encoded
from bench.processes import cores

VIEW, BATCH = View((19, 39, 159, 179), 64), 100  # of celeba64_140
DECODED, MEMORY, DISK = "DataLoader", "latentbench, packed", "latentbench, packed, from disk"

Epoch = Callable[[], Iterator[Tensor]]  # -> (BATCH, 3, 64, 64) float32 in [0, 1], in an order of its own each time


def jpeg(seed: int) -> bytes:
    """A 178×218 image of smooth colour and a little noise: about 9 kB, the real ones have 7 kB on average."""
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
        """-> (3, 64, 64) float32 in [0, 1]"""
        path = self.paths[index]
        return torch.from_numpy(np.ascontiguousarray(faces.face(VIEW, Encoded(path.read_bytes(), path.name)))).float().div_(255)


def packed(root: Path, paths: list[Path]) -> tuple[Tensor, Tensor]:
    """Those files as a dataset's, packed in `root`: held in memory, and mapped from the pack's file.   -> twice (N, 3, 64, 64) uint8"""
    images = decoding.block(partial(faces.face, VIEW), [Encoded(path.read_bytes(), path.name) for path in paths])
    streams = {"train": pack.Stream.of(images), "test": pack.Stream.of(images[:1])}
    memory = pack.load(root, name="faces", convention="", files=(), read=lambda _: streams).train
    mapped = np.load(pack.places(root, "faces", "")[0] / "train.npy", mmap_mode="c")  # never written to, but torch wants to be allowed
    return torch.from_numpy(memory), torch.from_numpy(mapped)


def of_batches(images: Tensor, batch: int) -> Epoch:
    """One epoch after the other, as a run reads them."""
    batches, steps = Batches(images, 255, batch, seed=0), count()
    return lambda: (batches.at(next(steps)) for _ in range(batches.per_epoch))


def epochs(folder: Path, files: int, device: torch.device, batch: int = BATCH) -> dict[str, Epoch]:
    """An epoch of so many images by each implementation, on the device; `folder` gets files and pack.

    Decoding has a process for each core.
    """
    (folder / "images").mkdir()
    paths = [folder / "images" / f"{number:06d}.jpg" for number in range(files)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number))
    memory, mapped = packed(folder, paths)
    loader = DataLoader(Files(paths), batch, shuffle=True, num_workers=cores(), persistent_workers=True)
    disk = of_batches(mapped, batch)
    return {
        DECODED: lambda: (x.to(device) for x in loader),
        MEMORY: of_batches(memory.to(device), batch),
        DISK: lambda: (x.to(device) for x in disk()),
    }
