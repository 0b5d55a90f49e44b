"""Evaluation mode for a while: each module is given back its own mode, also after an error."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_methods import DIM, build, images, noise, tiny_with_batch_norm
from torch import Tensor, nn

from models.interfaces import Draw
from models.ladder import prior_gmm, prior_vamp, vae_laplace
from models.method import AutoEncoder, Recipe
from models.parts.mode import evaluating
from models.parts.posterior import DiagonalGaussian


class Breaks(DiagonalGaussian):
    """A posterior that breaks off where the encoder is in evaluation mode."""

    method: AutoEncoder

    def bind(self, method: AutoEncoder) -> None:
        type(self).method = method

    def __call__(self, features: Tensor, noise: torch.Generator) -> Draw:
        if not self.method.encoder.training:
            raise ArithmeticError("broke off")
        return super().__call__(features, noise)


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
    method = build(lambda: replace(make(DIM), posterior=Breaks("relu")), network=tiny_with_batch_norm).train()
    before = modes(method)
    with pytest.raises(ArithmeticError):
        run(method)
    assert modes(method) == before
