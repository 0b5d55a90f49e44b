"""InfoVAE: its loss by loops, and the two methods that it has between."""

import math

import pytest
from small_methods import DIM, build, images, mmd_by_loops, noise, rows

from models.infovae import info_vae
from models.parts.prior import StandardNormal
from models.vae import vae_bernoulli

X = images(6)


def kl_by_loops(mean: list[list[float]], log_variance: list[list[float]]) -> float:
    terms = [m * m + math.exp(v) - 1 - v for a, b in zip(mean, log_variance, strict=True) for m, v in zip(a, b, strict=True)]
    return 0.5 * sum(terms) / len(mean)


def test_the_loss_is_the_loops() -> None:
    method = build(lambda: info_vae(DIM, alpha=0.3, scale=5.0, kernel="imq"))
    stream = noise(4)
    draw = method.draw(X, stream)
    prior = StandardNormal(DIM).sample(6, stream)
    reconstruction = method.recipe.cost(X, method.raw(draw.z)).mean().item()
    mmd = mmd_by_loops(prior, draw.z, lambda r2: 2 * DIM / (2 * DIM + r2))
    expected = reconstruction + 0.7 * kl_by_loops(rows(draw.mean), rows(draw.log_variance)) + 4.3 * mmd
    assert method.terms(X, noise(4))["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_alpha_zero_and_scale_one_is_the_vae_and_alpha_one_has_no_kl() -> None:
    vae = build(lambda: vae_bernoulli(DIM)).terms(X, noise(4))["loss"].item()
    assert build(lambda: info_vae(DIM, alpha=0.0, scale=1.0)).terms(X, noise(4))["loss"].item() == pytest.approx(vae, rel=1e-6)
    assert build(lambda: info_vae(DIM, alpha=1.0, scale=2.0)).terms(X, noise(4))["kl"].item() == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"alpha": 1.5}, "alpha must be 1 or smaller, not 1.5"),
        ({"alpha": 0.5, "scale": 0.2}, r"scale must be 1 - alpha = 0.5 or larger, not 0.2"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        info_vae(DIM, **values)
