"""Explicitness and size of DCI-ES: known curves, one scikit-learn tree a depth, codes that are perfect, scrambled, rotated or useless."""

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from metrics.disentanglement.explicitness import DEPTHS, explicitness, loss_capacity, of_curve, size
from metrics.disentanglement.representation import represented, split
from metrics.metric import Unavailable

RANDOM = np.random.RandomState(0)
FACTORS = np.stack([RANDOM.randint(values, size=3000) for values in (2, 5, 8)], 1)
EACH = FACTORS + 0.1 * RANDOM.rand(*FACTORS.shape)  # one latent a factor
ROTATED = EACH @ np.linalg.qr(RANDOM.randn(3, 3))[0]


def test_curves_whose_area_is_known() -> None:
    assert of_curve(np.zeros(5), 0.8) == 1  # the smallest predictor makes no error
    assert of_curve(np.linspace(0.8, 0, 5), 0.8) == pytest.approx(0)  # a straight line from a constant's loss
    assert of_curve(np.array([0.8, 0.8, 0.8, 0.8, 0.0]), 0.8) == pytest.approx(1 - (3 * 0.8 + 0.4) / (0.5 * 4 * 0.8))
    assert of_curve(np.array([0.8, 0.0, 0.0, 0.0, 0.0]), 0.8) == pytest.approx(1 - 0.4 / (0.5 * 4 * 0.8))
    assert of_curve(np.array([0.4, 0.2, 0.6, 0.2, 0.3]), 0.8) == of_curve(np.array([0.4, 0.2, 0.2, 0.2, 0.2]), 0.8)  # the least so far
    assert of_curve(np.full(5, 0.8), 0.8) == 1  # of codes that say nothing: beside informativeness alone


def test_losses_are_those_of_one_tree_a_depth() -> None:
    train, test = split(represented(ROTATED, FACTORS))
    y, truth = train.factors[:, 2], test.factors[:, 2]
    trees = [DecisionTreeClassifier(criterion="entropy", max_depth=d, random_state=0).fit(train.codes, y) for d in range(1, 9)]
    expected = [np.mean(np.bincount(y).argmax() != truth), *((tree.predict(test.codes) != truth).mean() for tree in trees)]
    found = loss_capacity(train.codes, y, test.codes, truth, 8).tolist()
    assert found == pytest.approx(expected, abs=0.01)  # chance breaks ties, in another order in each
    assert found[:4] == pytest.approx(expected[:4])
    assert expected[8] < 0.5 * expected[1]


def test_a_latent_that_is_the_factor_halves_the_values_left_at_each_depth() -> None:
    values = np.arange(800) % 8
    found = loss_capacity(values[:, None], values, values[:, None], values, 5)
    assert found.tolist() == pytest.approx([7 / 8, 6 / 8, 4 / 8, 0, 0, 0])


def scrambled(factor: np.ndarray) -> np.ndarray:
    """A latent whose range has 16 pieces for each value, in an order of chance."""
    order = RANDOM.permutation(np.tile(np.unique(factor), 16))
    return np.array([RANDOM.choice(np.flatnonzero(order == value)) for value in factor]) + 0.5 * RANDOM.rand(len(factor))


def test_one_latent_a_factor_is_explicit_and_a_rotation_or_a_scrambling_is_less() -> None:
    assert explicitness(represented(EACH, FACTORS)) == 1
    for codes in (ROTATED, np.stack([scrambled(factor) for factor in FACTORS.T], 1)):
        assert explicitness(represented(codes, FACTORS)) < 0.95


def test_codes_that_say_nothing_are_explicit() -> None:
    """What its documentation warns of."""
    assert explicitness(represented(RANDOM.randn(3000, 3), FACTORS)) > 0.9


def test_size_and_too_few_images() -> None:
    assert size(represented(np.concatenate([EACH, EACH], 1), FACTORS)) == 0.5
    one = np.array([0] * 30 + [1])
    with pytest.raises(Unavailable, match="too few images"):
        explicitness(represented(np.arange(31.0)[:, None], one[:, None]))
    assert DEPTHS == 12
