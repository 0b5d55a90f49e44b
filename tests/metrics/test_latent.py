"""Summed variance, capacity and the distance of codes to the prior."""

import math

import pytest
import torch
from scipy.integrate import quad
from small_methods import P, Q, mmd_by_loops, normal, rows

from metrics.fixed_subset import subset_indices
from metrics.latent import METRICS, Channel, Codes, capacity_bits, channel_capacity, mmd_to_prior, total_variance, variance_target
from metrics.metric import Unavailable, Views, measure
from models.parts.prior import StandardNormal

CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]], dtype=torch.float64)


def test_total_variance_has_the_golden_value_of_divisor_n() -> None:
    assert total_variance(CROSS).item() == pytest.approx(2.5)
    assert CROSS.var(0).sum().item() == pytest.approx(3.3333, abs=1e-4)  # the unbiased one is another number


def test_total_variance_is_the_loops_and_forgets_the_mean() -> None:
    z = normal(7, 3, seed=1)
    total = 0.0
    for column in zip(*rows(z), strict=True):
        mean = sum(column) / 7
        total += sum((value - mean) ** 2 for value in column) / 7
    assert total_variance(z).item() == pytest.approx(total)
    assert total_variance(z + 5).item() == pytest.approx(total)
    assert total_variance(3 * z).item() == pytest.approx(9 * total)


@pytest.mark.parametrize(  # SPEC T6 and section 9
    ("dim", "noise", "bits"),
    [(2, 0.2, 2.32), (2, 0.1, 3.32), (2, 0.01, 6.64), (2, 0.03, 5.06), (16, 0.05, 34.5754), (64, 0.05, 138.3), (6, 0.1, 9.97)],
)
def test_capacity_has_the_papers_values(dim: int, noise: float, bits: float) -> None:
    assert capacity_bits(dim, noise, dim) == pytest.approx(bits, abs=5e-5 if dim == 16 else 0.05 if dim == 64 else 5e-3)


def test_capacity_counts_power_per_dimension() -> None:
    assert capacity_bits(4, 0.25, 4) == 4  # d/2 · log2(1 / ¼)
    assert capacity_bits(4, 0.25, 8) == 6
    assert capacity_bits(4, 0.25, 1) == 0  # all power is noise


@pytest.mark.parametrize(
    ("channel", "reason"),
    [
        (Channel(3, None, 3.0), "learned"),
        (Channel(3, 0.0, 3.0), "adds no noise"),
        (Channel(3, 0.1, None), "no summed variance"),
    ],
)
def test_no_capacity_where_there_is_none(channel: Channel, reason: str) -> None:
    with pytest.raises(Unavailable, match=reason):
        channel_capacity(channel)


def test_capacity_and_target_of_a_channel() -> None:
    assert channel_capacity(Channel(16, 0.05, 16.0)) == pytest.approx(34.5754, abs=5e-5)
    assert variance_target(Channel(2, 0.05, 7.0)) == 7


def test_mmd_to_prior_is_the_golden_value_and_the_loops() -> None:
    assert mmd_to_prior(Codes(Q, torch.zeros(3, 2), None), P) == pytest.approx(-0.170275, abs=5e-7)
    z, prior = 2 * normal(6, 5, seed=1), normal(6, 5, seed=2)
    codes = Codes(z, torch.zeros_like(z), None)  # the noisy codes are meant, not their means
    assert mmd_to_prior(codes, prior) == pytest.approx(mmd_by_loops(prior, z, lambda r2: 10 / (10 + r2)), abs=1e-12)


def mean_kernel(distance: float, spread: float, dim: int, C: float) -> float:
    """E C / (C + |r|²) with r ~ N(m, s I), |m| = distance: C / (C + u) is ∫ C e^{-t (C + u)} dt, and E e^{-t |r|²} is in closed form."""

    def integrand(t: float) -> float:
        wide = 1 + 2 * t * spread
        return C * math.exp(-t * C - t * distance**2 / wide) / wide ** (dim / 2)

    return float(quad(integrand, 0, math.inf)[0])


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.5, 1.0), (0.0, 2.0), (0.7, 0.3)])
def test_mmd_of_gaussians_is_known(shift: float, scale: float) -> None:
    dim, n = 3, 2000
    within = mean_kernel(0, 2, dim, 2 * dim) + mean_kernel(0, 2 * scale**2, dim, 2 * dim)
    exact = within - 2 * mean_kernel(shift * math.sqrt(dim), 1 + scale**2, dim, 2 * dim)
    found = [mmd_to_prior(Codes(shift + scale * normal(n, dim, seed=s), P, None), normal(n, dim, seed=s + 50)) for s in range(6)]
    error = torch.tensor(found).std().item() / math.sqrt(6)
    assert sum(found) / 6 == pytest.approx(exact, abs=5 * error)
    assert error < 0.003
    assert (exact > 0.02) == ((shift, scale) != (0, 1))


def test_mmd_to_prior_takes_as_many_codes_as_prior_draws() -> None:
    z, prior = normal(9, 2, seed=1), normal(4, 2, seed=2)
    few = mmd_by_loops(prior, z[subset_indices(9, 4)], lambda r2: 4 / (4 + r2))
    assert mmd_to_prior(Codes(z, z, None), prior) == pytest.approx(few, abs=1e-12)


def test_each_metric_reads_its_own_view() -> None:
    codes = Codes(CROSS.float(), torch.zeros(4, 2), torch.full((4, 2), math.log(0.25)))
    prior = normal(4, 2, seed=3)
    given = {"test.codes": codes, "channel": Channel(2, 0.5, 2.0), "prior.codes": prior, "density": StandardNormal(2)}
    views = Views({name: lambda v, view=view: view for name, view in given.items()})
    found = {metric.on("test").name: measure(metric, views)["value"] for metric in METRICS}
    assert found.pop("density_nll_bound_test") is None, "that density is exact"
    assert found == pytest.approx(
        {
            "sum_latent_variance": 2.5,
            "latent_variance_target": 2.0,
            "capacity_bits": 1.0,
            "mmd_prior": mmd_by_loops(prior, CROSS, lambda r2: 4 / (4 + r2)),
            "density_nll_test": 2.5 / 2 + math.log(2 * math.pi),  # of N(0, I): half the mean squared length, and its constant
            "mean_log_variance": math.log(0.25),
        }
    )


def test_a_deterministic_encoder_has_no_log_variance() -> None:
    views = Views({"test.codes": lambda v: Codes(CROSS, CROSS, None)})
    entry = measure(next(metric for metric in METRICS if metric.name == "mean_log_variance"), views)
    assert (entry["value"], entry["reason"]) == (None, "q(z|x) is no diagonal Gaussian")
