"""The Feature Likelihood Divergence: a loop over samples, images and steps; what copies, noise and lost modes do to it."""

import math

import pytest
import torch
from small_methods import normal, rows

from metrics import feature_likelihood as likelihood
from metrics.feature_likelihood import METRICS_ON_REQUEST, fitted_widths, fld, fld_gap, log_density, scaled, surprise
from metrics.metric import Unavailable


def gaussian(x: list[float], centre: list[float], log_variance: float, scale: float = 1.0) -> float:
    """N(x; centre, σ² I), of squared distances times `scale`."""
    square = scale * sum((a - b) ** 2 for a, b in zip(x, centre, strict=True))
    return math.exp(-square / (2 * math.exp(log_variance))) / (2 * math.pi * math.exp(log_variance)) ** (len(x) / 2)


def looped_widths(centres: list[list[float]], train: list[list[float]]) -> list[float]:
    """By Adam's formulas and the gradient written out: of -log p(x) by log σ_j² it is the share of j in p(x) times (D - d²/σ_j²)/2."""
    dim, m, n = len(train[0]), len(centres), len(train)
    mean = [sum(column) / n for column in zip(*train, strict=True)]
    nearest = [min(sum((a - b) ** 2 for a, b in zip(x, c, strict=True)) for x in train) for c in centres]
    widths = [*(math.log((square + 1e-3) / dim) for square in nearest), 0.0]  # the last is that of the mean image
    first, second = [0.0] * (m + 1), [0.0] * (m + 1)
    for step in range(1, 51):
        gradient = [0.0] * (m + 1)
        for x in train:
            parts = [gaussian(x, c, widths[j]) / m for j, c in enumerate(centres)] + [gaussian(x, mean, widths[m], 0.81)]
            for j, part in enumerate(parts):
                square = sum((a - b) ** 2 for a, b in zip(x, [*centres, mean][j], strict=True)) * (0.81 if j == m else 1.0)
                gradient[j] += part / sum(parts) * (dim - square / math.exp(widths[j])) / 2 / n / dim
        for j, slope in enumerate(gradient):
            first[j], second[j] = 0.9 * first[j] + 0.1 * slope, 0.999 * second[j] + 0.001 * slope**2
            step_size = first[j] / (1 - 0.9**step) / (math.sqrt(second[j] / (1 - 0.999**step)) + 1e-8)
            widths[j] -= 0.5 * step_size
        widths[:m] = [min(max(width, -40.0), 20.0) for width in widths[:m]]
    return widths[:m]


def test_widths_and_densities_are_those_of_loops() -> None:
    centres, train = normal(4, 3, seed=1).double(), normal(6, 3, seed=2).double()
    widths = fitted_widths(centres, train)
    assert widths.tolist() == pytest.approx(looped_widths(rows(centres), rows(train)), rel=1e-6)
    found = log_density(train, centres, widths)
    for x, value in zip(rows(train), found.tolist(), strict=True):
        parts = [gaussian(x, c, width) for c, width in zip(rows(centres), widths.tolist(), strict=True)]
        assert value == pytest.approx(math.log(sum(parts) / 4), rel=1e-9)
    assert surprise(train, centres, widths).item() == pytest.approx(-100 * found.mean().item() / 3)


def test_it_is_the_surprise_less_that_of_half_of_the_training_images() -> None:
    train, test, samples = normal(40, 3, seed=1), normal(30, 3, seed=2), normal(20, 3, seed=3)
    sets = scaled(train, test, samples)
    assert sets.test.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert sets.test.std(0).tolist() == pytest.approx([1, 1, 1])
    chosen = likelihood.subset_indices(40, 20)
    others = [i for i in range(40) if i not in chosen.tolist()]
    one, other = sets.train[chosen], sets.train[others]
    floor = surprise(sets.test, one, fitted_widths(one, other))
    widths = fitted_widths(sets.samples, sets.train)
    assert fld(train, test, samples).item() == pytest.approx((surprise(sets.test, sets.samples, widths) - floor).item())
    gap = surprise(sets.train, sets.samples, widths) - surprise(sets.test, sets.samples, widths)
    assert fld_gap(train, test, samples).item() == pytest.approx(gap.item())


DIM = 10
TRAIN, TEST, NEW = normal(400, DIM, seed=1), normal(300, DIM, seed=2), normal(300, DIM, seed=3)


def test_copies_widen_the_gap_and_what_is_worse_otherwise_does_not() -> None:
    copied = torch.cat([TRAIN[:60], NEW[60:]])
    noisy, narrow = NEW + normal(300, DIM, seed=4), NEW * torch.tensor([0.3] * 5 + [1.0] * 5)
    assert fld_gap(TRAIN, TEST, copied) < fld_gap(TRAIN, TEST, NEW) - 20
    assert fld_gap(TRAIN, TEST, TRAIN[:300]) < -1000
    assert fld(TRAIN, TEST, noisy) > fld(TRAIN, TEST, NEW) + 1
    assert fld(TRAIN, TEST, NEW[:30]) > fld(TRAIN, TEST, NEW) + 1
    assert fld(TRAIN, TEST, narrow) < fld(TRAIN, TEST, NEW), "its bias: wide Gaussians stand for what such samples lack"
    for worse in (noisy, narrow, NEW[:30]):
        assert abs(fld_gap(TRAIN, TEST, worse) - fld_gap(TRAIN, TEST, NEW)) < 5
    assert abs(fld(TRAIN, TEST, NEW)) < 5  # as good as training images


def test_units_of_features_do_not_matter_and_one_that_is_constant_is_no_division_by_zero() -> None:
    scale, shift = torch.rand(DIM) + 0.1, normal(1, DIM)
    expected = fld(TRAIN.double(), TEST.double(), NEW.double())
    moved = (rows_.double() * scale + shift for rows_ in (TRAIN, TEST, NEW))
    assert fld(*moved).item() == pytest.approx(expected.item(), rel=1e-6)
    train, test, samples = (torch.cat([rows_, torch.full((len(rows_), 1), 3.0)], 1) for rows_ in (TRAIN, TEST, NEW))
    assert math.isfinite(fld(train, test, samples).item())


@pytest.mark.parametrize(("bad", "words"), [(torch.full((5, DIM), math.nan), "5 of 5 rows"), (torch.zeros(3, DIM), "at least 4 images")])
def test_what_is_no_set_of_features_is_refused(bad: torch.Tensor, words: str) -> None:
    for sets in ((bad, TEST, NEW), (TRAIN, bad, NEW), (TRAIN, TEST, bad)):
        for of in (fld, fld_gap):
            with pytest.raises(Unavailable, match=words):
                of(*sets)


def test_each_network_has_the_divergence_and_the_gap_of_both_kinds_of_samples() -> None:
    names = [metric.name for metric in METRICS_ON_REQUEST]
    assert names[:4] == ["fld_classifier_pz", "fld_gap_classifier_pz", "fld_classifier_qz", "fld_gap_classifier_qz"]
    assert {"fld_inception_pz", "fld_dinov2_pz", "fld_lite0_qz"} < set(names)
    assert {metric.better for metric in METRICS_ON_REQUEST if "gap" in metric.name} == {None}
