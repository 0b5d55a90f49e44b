"""The precedence test of the nearest samples: its law by counting orders, its value by loops, planted copies, a blind spot."""

import math
from itertools import combinations

import pytest
import torch
from small_methods import normal, uniform

from metrics.metric import Unavailable
from metrics.nearest_copies import nearer_than_all, p_value


def test_the_share_is_the_loops() -> None:
    samples, test = uniform(40, seed=1), 0.2 + uniform(15, seed=2)
    found = sum(all(s < t for t in test.tolist()) for s in samples.tolist()) / 40
    assert nearer_than_all(samples, test).item() == found
    assert 0 < found < 1


def test_its_law_is_that_of_all_orders_of_samples_and_test_images() -> None:
    """Every choice of which 4 of 7 places in a row are samples is as likely: how many of them begin with k samples?"""
    m, n = 4, 3
    orders = [[place in chosen for place in range(m + n)] for chosen in combinations(range(m + n), m)]
    begins = [next((i for i, sample in enumerate(order) if not sample)) for order in orders]
    for k in range(m + 1):
        distances = torch.arange(m + n, dtype=torch.float64)
        order = next(order for order, begin in zip(orders, begins, strict=True) if begin == k)
        is_sample = torch.tensor(order)
        found = p_value(distances[is_sample], distances[~is_sample])
        assert found == pytest.approx(sum(begin >= k for begin in begins) / math.comb(m + n, m))


def test_it_speaks_up_in_at_most_five_of_a_hundred_trials_and_for_a_few_copies_in_all() -> None:
    alarms = copied = 0
    for trial in range(400):
        test, samples = normal(200, seed=2 * trial).abs() + 1, normal(200, seed=2 * trial + 1).abs() + 1
        alarms += p_value(samples, test) < 0.05
        samples[:6] = 0
        copied += p_value(samples, test) < 0.05
    assert 2 <= alarms <= 20  # 3.1 % of 400 on average, for its steps are coarse; 2 and 20 are 3 standard deviations off
    assert copied == 400


def test_it_is_blind_where_a_test_image_is_a_training_image_and_refuses_what_is_not_finite() -> None:
    assert p_value(torch.zeros(9), torch.tensor([0.0, 1.0])) == 1
    with pytest.raises(Unavailable, match="not finite"):
        nearer_than_all(torch.tensor([1.0, math.nan]), torch.ones(3))
