"""Distances between sets of images on the features of each network; every value's protocol names network, hash, resize, counts.

Heusel et al., arXiv:1706.08500, Eq. 6 (Fréchet); Bińkowski et al., arXiv:1801.01401 (kernel distance); Kynkäänniemi et al.,
arXiv:1904.06991 (precision, recall); Naeem et al., arXiv:2002.09797 (density, coverage); SPEC 5.1, 5.6. The same Fréchet
distance is `fid_*` on Inception's features and `frechet_<network>_*` on any other.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from metrics.features import inception
from metrics.features.backbone import DINOV2
from metrics.frechet import BIAS, distance
from metrics.kernel_distance import kernel_distance
from metrics.metric import Metric
from metrics.precision_recall import K_DENSITY, K, Scores

FRECHET, KERNEL, KYNKAANNIEMI = "arXiv:1706.08500 Eq. 6", "arXiv:1801.01401 section 4", "arXiv:1904.06991 Eq. 1-2"
NAEEM = "arXiv:2002.09797 Eq. 3-4"
GAP_BIAS = "small: that of two Fréchet distances at one count, which largely cancels"
KERNEL_BIAS = "none: a U-statistic, which may fall below 0"
PRECISION_RECALL_BIAS = "the balls of nearest neighbours shrink as counts grow, so values move with both counts; compare at one count only"
SAMPLES = {"pz": ("samples", "decoded prior draws"), "qz": ("density_samples", "decoded draws of the density fitted to its codes")}


def score(kind: str) -> Callable[[Scores], float]:
    """One of the four scores of samples among test images."""
    return lambda scores: float(getattr(scores, kind))


class Family:
    """The metrics on one network's features."""

    def __init__(self, network: str, label: str):
        """network: as views are named, `timm:<model>`; label: as metrics are, `dinov2`."""
        self.network, self.label, self.is_inception = network, label, network == inception.NAME

    def frechet_name(self, of: str) -> str:
        """`fid_pz`, or `frechet_classifier_pz` on any network but Inception."""
        return f"fid_{of}" if self.is_inception else f"frechet_{self.label}_{of}"

    def metric(
        self,
        name: str,
        fn: Callable[..., Any],
        views: tuple[str, ...],
        words: str,
        source: str,
        *,
        better: Literal["lower", "higher"] = "lower",
        bias: str = BIAS,
    ) -> Metric:
        """One metric of views of this network."""
        return Metric(
            name=name,
            fn=fn,
            needs=tuple(f"{view}.{self.network}" for view in views),
            protocol=words,
            source=source,
            better=better,
            group=f"samples, {self.label} features",
            details=(f"protocol.{self.network}", "counts"),
            bias=bias,
        )

    def frechet(self) -> list[Metric]:
        """Fréchet distances of samples, reconstructions and training images to the test images, and the gap."""

        def one(of: str, side: str, against: str) -> Metric:
            words = f"Fréchet distance of {{held_out}} images and {against}"
            return self.metric(self.frechet_name(of), distance, ("test.gaussian", f"{side}.gaussian"), words, FRECHET)

        floor = one("floor", "train", "random training images")
        gap = self.metric(
            self.frechet_name("gap"),
            lambda test, samples, reconstructions: distance(test, samples) - distance(test, reconstructions),
            ("test.gaussian", "samples.gaussian", "reconstructions.gaussian"),
            f"{self.frechet_name('pz')} minus {self.frechet_name('reconstruction')}",
            "SPEC 5.1",
            bias=GAP_BIAS,
        )
        return [
            *(one(of, side, against) for of, (side, against) in SAMPLES.items()),
            one("reconstruction", "reconstructions", "their reconstructions from one noise draw"),
            gap,
            replace(floor, better=None, group="reference", details=(floor.details[0], "counts.train")),
        ]

    def kernel(self) -> list[Metric]:
        """Kernel distances of samples: `kid_*` on Inception's features only."""
        stem = "kid" if self.is_inception else f"kernel_distance_{self.label}"
        words = "unbiased MMD² with the kernel (x·y/D + 1)³ over all pairs of {held_out} images and "
        return [
            self.metric(f"{stem}_{of}", kernel_distance, ("test.features", f"{side}.features"), words + against, KERNEL, bias=KERNEL_BIAS)
            for of, (side, against) in SAMPLES.items()
        ]

    def precision_recall(self) -> list[Metric]:
        """Precision, recall, density, coverage of samples."""
        kinds = [("precision", K, KYNKAANNIEMI), ("recall", K, KYNKAANNIEMI), ("density", K_DENSITY, NAEEM), ("coverage", K_DENSITY, NAEEM)]
        return [
            self.metric(
                f"{kind}_{self.label}_{of}",
                score(kind),
                (f"{side}.precision_recall",),
                f"{kind}, k = {k}, of {against} among {{held_out}} images",
                source,
                better="higher",
                bias=PRECISION_RECALL_BIAS,
            )
            for kind, k, source in kinds
            for of, (side, against) in SAMPLES.items()
        ]

    def all(self) -> list[Metric]:
        """Every metric of the family."""
        return [*self.frechet(), *self.kernel(), *self.precision_recall()]


METRICS = [
    *Family("classifier", "classifier").all(),
    *Family("pca", "pca").frechet(),
    *Family(inception.NAME, "inception").all(),
    *Family(f"timm:{DINOV2}", "dinov2").all(),
]
