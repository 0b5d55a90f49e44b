"""A dataset on the device where methods are trained and measured, with what is computed once for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from bench.datasets.dataset import Split, Values
from bench.evaluation.feature_views import Features
from metrics.reconstruction import PCA_VALUES, Baselines, mean_image_sse, pca_sse


@dataclass(frozen=True, eq=False)
class DeviceDataset:
    """Images or signals of two splits, as integers 0..levels or as they are."""

    train: Tensor  # (N, C, H, W) uint8, or float32 for signals
    test: Tensor  # those held out from training, the validation images of a run that has them
    levels: int
    values: Values = "unit"
    held_out: Split = "test"  # what `test` holds
    networks: Features | None = None  # that see these images; None for signals
    factors: Mapping[str, Tensor] = field(default_factory=dict)  # by split, (N, K) int64, where there are factors of variation
    sha256: str = ""
    known: dict[int, Baselines] = field(default_factory=dict, init=False, repr=False)  # by latent size

    def split(self, name: Literal["train", "test"]) -> Tensor:
        """The images of a split.   -> (N, C, H, W)"""
        return self.train if name == "train" else self.test

    def baselines(self, components: int) -> Baselines:
        """Errors of the mean image and of PCA with so many components, computed when first asked for."""
        large = self.train[0].numel() > PCA_VALUES
        size = 0 if large else components  # the mean image is one for all sizes
        if size not in self.known:
            self.known[size] = (
                Baselines(mean_image_sse(self.train, self.test, self.levels), None, None)
                if large
                else pca_sse(self.train.flatten(1) / self.levels, self.test.flatten(1) / self.levels, size)
            )
        return self.known[size]
