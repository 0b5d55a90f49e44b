"""The sliced Wasserstein distance of features: known values, a loop over directions, and what a Fréchet distance does not see."""

import math

import pytest
import torch
from small_methods import normal, rows

from metrics import monge
from metrics.frechet import frechet_of_features
from metrics.kernels.sliced import unit_vectors
from metrics.metric import Unavailable
from metrics.monge import METRICS_ON_REQUEST, monge_distance


def test_it_is_the_formula_along_each_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monge, "DIRECTIONS", 5)
    monkeypatch.setattr(monge, "CHUNK", 2)  # the last one is smaller
    a, b = normal(7, 3, seed=1), normal(7, 3, seed=2)
    total = 0.0
    for u in rows(unit_vectors(5, 3)):
        x, y = (sorted(sum(p * q for p, q in zip(row, u, strict=True)) for row in rows(side)) for side in (a, b))
        total += sum((p - q) ** 2 for p, q in zip(x, y, strict=True))
    assert monge_distance(a, b).item() == pytest.approx(3 * 3 / (7 * 5) * total, rel=1e-12)


def test_of_two_gaussians_far_apart_it_is_three_times_the_squared_distance_of_their_means() -> None:
    """E (u·δ)² = |δ|²/D, over 1,000 directions to within a few per cent."""
    a = normal(500, 8)
    assert monge_distance(a, a).item() == 0
    assert monge_distance(a, a + 100).item() == pytest.approx(3 * 8 * 100**2, rel=0.1)


def test_it_sees_a_law_of_the_same_mean_and_covariance() -> None:
    signs = torch.tensor([[-1.0], [1.0]]).repeat(500, 1)  # of mean 0 and variance 1, as the quantiles of a normal law are
    levels = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    gaussian = math.sqrt(2) * torch.erfinv(2 * levels - 1)[:, None]
    gaussian = gaussian / gaussian.std(correction=0)
    assert frechet_of_features(signs, gaussian).item() == pytest.approx(0, abs=1e-9)
    assert monge_distance(signs, gaussian).item() == pytest.approx(3 * (2 - 2 * math.sqrt(2 / math.pi)), rel=0.01)


def test_the_larger_set_is_cut_to_the_smaller_and_order_does_not_matter() -> None:
    a, b = normal(40, 4, seed=1), normal(30, 4, seed=2)
    assert monge_distance(a, b).item() == monge_distance(b, a).item() > 0
    assert monge_distance(b.flip(0), b).item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("bad", "words"), [(torch.full((3, 2), math.nan), "3 of 3 rows"), (torch.zeros(1, 2), "at least 2 images")])
def test_what_is_no_set_of_features_is_refused(bad: torch.Tensor, words: str) -> None:
    for pair in ((bad, normal(3, 2)), (normal(3, 2), bad)):
        with pytest.raises(Unavailable, match=words):
            monge_distance(*pair)


def test_on_inceptions_features_alone_it_has_its_papers_name() -> None:
    names = [metric.name for metric in METRICS_ON_REQUEST]
    assert [name for name in names if "mind" in name] == ["mind_pz", "mind_qz", "mind_reconstruction", "mind_floor"]
    assert {"monge_lite0_pz", "monge_classifier_floor"} < set(names)
