"""Evaluation mode for a while: each module is given back its own mode, also after an error."""

from collections.abc import Callable

import pytest
from small_methods import DIM, build, images, noise, tiny_with_batch_norm
from torch import nn

from models.ladder import prior_gmm, prior_vamp, vae_laplace
from models.method import AutoEncoder, Recipe
from models.parts.mode import evaluating


def breaks(module: nn.Module, _: object) -> None:
    """Before an encoder is run: in evaluation mode it breaks off."""
    if not module.training:
        raise ArithmeticError("broke off")


def modes(module: nn.Module) -> list[bool]:
    return [each.training for each in module.modules()]


def test_each_module_is_given_back_its_own_mode() -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2))).train()
    net[0].eval()  # frozen by whoever built it
    before = modes(net)
    with evaluating(net):
        assert not any(modes(net))
    assert modes(net) == before


@pytest.mark.parametrize(
    ("make", "run"),
    [
        (prior_vamp, lambda method: method.terms(images(4), noise())),
        (prior_gmm, lambda method: method.run_hook("epoch_ended", 1, lambda n: images(4), noise())),
        (vae_laplace, lambda method: method.run_hook("training_ended", 1, lambda n: images(4), noise())),
    ],
)
def test_a_part_that_breaks_off_leaves_every_mode_as_it_was(make: Callable[[int], Recipe], run: Callable[[AutoEncoder], object]) -> None:
    method = build(lambda: make(DIM), network=tiny_with_batch_norm).train()
    method.encoder.register_forward_pre_hook(breaks)
    before = modes(method)
    with pytest.raises(ArithmeticError):
        run(method)
    assert modes(method) == before
