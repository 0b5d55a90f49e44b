"""Random streams of a run, and its batches: functions of seed and step alone, so that a resumed run sees the same."""

import hashlib

import torch
from torch import Tensor

AHEAD = 2**19  # bytes of batches that are gathered at once, if one is smaller


def derive(seed: int, *words: object) -> int:
    """An independent seed for each use of a run's seed."""
    return int.from_bytes(hashlib.sha256(repr((seed, *words)).encode()).digest()[:7], "big")


def generator(device: torch.device, seed: int, *words: object) -> torch.Generator:
    """A random stream of its own."""
    return torch.Generator(device).manual_seed(derive(seed, *words))


def scaled(images: Tensor, levels: int) -> Tensor:
    """What a method sees of a dataset: pixels in [0, 1] of uint8 images; signals, float32, as they are.   (B, ...) -> (B, ...)"""
    return images if images.is_floating_point() else images.float().div_(levels)  # of a copy, never of the data themselves


class Batches:
    """Images on the device as uint8, signals as float32, shuffled anew at each epoch by the run's seed.

    The last partial batch is dropped (SPEC T42).
    """

    def __init__(self, images: Tensor, levels: int, batch_size: int, seed: int):
        self.images, self.levels, self.batch_size, self.seed = images, levels, batch_size, seed
        self.per_epoch = len(images) // batch_size
        self.at_once = max(1, AHEAD // (4 * batch_size * images[0].numel()))  # small batches are gathered several at a time
        self.orders: dict[int, tuple[int, Tensor]] = {}  # of each stream: the epoch, and its permutation
        self.ready: dict[int, tuple[tuple[int, int], tuple[Tensor, ...]]] = {}  # of each stream: which batches, and they

    def at(self, step: int, stream: int = 0) -> Tensor:
        """The batch of a step, a function of seed, step and stream alone.   -> (B, C, H, W) float32

        Streams are independent shuffles, for players that need more than one batch a step.
        """
        epoch, position = divmod(step, self.per_epoch)
        if self.at_once == 1:
            return self.gather(epoch, position, stream)
        several, place = divmod(position, self.at_once)
        if stream not in self.ready or self.ready[stream][0] != (epoch, several):
            self.ready[stream] = (epoch, several), self.gather(epoch, several, stream).split(self.batch_size)
        return self.ready[stream][1][place].clone()  # memory of its own, aligned: the same products have other bits where it is not

    def gather(self, epoch: int, several: int, stream: int) -> Tensor:
        """`at_once` batches of an epoch that follow each other, as far as it has so many.   -> (at_once B, C, H, W) float32"""
        if stream not in self.orders or self.orders[stream][0] != epoch:
            self.orders[stream] = epoch, self.permutation("order", stream, epoch) if stream else self.permutation("order", epoch)
        size, whole = self.at_once * self.batch_size, self.per_epoch * self.batch_size
        index = self.orders[stream][1][several * size : min((several + 1) * size, whole)]
        return scaled(self.images.index_select(0, index), self.levels)  # the values of images[index], in a third of its time

    def permutation(self, *words: object) -> Tensor:
        """A shuffle of the images, by the seed and those words.   -> (N,)"""
        shuffle = generator(torch.device("cpu"), self.seed, *words)
        return torch.randperm(len(self.images), generator=shuffle).to(self.images.device)

    def draw_images(self, epoch: int, n: int) -> Tensor:
        """Up to n images at random, for what is fitted between epochs.   -> (n, C, H, W) float32"""
        return scaled(self.images.index_select(0, self.permutation("some", epoch)[:n]), self.levels)
