"""Feature networks: what turns images into the rows that distances between sets of images compare (SPEC 5.6).

A network is a protocol, so its words hold all that changes a number: its name, its weights' hash, how it resizes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from metrics.metric import Unavailable

COMPILE_FROM = 3000  # images; compiling a large network takes as long as it then saves on about 2,000 of them, on one core


@dataclass(frozen=True)
class Network:
    """Features of 8-bit images."""

    name: str  # classifier:digits
    weights: str  # sha256 of the file of weights, or of what they were fitted to
    resize: str  # from the image to the network's input
    rows: Callable[[Tensor], Tensor]  # (B, C, H, W) uint8 -> (B, D) float32
    batch: int = 500  # images at a time
    compiled: Callable[[Tensor], Tensor] | None = None  # the same for whole batches of large sets, equal but for rounding

    @property
    def words(self) -> str:
        """What a protocol says of it."""
        return f"features {self.name}, sha256 {self.weights[:16]}, {self.resize}"

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """In batches.   (N, C, H, W) uint8 -> (N, D) float32"""
        whole = self.compiled if self.compiled and len(images) >= COMPILE_FROM else self.rows
        return torch.cat([(whole if len(part) == self.batch else self.rows)(part).float() for part in images.split(self.batch)])


def compiled(rows: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Compiled when it is first called; as it is where this machine cannot compile."""
    chosen: list[Callable[[Tensor], Tensor]] = [torch.compile(rows, dynamic=False)]

    def run(images: Tensor) -> Tensor:
        try:
            return chosen[0](images)
        except RuntimeError:  # no compiler, for one; any other reason is met again below
            chosen[0] = rows
            return rows(images)

    return run


def folded(net: nn.Module) -> nn.Module:
    """In evaluation mode, each convolution with the batch norm behind it in one, and channels last: equal but for rounding."""
    for block in net.modules():
        conv, norm = getattr(block, "conv", None), getattr(block, "bn", None)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            block.conv, block.bn = fuse_conv_bn_eval(conv.eval(), norm.eval()), nn.Identity()
    net.to(memory_format=torch.channels_last)
    return net


def eight_bit(x: Tensor) -> Tensor:
    """Images as files hold them: clipped to [0, 1], rounded to 0..255.   (...) float -> (...) uint8"""
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def colour(images: Tensor) -> Tensor:
    """Grey images with three equal channels.   (B, 1 or 3, H, W) -> (B, 3, H, W)"""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def content_hash(images: Tensor) -> str:
    """sha256 of shape and values.   (N, C, H, W) uint8"""
    digest = hashlib.sha256(f"{tuple(images.shape)}".encode())
    for part in images.split(1000):
        digest.update(part.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def verified(path: Path, expected: str | None) -> str:
    """sha256 of a file of weights; Unavailable where it is not there or not the one expected. Reasons name no folder: records keep them."""
    if not path.is_file():
        raise Unavailable(f"{path.name} is not in the folder weights of the data root")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected not in (None, found):
        raise Unavailable(f"{path.name} in the folder weights of the data root has sha256 {found[:16]}, expected {expected[:16]}")
    return found
