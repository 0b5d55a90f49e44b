"""Images that stand for a set are neither its first ones nor others at the next call."""

import math

import pytest
import torch
from small_methods import normal

from metrics import neighbours, total_correlation
from metrics.fixed_subset import subset, subset_indices
from metrics.latent import Codes


@pytest.mark.parametrize("n", [7, 100])
def test_a_small_set_is_all_there_in_order(n: int) -> None:
    assert subset_indices(7, n).tolist() == list(range(7))
    rows = normal(7, 2)
    assert subset(rows, n) is rows


def test_of_a_large_one_some_are_taken_once_each_and_always_the_same() -> None:
    torch.manual_seed(3)
    before, found = torch.get_rng_state(), subset_indices(1000, 200)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(subset_indices(1000, 200), found)
    assert len(set(found.tolist())) == 200
    assert (found.diff() > 0).all()
    assert (found.min() >= 0) & (found.max() < 1000)
    assert torch.equal(subset(torch.arange(1000) ** 2, 200), found**2)


def test_they_stand_for_a_set_that_is_in_the_order_of_a_factor() -> None:
    """Uniform among 1,000 places: the mean of 200 of them, without replacement."""
    mean = subset_indices(1000, 200).double().mean().item()
    assert mean == pytest.approx(499.5, abs=3 * math.sqrt((1000**2 - 1) / 12 / 200 * 0.8))
    assert subset_indices(1000, 200).max() > 900


def test_codes_in_the_order_of_a_factor_have_the_law_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two latents that rise together along the set: from its first codes alone they would look independent."""
    monkeypatch.setattr(total_correlation, "POINTS", 300)
    place = torch.linspace(-2, 2, 3000).double()
    mean = torch.stack([place, place], 1)
    log_variance = torch.full_like(mean, math.log(0.01))
    codes = Codes(mean + 0.1 * normal(3000, 2, seed=1), mean, log_variance)
    everywhere = total_correlation.total_correlation(total_correlation.full_mixture(codes.z, mean, log_variance)).item()
    assert total_correlation.total_correlation(total_correlation.mixture_of(codes)).item() == pytest.approx(everywhere, rel=0.05)
    estimate = total_correlation.minibatch_of(total_correlation.minibatch_stratified, codes)
    assert total_correlation.total_correlation(estimate).item() == pytest.approx(everywhere, rel=0.1)
    assert total_correlation.index_code(total_correlation.mixture_of(codes), codes).item() == pytest.approx(
        total_correlation.index_code(total_correlation.full_mixture(codes.z, mean, log_variance), codes).item(), rel=0.1
    )
    assert neighbours.IMAGES == 1000
