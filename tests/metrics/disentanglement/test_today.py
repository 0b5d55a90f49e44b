"""InfoMEC, MCC, R² and IRS: perfect, useless and mixed codes, loops, and other libraries."""

import math
from itertools import permutations, product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from metrics.disentanglement.infomec import InfoMEC, active, concentration, infomec, normalised_information, of_views
from metrics.disentanglement.recovery import correlations, irs, mcc, r2
from metrics.disentanglement.representation import Represented, represented, split
from metrics.latent import Channel, Codes
from metrics.metric import Unavailable

FACTORS = np.array(list(product(range(5), range(4), range(3)))).repeat(20, 0)
RANDOM = np.random.RandomState(0)
EACH = FACTORS + 0.01 * RANDOM.randn(*FACTORS.shape)  # one latent a factor
MIXED = EACH @ np.linalg.qr(RANDOM.randn(3, 3))[0]  # a rotation of them
NONE = RANDOM.randn(len(FACTORS), 3)


def of(codes: np.ndarray, factors: np.ndarray = FACTORS) -> Represented:
    return represented(codes, factors)


def test_one_latent_a_factor_is_perfect_by_all() -> None:
    found = infomec(of(EACH), discrete=False)
    assert found.modularity > 0.97
    assert found.compactness > 0.97
    assert found.explicitness > 0.97
    assert mcc(of(EACH[:, [2, 0, 1]] * [1, -3, 7])) > 0.99
    assert r2(of(EACH)) > 0.99
    assert irs(of(EACH)) > 0.95


def test_codes_that_know_of_no_factor_are_useless_by_all() -> None:
    found = infomec(of(NONE), discrete=False)
    assert found.explicitness < 0.05
    assert normalised_information(of(NONE), discrete=False).max() < 0.05
    assert mcc(of(NONE)) < 0.1
    assert abs(r2(of(NONE))) < 0.05
    assert irs(of(NONE)) < 0.4  # its bias: not 0


def test_a_rotation_keeps_what_is_linear_and_loses_what_is_of_single_latents() -> None:
    """The validity domain of R² and InfoE: a code that mixes all factors is as good to them."""
    found, perfect = infomec(of(MIXED), discrete=False), infomec(of(EACH), discrete=False)
    assert r2(of(MIXED)) > 0.99
    assert found.explicitness > 0.97
    assert found.modularity < perfect.modularity - 0.4
    assert found.compactness < perfect.compactness - 0.4
    assert mcc(of(MIXED)) < 0.9
    assert irs(of(MIXED)) < irs(of(EACH)) - 0.2


def test_what_is_not_linear_is_not_seen_by_mcc_and_r2() -> None:
    bent = (EACH - EACH.mean(0)) ** 2
    assert mcc(of(bent)) < 0.3
    assert r2(of(bent)) < 0.3


def test_discrete_codes_are_counted_and_not_measured() -> None:
    tokens = np.stack([(FACTORS[:, 0] * 7) % 5, FACTORS[:, 1] // 2, np.zeros(len(FACTORS))], 1)  # one of a bijection, half of one, none
    information = normalised_information(of(tokens), discrete=True)
    assert information.tolist() == pytest.approx(np.array([[1, 0, 0], [0, 0.5, 0], [0, 0, 0]]), abs=1e-9)
    found = infomec(of(tokens), discrete=True)
    assert found.modularity == pytest.approx(1)
    assert active(tokens, discrete=True).tolist() == [True, True, False]
    assert found.explicitness == pytest.approx((1 + 0.5 + 0) / 3, abs=0.01)
    codes = torch.from_numpy(tokens).float()
    views = Codes(codes, codes, None), torch.from_numpy(FACTORS)
    assert of_views(*views, Channel(3, 0.0, None, 6.0)).modularity == pytest.approx(1, abs=0.02)
    assert of_views(*views, Channel(3, 0.0, None)) != of_views(*views, Channel(3, 0.0, None, 6.0))


def test_latents_of_a_small_range_are_not_active() -> None:
    codes = np.stack([np.linspace(0, 1, 9), np.linspace(0, 0.04, 9), np.zeros(9)], 1)
    assert active(codes, discrete=False).tolist() == [True, False, False]
    with pytest.raises(Unavailable, match="every latent is constant"):
        active(np.ones((5, 2)), discrete=False)


def test_concentration_is_the_loops() -> None:
    information = RANDOM.rand(4, 3)
    shares = [max(row) / sum(row) for row in information.tolist()]
    assert concentration(information) == pytest.approx((sum(shares) / 4 - 1 / 3) / (2 / 3))
    assert concentration(np.eye(3)) == pytest.approx(1)
    assert concentration(np.ones((4, 3))) == pytest.approx(0)
    assert concentration(np.ones((4, 1))) == 1


def test_mcc_is_the_best_of_all_pairings() -> None:
    codes = np.concatenate([MIXED, NONE[:, :1]], 1)
    found = correlations(of(codes))
    data = of(codes)
    for j, k in product(range(4), range(3)):
        assert found[j, k] == pytest.approx(abs(np.corrcoef(data.codes[:, j], data.factors[:, k])[0, 1]))
    best = max(sum(found[j, k] for k, j in enumerate(chosen)) for chosen in permutations(range(4), 3))
    assert mcc(data) == pytest.approx(best / 3)
    assert mcc(of(EACH[:, :2])) == pytest.approx(2 / 3, abs=0.01)  # a factor without latent counts 0
    assert correlations(of(np.ones((len(FACTORS), 2)))).max() == 0


def test_r2_is_scikit_learns_on_other_images() -> None:
    codes = EACH + RANDOM.randn(*EACH.shape)
    train, test = split(of(codes))
    expected = [LinearRegression().fit(train.codes, train.factors[:, k]).score(test.codes, test.factors[:, k]) for k in range(3)]
    assert r2(of(codes)) == pytest.approx(np.mean(expected))


def test_irs_is_the_loops() -> None:
    codes = EACH @ RANDOM.randn(3, 2) + 0.3 * RANDOM.randn(len(EACH), 2)
    scores, weights = [], []
    for latent in codes.T:
        widest = max(abs(v - latent.mean()) for v in latent)
        robust = []
        for factor in FACTORS.T:
            per_value = []
            for value in sorted(set(factor.tolist())):
                group = latent[factor == value]
                per_value.append(np.quantile([abs(v - group.mean()) for v in group], 0.99))
            robust.append(1 - sum(per_value) / len(per_value) / widest)
        scores.append(max(robust))
        weights.append(widest)
    assert irs(of(codes)) == pytest.approx(sum(s * w for s, w in zip(scores, weights, strict=True)) / sum(weights))
    assert irs(of(np.ones((len(FACTORS), 2)))) == 0


def test_explicitness_of_one_binary_factor_is_that_of_the_best_line() -> None:
    """Codes N(±1, 1) of two equal classes: the logistic regression's cross-entropy is that of the true posterior, σ(2z)."""
    labels = np.arange(20_000) % 2
    z = np.random.RandomState(1).standard_normal(20_000) + 2 * labels - 1
    cross_entropy = np.mean(np.log1p(np.exp(-2 * z * (2 * labels - 1))))
    found = infomec(of(z[:, None], labels[:, None]), discrete=False)
    assert found.explicitness == pytest.approx(1 - cross_entropy / math.log(2), abs=0.005)
    assert isinstance(found, InfoMEC)


def test_few_images_are_a_reason_and_values_that_are_missing_among_some_no_error() -> None:
    with pytest.raises(Unavailable, match="9 images have no 10 neighbours each"):
        infomec(Represented(EACH[:9], FACTORS[:9]), discrete=False)
    with pytest.raises(Unavailable, match="one value among the 1 that are judged"):
        r2(of(EACH[[0, 100, 500]], FACTORS[[0, 100, 500], :1]))
    some = np.flatnonzero(FACTORS[:, 0] != 2)
    assert irs(Represented(EACH[some], FACTORS[some])) > 0.9
    assert infomec(Represented(EACH[some], FACTORS[some]), discrete=False).explicitness > 0.95
