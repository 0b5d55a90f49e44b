"""Feature networks of a dataset: their files, and a cache of what they make of the images that all runs share.

<data root>/weights/    files of weights: Inception's, <timm model>.safetensors, classifier-<dataset>.safetensors
<out>/runs/.features/   features of test and training images, from which every statistic follows
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from bench.files import write
from bench.suites.schema import canonical
from metrics.features import inception, lite0
from metrics.features.backbone import backbone
from metrics.features.classifier import SAME_IMAGES, classifier
from metrics.features.network import Network, content_hash, eight_bit
from metrics.features.pca import IMAGES, pca
from metrics.fixed_subset import subset
from metrics.metric import Unavailable

FORMAT = 2  # of cached files; a change computes them anew
KEY, HASH = "key", "sha256"  # of their metadata: what they are features of, and what they are
TIMM = "timm:"


class FeatureNetworks:
    """The networks of one dataset, each made when first asked for."""

    def __init__(self, dataset: str, train: Tensor, levels: int, weights: Path, cache: Path | None):
        """train: (N, C, H, W) uint8, values 0..levels, on the device where networks run."""
        self.dataset, self.train, self.levels, self.weights, self.cache = dataset, train, levels, weights, cache
        self.device = train.device
        self.made: dict[str, Network] = {}
        self.absent: dict[str, str] = {}  # reasons: an exception that is raised again and again holds ever more frames

    def network(self, name: str) -> Network:
        """`pca`, `classifier`, `inception-tf`, `lite0`, `timm:<model>`; Unavailable without its weights."""
        if name in self.absent:
            raise Unavailable(self.absent[name])
        if name not in self.made:
            try:
                self.made[name] = self.make(name)
            except Unavailable as reason:
                self.absent[name] = str(reason)
                raise
        return self.made[name]

    def make(self, name: str) -> Network:
        """A network by its name; ValueError for a name of none."""
        if name.startswith(TIMM):
            return backbone(name.removeprefix(TIMM), self.weights, self.device)
        kinds: dict[str, Callable[[], Network]] = {
            "pca": lambda: pca(eight_bit(subset(self.train, IMAGES).float() / self.levels)),
            "classifier": partial(classifier, SAME_IMAGES.get(self.dataset, self.dataset), self.weights, self.device),
            inception.NAME: partial(inception.inception, self.weights, self.device),
            lite0.NAME: partial(lite0.lite0, self.weights, self.device),
        }
        if name not in kinds:
            raise ValueError(f"unknown feature network {name!r}; known: {', '.join(kinds)}, {TIMM}<model>")
        return kinds[name]()

    def protocol(self, network: str) -> str:
        """What a protocol says of a network."""
        return self.network(network).protocol

    def of(self, network: str, images: Tensor, keep: bool) -> Tensor:
        """Features of images; from the cache, or for it, if they are to be kept.   (N, C, H, W) uint8 -> (N, D) float32"""
        net = self.network(network)
        if not keep or self.cache is None:
            return net.features(images)
        key = canonical([FORMAT, net.name, net.weights, net.resize, len(images), content_hash(images)])
        path = self.cache / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
        found = cached(path, key, len(images))
        if found is None:
            found = net.features(images)
            about = {KEY: key, HASH: content_hash(found)}
            write(path, safetensors.torch.save({"features": found.cpu().contiguous()}, about))
        return found.to(self.device)


def cached(path: Path, key: str, count: int) -> Tensor | None:
    """The features in a file of the cache; None if it is absent, damaged or of another key.   -> (count, D)"""
    try:
        with safetensors.safe_open(path, "pt") as file:
            features, about = file.get_tensor("features"), file.metadata()
            sound = about[KEY] == key and len(features) == count and about[HASH] == content_hash(features)
            return features if sound else None
    except (OSError, safetensors.SafetensorError, KeyError, TypeError):
        return None
