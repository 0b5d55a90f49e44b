"""What seeds can tell apart, against statsmodels, simulation, and hand-made columns."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from bench.leaderboard.resolution import MOST_SEEDS, kendall_tau, seeds_needed, share_separated, winner_changes


def test_share_of_pairs_by_hand() -> None:
    noise = np.array([0.01, -0.01, 0.005, -0.004, 0.002])
    one, other = 1 + noise, 2 + noise[::-1]
    close = one + np.array([0.1, -0.1, 0.05, -0.06, 0.02])
    assert share_separated(np.stack([one, other])) == 1.0
    assert share_separated(np.stack([one, close])) == 0.0
    assert share_separated(np.stack([one, close, other])) == pytest.approx(2 / 3)
    assert math.isnan(share_separated(np.stack([one])))


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(("power", "level"), [(0.8, 0.05), (0.9, 0.01)])
def test_seeds_needed_is_statsmodels_sample_size(effect: float, power: float, level: float) -> None:
    spread = np.array([-1.0, 0.0, 1.0])  # of standard deviation 1
    exact = TTestPower().solve_power(effect_size=effect, alpha=level, power=power)
    assert seeds_needed((effect + spread).tolist(), power, level) == math.ceil(exact)
    assert seeds_needed((1e200 * -(effect + spread)).tolist(), power, level) == math.ceil(exact)


def test_so_many_seeds_do_find_the_difference() -> None:
    n = seeds_needed([0.0, 1.0, 2.0])  # effect 1
    assert n is not None
    drawn = np.random.default_rng(0).normal(1.0, 1.0, size=(4000, n))
    t = np.abs(drawn.mean(1)) / (drawn.std(1, ddof=1) / np.sqrt(n))

    assert (t > stats.t.ppf(0.975, n - 1)).mean() == pytest.approx(0.8, abs=0.04)


def test_seeds_needed_at_its_edges() -> None:
    assert seeds_needed([0.0, 0.0, 0.0]) is None
    assert seeds_needed([0.3]) is seeds_needed([]) is None
    assert seeds_needed([0.5, 0.5, 0.5]) == 2
    assert seeds_needed([-1.0, 1.0]) == MOST_SEEDS
    assert seeds_needed([1e-3, -1e-3 + 1e-9, 1e-4]) == MOST_SEEDS


def test_kendalls_tau_of_kendalls_pairs() -> None:
    """tau = (concordant - discordant) / pairs, by hand; without the row that one column lacks."""
    columns = {
        "a": {"w": 1.0, "x": 2.0, "y": 3.0, "z": 4.0},
        "same": {"w": 10.0, "x": 20.0, "y": 30.0, "z": 40.0},
        "reverse": {"w": 4.0, "x": 3.0, "y": 2.0, "z": 1.0},
        "swapped": {"w": 1.0, "x": 3.0, "y": 2.0, "z": 4.0},  # one pair of six
        "short": {"w": 2.0, "x": 1.0},
        "constant": {"w": 2.0, "x": 2.0},
    }
    tau = kendall_tau(columns)
    assert tau["a", "same"] == pytest.approx(1)
    assert tau["a", "reverse"] == pytest.approx(-1)
    assert tau["a", "swapped"] == pytest.approx((5 - 1) / 6)
    assert tau["a", "short"] == pytest.approx(-1)
    assert math.isnan(tau["a", "constant"])
    assert len(tau) == 15


def test_winner_changes_over_common_rows() -> None:
    first = {"a": 1.0, "b": 2.0, "c": 3.0, "only here": 0.0}
    assert winner_changes({"1": first, "2": {"a": 5.0, "b": 9.0, "c": 6.0}, "3": {"a": 2.0, "b": 1.0, "c": 3.0}}) == (1, 2)
    assert winner_changes({"1": first, "tie": {"a": 1.0, "b": 1.0, "c": 2.0}}) == (0, 1)
    assert winner_changes({"1": first}) == (0, 0)
