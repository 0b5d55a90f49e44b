"""Several processes that train one run: the losses, gradients and weights of one process, whatever the method."""

from typing import Any

import numpy as np
import pytest
from shared_steps import ISSUE, all_of_it, each_apart, wholes
from teams import in_team
from variants import VARIANTS

SHORT = ("rae_gp", "rae_sn", "stacked_wae", "prior_vamp", "vq_vae", "avb", "vae_laplace", "vae_iaf")  # each shared in a way of its own


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """What each of two processes found."""
    return in_team(all_of_it)


def test_the_loss_curves_of_two_processes_are_those_of_one(found: list[dict[str, Any]]) -> None:
    for name in ISSUE:
        for process in found:
            alone, together = np.array(process["curves"][name]).T
            apart = np.abs(together / alone - 1).max()
            print(f"{name}: {len(alone)} steps, losses at most {apart:.1e} of themselves apart")
            assert apart < 1e-5, name


@pytest.mark.parametrize(
    "variants",
    [SHORT, pytest.param([name for name in VARIANTS if name not in SHORT], marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_each_method_has_the_terms_and_gradients_of_one_process(variants: list[str]) -> None:
    for process in in_team(each_apart, list(variants)):
        assert {name: terms for name, (terms, _) in process.items() if terms > 1e-6} == {}
        assert {name: gradients for name, (_, gradients) in process.items() if gradients > 1e-4} == {}


def test_batch_norm_clipping_and_bfloat16_are_those_of_one_process(found: list[dict[str, Any]]) -> None:
    for process in found:
        assert {name: apart for name, apart in process["kinds"].items() if max(apart) > (1e-2 if name == "bfloat16" else 1e-5)} == {}
        alone, together = process["state"]
        assert alone.keys() == together.keys() != set()
        for name in alone:
            np.testing.assert_allclose(*(np.frombuffer(state[name], np.float32) for state in (alone, together)), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_what_is_no_step_of_players_ends_the_same_in_all_processes() -> None:
    first, second = in_team(wholes)
    for name, (alone, (outcome, weights)) in first.items():
        assert (outcome.status, outcome.execution) == ("done", "eager: 2 processes")
        assert weights == second[name][1][1], f"{name}: to the bit"
        last = alone[0].curve[-1]
        assert {term: value for term, value in outcome.curve[-1].items() if abs(value - last[term]) > 1e-4 * abs(last[term]) + 1e-4} == {}


def test_processes_agree_on_the_end(found: list[dict[str, Any]]) -> None:
    assert found[0]["agreed"] == found[1]["agreed"] == (0.1, 3, None), "the first one's clock and losses count"
