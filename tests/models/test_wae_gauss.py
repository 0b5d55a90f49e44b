"""WAE-MMD with learned noise: its penalty by loops, its objective term by term, and what the penalty is there for."""

import pytest
import torch
from small_methods import DIM, build, images, mmd_by_loops, noise, normal, rows, sse_by_loops

from metrics.latent import Channel
from models.interfaces import Draw
from models.parts.prior import StandardNormal
from models.wae_gauss import LogVariancePenalty, wae_gauss

X = images(6)


def test_the_penalty_is_the_loops() -> None:
    mean, log_variance = normal(5, 3, seed=1), normal(5, 3, seed=2)
    by_loops = sum(abs(v) for row in rows(log_variance) for v in row) / 5  # summed over latents, mean over images (SPEC T16)
    assert LogVariancePenalty()(Draw(mean, mean, log_variance, noise()), None).item() == pytest.approx(by_loops)


def test_it_pulls_variances_to_one_from_either_side() -> None:
    log_variance = torch.tensor([[-3.0, 0.5]], requires_grad=True)
    mean = torch.zeros(1, 2)
    (gradient,) = torch.autograd.grad(LogVariancePenalty()(Draw(mean, mean, log_variance, noise()), None), log_variance)
    assert gradient.tolist() == [[-1, 1]]


def test_the_loss_is_sse_and_mmd_and_penalty() -> None:
    method = build(lambda: wae_gauss(DIM, weight=3.0, penalty=0.7))
    stream = noise(4)
    draw = method.draw(X, stream)
    prior = StandardNormal(DIM).sample(6, stream)
    sse = sum(sse_by_loops(X, method.decode(draw.z))) / 6
    mmd = mmd_by_loops(prior, draw.z, lambda r2: 2 * DIM / (2 * DIM + r2))
    penalty = sum(abs(v) for row in rows(draw.log_variance) for v in row) / 6
    assert not torch.equal(draw.z, draw.mean)
    assert method.terms(X, noise(4))["loss"].item() == pytest.approx(sse + 3 * mmd + 0.7 * penalty, rel=1e-5)


def test_its_noise_is_learned_and_its_power_is_the_priors() -> None:
    method = build(lambda: wae_gauss(DIM))
    assert method.channel == Channel(DIM, None, DIM)
    assert [str(regulariser) for _, regulariser in method.recipe.regularisers] == ["MMD, imq", "Σ|log σ²|"]
    assert [weight for weight, _ in method.recipe.regularisers] == [10.0, 2.5]


@pytest.mark.parametrize(
    ("values", "message"),
    [({"penalty": -1.0}, "penalty must be 0 or larger, not -1.0"), ({"weight": -1.0}, "weight must be 0 or larger, not -1.0")],
)
def test_impossible_values_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wae_gauss(DIM, **values)
