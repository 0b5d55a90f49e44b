"""The feature networks that a measurement takes: those whose weights are here, or those that were asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bench.errors import UserError, unknown
from bench.evaluation.feature_networks import FeatureNetworks
from metrics.features import inception, lite0
from metrics.features.backbone import DINOV2
from metrics.features.network import COMPILE_FROM, Network
from metrics.features.scores import Family
from metrics.metric import Unavailable

WEIGHTS = "weights"  # a folder of the data root
PIXELS = "pixels"
OF_A_DATASET = ("classifier", "pca")  # networks that a dataset brings: trained on its labels, fitted to its training images
FAMILIES = {
    family.network: family
    for family in (
        Family(lite0.NAME, lite0.NAME),
        Family(inception.NAME, "inception"),
        Family(f"timm:{DINOV2}", "dinov2"),
        Family("classifier", "classifier"),
        Family("pca", "pca"),
    )
}
KNOWN = (PIXELS, *FAMILIES)


@dataclass(frozen=True)
class Chosen:
    """Networks by their names, and why others are absent."""

    networks: Mapping[str, Network]
    pixels: bool = True
    absent: Mapping[str, str] = field(default_factory=dict)

    def protocol(self, network: str) -> str:
        """What a protocol says of a network; Unavailable where it is absent."""
        if network not in self.networks:
            raise Unavailable(self.absent.get(network, "it was not asked for"))
        return self.networks[network].protocol


def choose(names: Sequence[str], source: FeatureNetworks) -> Chosen:
    """Those networks; all that are here for (). UserError for a name that is none, or one that is not here.

    source: of the dataset that is the reference, or of none.
    """
    for name in names:
        if name not in KNOWN:
            raise UserError(f"--networks: {unknown('network', name, KNOWN)}")
    found, absent = dict[str, Network](), dict[str, str]()
    for name in names or FAMILIES:
        if name == PIXELS:
            continue
        try:
            if name in OF_A_DATASET and not source.dataset:
                raise Unavailable(f"{name} features are a dataset's own; measure against one: --against dataset:NAME:test")
            found[name] = source.network(name)
        except Unavailable as reason:
            if names:
                raise UserError(f"--networks {name}: {reason}") from None
            absent[name] = str(reason)
    return Chosen(found, not names or PIXELS in names, absent)


def without_dataset(data_root: Path, device: torch.device) -> FeatureNetworks:
    """Networks that need no dataset."""
    return FeatureNetworks("", torch.zeros(0, 1, 1, 1, dtype=torch.uint8, device=device), 255, data_root / WEIGHTS, None)


@torch.no_grad()
def features_of(network: Network, images: Tensor, among: int) -> Tensor:
    """Features of some of `among` images: a network is compiled by how many there are in all.   (n, C, H, W) uint8 -> (n, D)"""
    whole = network.compiled if network.compiled and among >= COMPILE_FROM else network.rows
    parts = images.split(network.batch)
    return torch.cat([(whole if len(part) == network.batch else network.rows)(part).float() for part in parts])
