"""Files of random weights of models of timm, and images of noise."""

import hashlib
from functools import lru_cache
from pathlib import Path

import safetensors.torch
import torch
from small_methods import noise
from torch import Tensor


def random_backbone(folder: Path, model: str, seed: int = 0) -> str:
    """Random weights of a model of timm; -> sha256 of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{model}.safetensors"
    path.write_bytes(random_weights(model, seed))
    return sha256(path)


@lru_cache(maxsize=2)  # of those that tests take in turn; the largest has 90 MB
def random_weights(model: str, seed: int) -> bytes:
    """What such a file holds."""
    import timm  # with half a compiler, which takes seconds: only where it is used, as in all tests

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return safetensors.torch.save(timm.create_model(model, pretrained=False).state_dict())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bytes_of(n: int, seed: int, shape: tuple[int, int, int] = (1, 8, 8), low: int = 0, high: int = 256) -> Tensor:
    """-> (n, *shape) uint8"""
    return torch.randint(low, high, (n, *shape), generator=noise(seed), dtype=torch.uint8)
