"""Disentanglement scores on perfect, useless, duplicated and rotated codes; every formula against loops or scikit-learn."""

import itertools
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy as scipy_entropy
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.svm import LinearSVC

from metrics.disentanglement import votes
from metrics.disentanglement.information import METRICS as INFORMATION
from metrics.disentanglement.information import binned, entropy, mig, modularity, mutual_information
from metrics.disentanglement.prediction import METRICS as PREDICTION
from metrics.disentanglement.prediction import accuracies, dci, sap, scores
from metrics.disentanglement.representation import Represented, represented, split
from metrics.disentanglement.votes import METRICS as VOTES
from metrics.disentanglement.votes import Drawn, beta_vae_score, differences, factorvae_score, kept_latents, least_variance, logistic
from metrics.latent import Codes
from metrics.metric import Unavailable, Views, measure

SIZES = (3, 4, 2, 5)
GRID = np.array(list(itertools.product(*map(range, SIZES))) * 25)  # 3,000 images, every combination 25 times


def standard(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(size)


def perfect(seed: int = 1) -> np.ndarray:
    """A latent for each factor, of different scales and signs, with a little noise."""
    return GRID * np.array([1.0, -2, 5, 0.5]) + 0.01 * standard(*GRID.shape, seed=seed)


def rotation() -> np.ndarray:
    """Every latent has as much of every factor."""
    signs = np.array([[1, 1], [1, -1]])
    return np.kron(signs, signs) / 2


PERFECT = represented(perfect(), GRID)
NOISE = represented(standard(3000, 4, seed=3), GRID)
TWICE = represented(np.concatenate([perfect(1), perfect(2)], 1), GRID)
ROTATED = represented((perfect() / perfect().std(0)) @ rotation(), GRID)


@cache
def dci_of(codes: str) -> Any:
    """Disentanglement, completeness and informativeness of known codes: twelve forests, so once."""
    return dci(*{"perfect": PERFECT, "noise": NOISE}[codes])


@pytest.fixture
def fewer_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes, "VOTES", 800)
    monkeypatch.setattr(votes, "FRESH", 400)


def test_rows_are_in_an_order_of_their_own_and_constant_factors_are_left_out() -> None:
    order = np.random.RandomState(1).permutation(3000)
    again = represented(perfect()[order], GRID[order])
    assert np.array_equal(again.codes, PERFECT.codes)
    assert np.array_equal(again.factors, PERFECT.factors)
    found = represented(np.zeros((3, 1)), np.array([[7, 1, 4], [2, 1, 4], [7, 1, 9]]))
    assert found.factors.tolist() == [[0, 0], [1, 0], [1, 1]]  # 2 < 7, 4 < 9
    with pytest.raises(Unavailable, match="no factor"):
        represented(np.zeros((2, 1)), np.ones((2, 2)))


def test_a_split_is_disjoint_and_of_the_stated_sizes() -> None:
    train, test = split(Represented(np.arange(20_000.0)[:, None], np.arange(20_000)[:, None] % 2))
    assert (len(train.codes), len(test.codes)) == (10_000, 5_000)
    assert not set(train.codes[:, 0]) & set(test.codes[:, 0])
    train, test = split(NOISE)
    assert (len(train.codes), len(test.codes)) == (2000, 1000)


def test_a_vote_has_images_that_share_one_value_and_nothing_else() -> None:
    drawn = Drawn(PERFECT, np.random.RandomState(0))
    chosen = PERFECT.factors[drawn.sharing(1, 2000, 8)]  # (2000, 8, K)
    assert (chosen[:, :, 1] == chosen[:, :1, 1]).all()
    values = np.bincount(chosen[:, 0, 1], minlength=4) / 2000
    assert np.abs(values - 0.25).max() < 4 * math.sqrt(0.25 * 0.75 / 2000)  # uniform among values, however many images have them
    others = np.bincount(chosen[:, :, 3].ravel(), minlength=5) / 16_000
    assert np.abs(others - 0.2).max() < 4 * math.sqrt(0.16 / 16_000)


def test_values_are_uniform_where_images_are_not() -> None:
    factors = np.array([[0]] * 990 + [[1]] * 10)
    chosen = Drawn(represented(standard(1000, 1), factors), np.random.RandomState(0)).sharing(0, 1000, 2)
    share = (chosen[:, 0] >= 990).mean()
    assert share == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 1000))


@pytest.mark.parametrize("data", [PERFECT, TWICE], ids=["perfect", "each latent twice"])
def test_true_factors_have_a_factorvae_score_of_one(data: Represented) -> None:
    assert (votes.VOTES, votes.FRESH, votes.SIZE, votes.POINTS, votes.PRUNED) == (10_000, 5_000, 64, 10_000, 0.05)  # SPEC 5.5
    assert factorvae_score(data) == 1


def test_noise_has_the_score_of_chance() -> None:
    sizes = (2, 2, 3, 2, 2, 2)  # six factors, as in 3D-Shapes: 1/6
    random = np.random.RandomState(4)
    factors = np.stack([random.randint(size, size=200_000) for size in sizes], 1)
    score = factorvae_score(represented(standard(200_000, 6, seed=5), factors))
    assert score == pytest.approx(1 / 6, abs=3 * math.sqrt(1 / 6 * 5 / 6 / votes.FRESH))


@pytest.mark.usefixtures("fewer_votes")
def test_a_rotation_costs_every_score(monkeypatch: pytest.MonkeyPatch) -> None:
    for score in (factorvae_score, mig, sap, modularity):
        assert score(ROTATED) < score(PERFECT) - 0.15
    rotated, best = dci(*ROTATED), dci_of("perfect")
    assert rotated.disentanglement < best.disentanglement - 0.15
    assert rotated.completeness < best.completeness - 0.15
    assert rotated.informativeness > 0.8  # all is still there, in every latent


@pytest.mark.usefixtures("fewer_votes")
def test_latents_that_never_move_are_pruned_by_their_deviation() -> None:
    constant = np.concatenate([standard(3000, 2, seed=7) * 0.049, perfect()], 1)  # of least variance, always
    assert kept_latents(constant, np.random.RandomState(0)).shape == (3000, 4)
    assert factorvae_score(represented(constant, GRID)) == 1
    almost = np.concatenate([standard(3000, 1, seed=7) * 0.06, perfect()], 1)
    assert kept_latents(almost, np.random.RandomState(0)).shape == (3000, 5)
    assert factorvae_score(represented(0.001 * standard(3000, 4), GRID)) == 0, "none is kept"


def test_kept_latents_are_divided_by_the_deviation_of_so_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = 3 * standard(500, 2, seed=1)
    assert kept_latents(codes, np.random.RandomState(0)) == pytest.approx(codes / codes.std(0))
    monkeypatch.setattr(votes, "POINTS", 20)
    chosen = np.random.RandomState(0).permutation(500)[:20]
    assert kept_latents(codes, np.random.RandomState(0)) == pytest.approx(codes / codes[chosen].std(0))


def test_votes_are_those_of_loops() -> None:
    random, codes = np.random.RandomState(3), NOISE.codes
    found = least_variance(NOISE, codes, 600, np.random.RandomState(3))
    drawn, expected = Drawn(NOISE, random), np.zeros((4, 4), int)
    for n in (500, 100):
        counts = np.bincount(random.randint(4, size=n), minlength=4)
        for factor, count in enumerate(counts):
            for images in drawn.sharing(factor, count, 64):
                variances = [np.mean((codes[images, j] - np.mean(codes[images, j])) ** 2) for j in range(4)]
                expected[variances.index(min(variances)), factor] += 1
    assert found.tolist() == expected.tolist()
    assert found.sum() == 600


def test_the_score_is_the_accuracy_of_the_majority_on_fresh_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = iter([np.array([[3, 1], [0, 5]]), np.array([[10, 20], [30, 40]])])
    monkeypatch.setattr(votes, "least_variance", lambda *args: next(tables))
    monkeypatch.setattr(votes, "FRESH", 100)
    assert factorvae_score(represented(standard(10, 2), GRID[:10])) == (10 + 40) / 100


def test_the_logistic_regression_is_scikit_learns() -> None:
    random = np.random.RandomState(0)
    y = random.randint(4, size=400)
    x = random.standard_normal((400, 3)) + 0.7 * np.eye(4, 3)[y]
    weight, bias = logistic(x, y, 4)
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(x, y)
    assert pytest.approx(reference.coef_, abs=1e-4) == weight.T
    assert bias - bias.mean() == pytest.approx(reference.intercept_ - reference.intercept_.mean(), abs=1e-4)


@pytest.mark.usefixtures("fewer_votes")
def test_the_beta_vae_score_of_the_extremes() -> None:
    assert beta_vae_score(PERFECT) == beta_vae_score(TWICE) == 1
    assert beta_vae_score(NOISE) == pytest.approx(0.25, abs=0.1)
    assert beta_vae_score(ROTATED) == pytest.approx(0.25, abs=0.1), "where all latents move alike, none tells which factor is still"


def test_differences_are_means_over_pairs_that_share_one_value() -> None:
    x, y = differences(represented(GRID.astype(float), GRID), 600, np.random.RandomState(0))
    assert x.shape == (600, 4)
    shared = x[np.arange(600), y]
    assert (shared == 0).all()
    assert (x > 0).sum() == 600 * 3
    expected = [np.mean([abs(a - b) for a in range(size) for b in range(size)]) for size in SIZES]  # each pair has values of its own
    for factor in range(4):
        assert x[y != factor, factor].mean() == pytest.approx(expected[factor], rel=0.05)


def test_bins_are_equal_and_hold_all() -> None:
    codes = np.array([[0.0, 5], [0.049, 5], [0.051, 5], [1.0, 5]])
    assert binned(codes).tolist() == [[0, 0], [0, 0], [1, 0], [19, 0]]
    counts = np.histogram(NOISE.codes[:, 0], 20)[0]
    assert np.bincount(binned(NOISE.codes)[:, 0], minlength=20).tolist() == counts.tolist()


def test_information_is_scikit_learns_and_entropy_scipys() -> None:
    data = represented(perfect() + standard(*GRID.shape, seed=8), GRID)
    expected = [[mutual_info_score(latent, factor) for factor in data.factors.T] for latent in binned(data.codes).T]
    assert mutual_information(data) == pytest.approx(np.array(expected), abs=1e-12)
    assert entropy(np.array([1, 5, 0, 2])) == pytest.approx(scipy_entropy([1, 5, 2]))


def mig_by_loops(data: Represented) -> float:
    gaps = []
    for factor in data.factors.T:
        best = sorted(mutual_info_score(latent, factor) for latent in binned(data.codes).T)
        gaps.append((best[-1] - best[-2]) / scipy_entropy(np.bincount(factor)))
    return sum(gaps) / len(gaps)


def modularity_by_loops(data: Represented) -> float:
    total = 0.0
    for latent in binned(data.codes).T:
        information = [mutual_info_score(latent, factor) for factor in data.factors.T]
        top = max(information)
        rest = sum(value**2 for value in information) - top**2
        total += 1 - rest / (top**2 * (len(information) - 1))
    return total / data.codes.shape[1]


@pytest.mark.parametrize("data", [PERFECT, NOISE, TWICE, ROTATED], ids=["perfect", "noise", "twice", "rotated"])
def test_mig_and_modularity_are_the_loops(data: Represented) -> None:
    assert mig(data) == pytest.approx(mig_by_loops(data))
    assert modularity(data) == pytest.approx(modularity_by_loops(data))


def test_information_scores_of_the_extremes() -> None:
    assert mig(PERFECT) == pytest.approx(1, abs=0.01)
    assert modularity(PERFECT) == pytest.approx(1, abs=1e-6)
    assert mig(NOISE) < 0.02
    assert mig(TWICE) == pytest.approx(0, abs=1e-9), "two latents say the same"
    assert modularity(TWICE) == pytest.approx(1, abs=1e-6), "each says it of one factor"
    silent = represented(np.concatenate([perfect(), np.zeros((3000, 4))], 1), GRID)
    assert modularity(silent) == pytest.approx(0.5, abs=1e-6), "a latent that says nothing counts 0"
    assert mig(represented(perfect()[:, :1], GRID)) == pytest.approx(0.25, abs=0.01), "one latent: the second is 0"
    with pytest.raises(Unavailable, match="two factors"):
        modularity(represented(perfect(), GRID[:, :1]))


@pytest.mark.parametrize("column", [0, 2], ids=["three values", "two values"])
def test_the_machines_are_scikit_learns(column: int) -> None:
    random = np.random.RandomState(1)
    keep = random.random_sample(3000) < np.where(GRID[:, column] == 1, 0.3, 1.0)  # classes of different sizes
    codes = (GRID + 0.8 * standard(*GRID.shape, seed=9))[keep]
    train, test = split(represented(codes, GRID[keep][:, column : column + 1]))
    expected = [
        LinearSVC(C=0.01, class_weight="balanced", dual=False, tol=1e-10, max_iter=100_000)
        .fit(train.codes[:, [j]], train.factors[:, 0])
        .score(test.codes[:, [j]], test.factors[:, 0])
        for j in range(4)
    ]
    assert accuracies(train, test)[:, 0] == pytest.approx(np.array(expected), abs=2.1 / len(test.codes))


def test_sap_of_the_extremes_and_by_loops() -> None:
    assert sap(NOISE) < 0.05
    assert sap(TWICE) == pytest.approx(0, abs=0.01)
    found = accuracies(*split(PERFECT))
    assert sap(PERFECT) == pytest.approx(np.mean([sorted(c)[-1] - sorted(c)[-2] for c in found.T.tolist()]))
    assert sap(PERFECT) > 0.35
    one = represented(perfect()[:, 2:3], GRID[:, 2:3])
    assert sap(one) == 1, "of one latent the second is 0"


def test_dci_of_a_matrix_is_the_loops() -> None:
    relevance = np.array([[0.9, 0.0, 0.2], [0.1, 1.0, 0.2], [0.0, 0.0, 0.6], [0.0, 0.0, 0.0]])
    rows = [1 - scipy_entropy(row / row.sum(), base=3) if row.sum() else 0 for row in relevance]
    columns = [1 - scipy_entropy(column / column.sum(), base=4) for column in relevance.T]
    weights = relevance.sum(1) / relevance.sum()
    found = scores(relevance, 0.7)
    assert found == pytest.approx((sum(w * r for w, r in zip(weights, rows, strict=True)), sum(columns) / 3, 0.7))


def test_dci_of_the_extremes() -> None:
    assert dci_of("perfect") == pytest.approx((1, 1, 1), abs=0.02)
    assert max(dci_of("noise")[:2]) < 0.1
    assert dci_of("noise").informativeness == pytest.approx(np.mean([1 / size for size in SIZES]), abs=0.05)
    twice = dci(*TWICE)
    assert twice.disentanglement == pytest.approx(1, abs=0.05)
    assert twice.completeness < 0.8, "each factor is in two latents"


METRICS = [*VOTES, *INFORMATION, *PREDICTION]


def views(codes: np.ndarray, factors: np.ndarray) -> Views:
    z = torch.from_numpy(codes)
    given = {
        "train.codes": Codes(torch.zeros_like(z), z, None),
        "train.factors": torch.from_numpy(factors),
        "train.dci": dci(codes, factors),
    }
    return Views({name: lambda v, value=value: value for name, value in given.items()})


@pytest.mark.usefixtures("fewer_votes")
def test_metrics_are_of_mean_codes_and_forget_order_and_seed() -> None:
    order, grid = np.random.RandomState(1).permutation(960), GRID[:960]
    codes = perfect()[:960] + standard(*grid.shape, seed=8)
    found = {metric.name: measure(metric, views(codes, grid))["value"] for metric in METRICS}
    np.random.seed(5)  # noqa: NPY002 - the global stream must not matter
    torch.manual_seed(5)
    again = {metric.name: measure(metric, views(codes[order], grid[order]))["value"] for metric in METRICS}
    assert again == pytest.approx(found, rel=1e-6)
    data = represented(codes, grid)
    part, three = split(data)[0], dci(codes, grid)
    functions: dict[str, Callable[[Represented], float]] = {
        "factorvae_score": factorvae_score,
        "beta_vae_score": beta_vae_score,
        "sap": sap,
    }
    expected = {name: of(data) for name, of in functions.items()} | {"mig": mig(part), "modularity": modularity(part)}
    assert found == pytest.approx(expected | {f"dci_{name}": value for name, value in three._asdict().items()})
    assert len(set(found.values())) == len(METRICS)


def test_a_version_that_matters_is_in_the_protocol() -> None:
    assert {metric.name for metric in METRICS if "scikit-learn" in metric.protocol} == {f"dci_{name}" for name in dci_of("perfect")._fields}
    assert all(metric.better == "higher" and metric.group == "disentanglement" for metric in METRICS)
