"""Feature networks: what turns images into the rows that distances between sets of images compare (SPEC 5.6).

A network is a protocol, so its words hold all that changes a number: its name, its weights' hash, how it resizes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
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
    def protocol(self) -> str:
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
    """Images as files hold them: clipped to [0, 1], rounded to 0..255.   (...) float -> (...) uint8

    ValueError for values that are not finite: as bytes they would look like any other.
    """
    if not x.isfinite().all():
        raise ValueError(f"{int((~x.isfinite()).sum())} of {x.numel()} values are not finite, no byte stands for them")
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def colour(images: Tensor) -> Tensor:
    """Grey images with three equal channels; Unavailable for 2 channels, or more than 3.   (B, 1 or 3, H, W) -> (B, 3, H, W)"""
    if images.shape[1] not in (1, 3):
        raise Unavailable(f"the network takes grey or colour images, not {images.shape[1]} channels")
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def content_hash(images: Tensor) -> str:
    """sha256 of shape and values.   (N, C, H, W) uint8"""
    digest = hashlib.sha256(f"{tuple(images.shape)}".encode())
    for part in images.split(1000):
        digest.update(part.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def verified(path: Path, expected: str | None) -> str:
    """sha256 of a file of weights; Unavailable where it is not there or not the one expected. Reasons name no folder: records keep them."""
    return content_of(path, expected)[1]


def content_of(path: Path, expected: str | None) -> tuple[bytes, str]:
    """The bytes of a file of weights, read once, and their sha256: what is loaded is what was compared. Raises as `verified` does."""
    if not path.is_file():
        raise Unavailable(f"{path.name} is not in the folder weights of the data root")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path.name} in the folder weights of the data root cannot be read: {error.strerror or error}") from None
    found = hashlib.sha256(content).hexdigest()
    if expected not in (None, found):
        raise Unavailable(f"{path.name} in the folder weights of the data root has sha256 {found[:16]}, expected {expected[:16]}")
    return content, found


def tensors_of(path: Path, expected: str | None) -> tuple[dict[str, Tensor], str]:
    """The tensors of a safetensors file by name, and the file's sha256.

    Unavailable for a file that is none (empty, cut short, a pickle, text), and for weights of another type than float32 or
    that are not finite: features of those would be numbers of no network.
    """
    content, digest = content_of(path, expected)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{path.name} ({len(content):,} bytes) is not a whole safetensors file: {shortened(error)}") from None
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.int64):  # batch norms count batches in int64
            raise Unavailable(f"{path.name}: {name} is {str(tensor.dtype).removeprefix('torch.')}, float32 expected")
        if not tensor.isfinite().all():
            raise Unavailable(f"{path.name}: {name} has {int((~tensor.isfinite()).sum()):,} values that are not finite")
    return tensors, digest


def shortened(error: Exception) -> str:
    """An error's message in a line; that of a state that does not fit names hundreds of keys, of which the first say enough."""
    return " ".join(str(error).split())[:300] or type(error).__name__
