"""Tiers against hand-made columns, loops of the definition, and simulated seeds."""

import itertools
import math
import random
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from bench.leaderboard.tiers import RATE, TIER_RATE, Tiers, compare, edges, paired_p, separated, tiers


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def best_tier(rows: Mapping[str, Mapping[int, float]], better: str | None) -> set[str]:
    return tiers(rows, better).best()


GOOD = (1.0, 1.1, 0.9, 1.05, 0.95)
BAD = (2.0, 2.2, 1.9, 2.1, 2.05)
WORSE = (3.0, 3.1, 2.9, 3.3, 3.0)


def test_paired_p_by_hand_and_by_scipy() -> None:
    p = paired_p(np.array([[3.0, 4.0, 8.0], [2.0, 2.0, 5.0]]))  # differences 1, 2, 3: t = 2 √3 with 2 degrees of freedom
    t = 2 * math.sqrt(3)
    assert p[0, 1] == pytest.approx(1 - t / math.sqrt(2 + t * t))  # the closed form of Student's t with 2 degrees
    values = np.random.default_rng(1).normal(size=(7, 6))
    p = paired_p(values)
    assert np.array_equal(p, p.T)
    assert np.array_equal(np.diag(p), np.ones(7))
    for i, j in itertools.combinations(range(7), 2):
        assert p[i, j] == pytest.approx(stats.ttest_rel(values[i], values[j]).pvalue)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("one", "other", "p"),
    [
        ([1.1, 2.3, 4.7], [1.1, 2.3, 4.7], 1.0),
        ([1.1, 2.3, 4.7], [1.2, 2.4, 4.8], 0.0),  # the sums round differently: still one difference
        ([1.1, 2.3, 4.7], [v * (1 + 1e-15) for v in (1.1, 2.3, 4.7)], 1.0),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 1.0),
    ],
)
def test_paired_p_where_the_test_has_no_variance(one: list[float], other: list[float], p: float) -> None:
    assert paired_p(np.array([one, other]))[0, 1] == p


def test_pairing_sees_what_seeds_share() -> None:
    """Two methods that differ by 0.1 on every seed, while seeds differ by 10: pairing tells them apart, pooling cannot."""
    a, b = [10.0, 20.01, 30.0, 40.02], [10.1, 20.1, 30.11, 40.1]
    assert paired_p(np.array([a, b]))[0, 1] < 0.05
    assert stats.ttest_ind(a, b).pvalue > 0.9


def test_separated_is_benjamini_and_hochberg_over_all_pairs() -> None:
    values = np.random.default_rng(2).normal(size=(9, 5)) + np.repeat(np.arange(3.0), 3)[:, None] * 2
    p = paired_p(values)
    upper = np.triu_indices(9, 1)
    assert np.array_equal(separated(p)[upper], stats.false_discovery_control(p[upper], method="bh") <= RATE)
    assert 0 < separated(p)[upper].sum() < 36


def defined(p: np.ndarray) -> list[int]:
    """Where tiers begin, by the definition: loops over tiers, rows, sets and pairs."""

    def shown(i: int, j: int, start: int) -> bool:
        for end in range(j + 1, len(p) + 1):
            pairs = list(itertools.combinations(range(start, end), 2))
            adjusted = stats.false_discovery_control([p[pair] for pair in pairs], method="bh")
            if adjusted[pairs.index((i, j))] > TIER_RATE:
                return False
        return True

    starts = [0]
    while True:
        worse = [j for j in range(starts[-1] + 1, len(p)) if any(shown(i, j, starts[-1]) for i in range(starts[-1], j))]
        if not worse:
            return starts
        starts.append(worse[0])


def test_edges_are_those_of_the_definition() -> None:
    rng, many = np.random.default_rng(3), set[int]()
    for trial in range(60):
        rows, number = int(rng.integers(2, 11)), int(rng.integers(3, 7))
        values = rng.normal(size=(rows, number)) * np.exp(rng.normal(size=(rows, 1))) + (trial % 4) * np.arange(rows)[:, None]
        p = paired_p(values[np.argsort(values.mean(1))])
        assert edges(p) == defined(p)
        many.add(len(edges(p)))
    assert len(many) > 4


def test_a_better_method_is_alone_in_the_tier() -> None:
    rows = {"good": seeds(*GOOD), "bad": seeds(*BAD), "worse": seeds(*WORSE)}
    found = tiers(rows, "lower")
    assert found == Tiers({"good": 1, "bad": 2, "worse": 3}, {"good": (1, 1), "bad": (2, 2), "worse": (3, 3)}, frozenset(), {})
    assert found.best() == {"good"}
    assert best_tier(rows, "higher") == {"worse"}
    assert best_tier(rows, "target") == best_tier(rows, None) == set()


def test_rows_that_the_seeds_do_not_tell_apart_share_a_tier_and_its_ranks() -> None:
    close = [v + d for v, d in zip(GOOD, (0.1, -0.1, 0.05, -0.04, 0.02), strict=True)]
    rows = {"good": seeds(*GOOD), "close": seeds(*close)}
    assert best_tier(rows, "lower") == set()  # both: nothing to mark
    found = tiers({**rows, "bad": seeds(*(v + 2 + 0.01 * v for v in GOOD))}, "lower")
    assert found.best() == {"good", "close"}
    assert found.place == {"good": (1, 2), "close": (1, 2), "bad": (3, 3)}


def test_rows_of_one_network_are_never_parted() -> None:
    """Twenty columns with every row twice: a row and its copy stand in one tier, whatever the order of their names."""
    rng = np.random.default_rng(8)
    for _ in range(20):
        values = rng.normal(size=(6, 4)) + np.arange(6)[:, None]
        rows = {f"{name}{i}": seeds(*row) for i, row in enumerate(values.tolist()) for name in "ab"}
        found = tiers(rows, "lower")
        assert all(found.tier[f"a{i}"] == found.tier[f"b{i}"] for i in range(6))


@pytest.mark.parametrize("rows", [2, 9])
def test_noise_is_a_tie(rows: int) -> None:
    rng, trials = random.Random(3), 1000
    columns = [{str(row): seeds(*(rng.gauss(0, 1) for _ in range(5))) for row in range(rows)} for _ in range(trials)]
    assert sum(bool(best_tier(column, "lower")) for column in columns) / trials <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials)


def test_equal_rows_above_many_worse_ones_are_a_tie_still() -> None:
    """Ten equal rows and twenty that are clearly worse: the twenty must not make a difference among the ten easier to find."""
    rng, trials, left_out = np.random.default_rng(4), 300, 0
    for _ in range(trials):
        values = rng.normal(size=(30, 5)) + 3 * np.maximum(np.arange(30) - 9, 0)[:, None]
        found = tiers({str(i): seeds(*row) for i, row in enumerate(values.tolist())}, "lower")
        left_out += any(found.tier[str(i)] > 1 for i in range(10))
    assert left_out / trials <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials)


def test_a_true_difference_is_found() -> None:
    rng, trials = random.Random(4), 300
    found = 0
    for _ in range(trials):
        rows = {name: seeds(*(rng.gauss(mean, 1) for _ in range(5))) for name, mean in (("a", 0), ("b", 4), ("c", 4), ("d", 5))}
        found += best_tier(rows, "lower") == {"a"}
    assert found / trials > 0.6


def test_a_loose_row_neither_hides_a_difference_nor_is_promoted_without_a_word() -> None:
    tight = {name: seeds(*(mean + 0.01 * v for v in (1, -1, 0.5, -0.5, 0.1))) for name, mean in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    tight["b"][0] += 0.01
    tight["c"][1] += 0.01
    wild = (9, -9, 4, -7, 3)
    for mean, place, tier in ((0.5, (1, 2), 1), (1.5, (1, 2), 1), (2.5, (2, 3), 2), (9.0, (3, 4), 3)):
        found = tiers({**tight, "loose": seeds(*(mean + w for w in wild))}, "lower")
        assert [found.tier[name] for name in "abc"] == [1, 2, 3]
        assert (found.tier["loose"], found.place["loose"], found.wide) == (tier, place, {"loose"})
    assert tiers(tight, "lower").wide == frozenset()


def test_survivors_do_not_win() -> None:
    """`lost` diverged on the two hard seeds: its mean over the easy ones is the best of all, and hides no other row."""
    whole = {
        name: {seed: base + hard + 0.01 * seed * base for seed, hard in enumerate((0, 0, 0, 9, 9))} for name, base in (("a", 1), ("b", 2))
    }
    rows = {**whole, "lost": {0: 1.5, 1: 1.51, 2: 1.53}}
    assert min(rows, key=lambda row: sum(rows[row].values()) / len(rows[row])) == "lost"
    for lost in ((), ("lost",)):
        found = tiers(rows, "lower", lost)
        assert found.best() == {"a"}
        assert found.apart == {"lost": "lost runs" if lost else "fewer seeds"}
    assert tiers({**whole, "lost": dict.fromkeys(range(5), 0.0)}, "lower", ("lost",)).best() == {"a"}
    assert tiers({"a": whole["a"], "b": whole["b"]}, "lower", ("a", "b")).apart == {"a": "lost runs", "b": "lost runs"}


def test_rows_are_compared_on_the_seeds_that_most_have() -> None:
    five, three = {seed: 1.0 + 0.01 * seed for seed in range(5)}, {seed: 2.0 + 0.02 * seed for seed in range(3)}
    found = compare({"a": five, "b": five, "c": three, "none": {}}, "lower")
    assert (found.rows, found.values.shape, found.apart) == (("a", "b"), (2, 5), {"c": "fewer seeds"})
    ten = {seed: 3.0 + 0.03 * seed for seed in range(10)}
    found = compare({"a": five, "b": five, "ten": ten}, "lower")
    assert (found.rows, found.values.shape, found.apart) == (("a", "b", "ten"), (3, 5), {})


def test_fewer_than_three_common_seeds_support_nothing() -> None:
    assert best_tier({"a": seeds(1.0, 1.01), "b": seeds(9.0, 9.01)}, "lower") == set()
    apart = {"a": {0: 1.0, 1: 1.01, 2: 1.02}, "b": {1: 9.0, 2: 9.01, 3: 9.02}}
    assert best_tier(apart, "lower") == set()
    assert best_tier({"a": seeds(1.0, 1.01, 1.02), "b": seeds(9.0, 9.03, 9.02), "few": seeds(0.1)}, "lower") == {"a"}
    assert best_tier({"a": seeds(1.0, 2.0, 3.0)}, "lower") == best_tier({}, "lower") == set()


def test_order_does_not_matter() -> None:
    rng = random.Random(7)
    rows = {name: seeds(*(rng.gauss(mean, 0.3) for _ in range(5))) for name, mean in (("a", 1), ("b", 1.1), ("c", 2), ("d", 3))}
    expected = tiers(rows, "lower")
    assert expected.tier["a"] < expected.tier["d"]
    for _ in range(20):
        names = rng.sample(sorted(rows), len(rows))
        shuffled = {name: dict(rng.sample(sorted(rows[name].items()), 5)) for name in names}
        assert tiers(shuffled, "lower") == expected
    mirrored = {name: {s: -v for s, v in values.items()} for name, values in rows.items()}
    assert tiers(mirrored, "higher") == expected


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("power", [-1060, -600, 20, 530, 1015])
def test_a_column_of_any_scale_has_the_same_tiers(power: int) -> None:
    rows = {"good": GOOD, "bad": BAD, "worse": WORSE}
    scaled = {name: seeds(*(math.ldexp(round(64 * v), power - 6) for v in values)) for name, values in rows.items()}
    assert tiers(scaled, "lower").tier == {"good": 1, "bad": 2, "worse": 3}


@pytest.mark.filterwarnings("error")
def test_paired_p_of_any_scale() -> None:
    values = np.array([GOOD, BAD, WORSE])
    for scale in (1e308 / 3.4, 1e160, 1e-300):
        assert paired_p(values * scale) == pytest.approx(paired_p(values), rel=1e-6)
    assert paired_p(np.array([[1.5e308, 1.4e308, 1.5e308], [-1.5e308, -1.4e308, -1.5e308]]))[0, 1] < 0.01


@pytest.mark.filterwarnings("error")
def test_one_row_at_the_end_of_the_doubles_changes_nothing_among_the_others() -> None:
    rows = {"good": seeds(*GOOD), "bad": seeds(*BAD), "huge": seeds(*(v * 1e308 for v in (1.5, 1.4, 1.5, 1.6, 1.3)))}
    assert tiers(rows, "lower").tier == {"good": 1, "bad": 2, "huge": 3}
    assert tiers({**rows, "low": seeds(*(-v * 1e308 for v in (1.5, 1.4, 1.5, 1.6, 1.3)))}, "lower").best() == {"low"}
