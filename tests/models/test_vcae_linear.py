"""A linear output: the error is that of the outputs as they are, images are clipped, and everything else is the method's own."""

from collections.abc import Callable

import pytest
import torch
from small_methods import DIM, build, images, noise, sse_by_loops

from models.method import Recipe
from models.parts.linear_output import LinearOutput
from models.vcae import dvcae, vcae
from models.vcae_linear import cwae_linear, dvcae_linear, vcae_linear
from models.wae import cwae

X = images(6)
PAIRS = [(vcae_linear, vcae, {"noise_variance": 0.1}), (dvcae_linear, dvcae, {}), (cwae_linear, cwae, {"kernel": "rbf"})]


@pytest.mark.parametrize(("linear", "plain", "values"), PAIRS)
def test_the_loss_is_the_loops_and_the_rest_is_the_method_s(
    linear: Callable[..., Recipe], plain: Callable[..., Recipe], values: dict[str, object]
) -> None:
    method, other = build(lambda: linear(DIM, weight=3.0, **values)), build(lambda: plain(DIM, weight=3.0, **values))
    y = method.decoder(method.draw(X, noise(4)).z)
    found, known = method.terms(X, noise(4)), other.terms(X, noise(4))
    assert found["reconstruction"].item() == pytest.approx(sum(sse_by_loops(X, y)) / len(X), rel=1e-5)
    assert found["reconstruction"] != known["reconstruction"]
    rest = {name for name in known if name not in ("loss", "reconstruction")}
    assert {name: found[name].item() for name in rest} == {name: known[name].item() for name in rest}
    assert (method.recipe.posterior.variance, method.recipe.target_variance) == (
        other.recipe.posterior.variance,
        plain(DIM).target_variance,
    )


def test_an_image_is_what_lies_in_range_and_an_error_outside_of_it_still_pulls() -> None:
    cost, y = LinearOutput(), torch.tensor([[-0.5, 0.25, 1.5]], requires_grad=True)
    x = torch.tensor([[0.0, 0.25, 1.0]])
    assert cost.image(y).tolist() == [[0.0, 0.25, 1.0]]
    assert cost(x, y).item() == pytest.approx(0.5)
    cost(x, y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [[-1.0, 0.0, 1.0]]


def test_signals_are_not_clipped() -> None:
    wave = torch.tensor([[-3.0, 2.0]])
    assert LinearOutput().on_reals().image(wave).tolist() == wave.tolist()
