"""Errors of a reconstruction x̂ of x, per image, with pixels in [0, 1] (SPEC 0.1, 5.1); and of signals, whose values are any.

Sums over the values of an image; means over images are the metrics. Errors of stochastic encoders are taken from one draw
of the noise (the primary number) and from the mean code (`_mean_code`).
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.finite import or_nan
from metrics.metric import Metric, Unavailable

BCE_FLOOR = 1e-6  # x̂ is clamped to [floor, 1 - floor] in reported cross-entropies, so that a saturated pixel costs 13.8 nats


PCA_VALUES = 4096  # of an image; larger ones have no PCA baseline: its covariance would take longer than the run
PART = 1000  # images at a time

NO_CROSS_ENTROPY = "the values are not in [0, 1], so they have no cross-entropy"


class Errors(NamedTuple):
    """Per-image errors of one pass over a split, float64."""

    sse: Tensor  # (N,)
    l1: Tensor  # (N,), mean over values
    bce: Tensor | None  # (N,) nats; None of signals: a cross-entropy is one of values in [0, 1]

    def mean(self, kind: str) -> Tensor:
        """Over the images; Unavailable where the error does not exist.   -> ()"""
        values = getattr(self, kind)
        if values is None:
            raise Unavailable(NO_CROSS_ENTROPY)
        return values.mean()


def squared_error(x: Tensor, x_hat: Tensor) -> Tensor:
    """SSE(x, x̂) = Σ_j (x_j - x̂_j)² of each image.   (B, ...), (B, ...) -> (B,)"""
    return (x - x_hat).square().flatten(1).sum(1)


def bernoulli_nll(x: Tensor, logits: Tensor) -> Tensor:
    """BCE(x, σ(logits)) = -Σ_j [x_j log x̂_j + (1 - x_j) log(1 - x̂_j)], nats, targets as they are.   (B, ...) x2 -> (B,)"""
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)


def errors(x: Tensor, x_hat: Tensor) -> Errors:
    """All three errors of a batch; none of them a number where x̂ is not finite.   (B, ...), (B, ...) -> three (B,)"""
    finite = x_hat.isfinite()  # the clamp would take infinity for the floor
    bounded = torch.where(finite, x_hat, 0).double().clamp(BCE_FLOOR, 1 - BCE_FLOOR)
    bce = F.binary_cross_entropy(bounded, x.double(), reduction="none").flatten(1).sum(1)
    return errors_on_reals(x, x_hat)._replace(bce=bce.masked_fill(~finite.flatten(1).all(1), torch.nan))


def errors_on_reals(x: Tensor, x_hat: Tensor) -> Errors:
    """Those that signals have, whose values are any real numbers.   (B, ...), (B, ...) -> two (B,)"""
    x, x_hat = x.double(), x_hat.double()
    return Errors(squared_error(x, x_hat), (x - x_hat).abs().flatten(1).mean(1), None)


def target_entropy(batches: Iterable[Tensor]) -> Tensor:
    """Mean over images of -Σ_j [x_j log x_j + (1 - x_j) log(1 - x_j)], nats: what no x̂ can have less cross-entropy than (SPEC 5.3).

    batches of (B, ...) in [0, 1] -> (); Unavailable for other values.
    """
    parts = [(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).flatten(1).sum(1) for x in (batch.double() for batch in batches)]
    entropy = -torch.cat(parts).mean()
    if entropy.isnan():  # a logarithm of a value below 0 or above 1
        raise Unavailable(NO_CROSS_ENTROPY)
    return entropy


class Baselines(NamedTuple):
    """Mean SSE of models that need no training."""

    mean_image_test: float
    pca_train: float | None  # None for images that are too large for it
    pca_test: float | None


def pca_sse(train: Tensor, test: Tensor, components: int) -> Baselines:
    """SSE of linear PCA fitted on `train` with that many components, and of the constant mean image (SPEC 2).

    (N, D), (M, D) -> means over images; 0 with as many components as values or more; NaN where values are not finite
    """
    if not (train.isfinite().all() and test.isfinite().all()):
        return Baselines(math.nan, math.nan, math.nan)
    mean = train.mean(0, dtype=torch.float64).to(train.dtype)
    centred, held_out = train - mean, test - mean
    covariance = (centred.T @ centred).double() / len(train)
    directions = torch.linalg.eigh(covariance).eigenvectors[:, max(0, covariance.shape[0] - components) :].to(train.dtype)

    def residual(part: Tensor) -> float:
        if components >= part.shape[1]:
            return 0.0
        return max(0.0, float((part.square().sum(1) - (part @ directions).square().sum(1)).mean()))  # below 0 only by rounding

    return Baselines(float(held_out.square().sum(1).mean()), residual(centred), residual(held_out))


def mean_image_sse(train: Tensor, test: Tensor, levels: int) -> float:
    """Mean SSE of the constant mean training image on `test`, a part of the images at a time, float64 (SPEC 2).

    (N, ...), (M, ...), values in 0 .. levels
    """
    mean = torch.stack([part.double().sum(0) for part in train.split(PART)]).sum(0) / len(train)
    sums = [((part.double() - mean) / levels).square().sum() for part in test.split(PART)]
    return float(torch.stack(sums).sum() / len(test))


KINDS = {
    "rec_sse": ("sse", "", lambda errors: errors.mean("sse")),
    "rec_l1_per_pixel_x100": ("absolute error per value, times 100", "", lambda errors: 100 * errors.mean("l1")),
    "rec_bce_sum": (
        f"cross-entropy, x̂ clamped to [{BCE_FLOOR:g}, 1 - {BCE_FLOOR:g}]",
        "nats",
        lambda errors: errors.mean("bce"),
    ),
}
CODES = {"": ("draw", "one noise draw"), "_mean_code": ("mean", "mean code")}


def reconstruction_metrics() -> list[Metric]:
    """Three errors, on test and train, from one draw and from the mean code."""
    return [
        Metric(
            name=f"{kind}_{named}{suffix}",
            fn=fn,
            needs=(f"{split}.errors.{view}",),
            protocol=f"{words}; all {named} images; {code}; pixels in [0, 1]; batch norm in evaluation mode",
            source="SPEC 5.1, 5.2",
            unit=unit,
            better="lower",
            group="reconstruction" if view == "draw" else "mean code",
        )
        for suffix, (view, code) in CODES.items()
        for kind, (words, unit, fn) in KINDS.items()
        for split, named in (("test", "{held_out}"), ("train", "train"))
    ]


def gap(name: str, field: str, fn_name: str, unit: str = "", factor: int = 1) -> Metric:
    """Test against train of one error, from one draw: the sign is kept, and negative means that test images are easier."""
    combine = {"minus": lambda test, train: factor * (test - train), "ratio": lambda test, train: or_nan(test / train, test, train)}[
        fn_name
    ]
    times = f", times {factor}" if factor != 1 else ""
    return Metric(
        name=name,
        fn=lambda test, train: combine(test.mean(field), train.mean(field)),
        needs=("test.errors.draw", "train.errors.draw"),
        protocol=f"{field} on {{held_out}} {'minus' if fn_name == 'minus' else 'over'} train{times}; one noise draw",
        source="VCAE Table 1; SPEC 5.1",
        unit=unit,
        better="lower",
        group="generalisation",
    )


def reference(name: str, field: str, words: str) -> Metric:
    """A fact of the dataset that locates the methods' errors (SPEC 2)."""

    def value(baselines: Baselines) -> float:
        found: float | None = getattr(baselines, field)
        if found is None:
            raise Unavailable(f"not computed for images of more than {PCA_VALUES} values")
        return found

    return Metric(name, value, ("baselines",), words, "SPEC 2", group="reference")


METRICS = [
    *reconstruction_metrics(),
    Metric(
        name="rec_bce_excess_{held_out}",
        fn=lambda errors, entropy: errors.mean("bce") - entropy,
        needs=("test.errors.draw", "test.entropy"),
        protocol=(
            "rec_bce_sum_{held_out} minus its least value, the entropy of the pixels as probabilities; "
            "all {held_out} images; one noise draw"
        ),
        source="SPEC 5.3",
        unit="nats",
        better="lower",
    ),
    gap("overfit_gap", "sse", "minus"),
    gap("overfit_ratio", "sse", "ratio"),
    gap("overfit_gap_bce", "bce", "minus", "nats"),
    gap("overfit_ratio_bce", "bce", "ratio"),
    gap("overfit_gap_l1", "l1", "minus", factor=100),
    gap("overfit_ratio_l1", "l1", "ratio"),
    reference("mean_image_sse_{held_out}", "mean_image_test", "SSE of the constant mean training image on {held_out}"),
    reference("pca_sse_train", "pca_train", "SSE of linear PCA with the latent size as its components, on train"),
    reference("pca_sse_{held_out}", "pca_test", "SSE of linear PCA with the latent size as its components, on {held_out}"),
]
