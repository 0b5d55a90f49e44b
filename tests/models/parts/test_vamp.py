"""VampPrior: a mixture of posteriors of pseudo-inputs, trained by a player of their own."""

import math

import pytest
import torch
from small_methods import DIM, SHAPE, build, images, noise, tiny_with_batch_norm
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from models.ladder import prior_vamp
from models.method import AutoEncoder

X = images(6)


def make(components: int = 4, samples: int = 50, **values: object) -> AutoEncoder:
    return build(lambda: prior_vamp(DIM, components=components, samples=samples, **values))


def mixture(method: AutoEncoder) -> MixtureSameFamily:
    with torch.no_grad():
        q = method.recipe.posterior(method.encoder(method.recipe.prior.inputs), noise())
    parts = Independent(Normal(q.mean, (0.5 * q.log_variance).exp()), 1)
    return MixtureSameFamily(Categorical(logits=torch.zeros(len(q.mean))), parts)


def test_the_density_is_the_mean_posterior_of_the_pseudo_inputs() -> None:
    method, z = make(std_head="softplus"), torch.randn(20, DIM, generator=noise(3))
    assert torch.allclose(method.prior.log_prob(z), mixture(method).log_prob(z), rtol=1e-5)
    one = make(components=1, std_head="softplus")
    q = mixture(one).component_distribution
    by_hand = [
        sum(
            -0.5 * ((v - m) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)
            for v, m, s in zip(row, q.mean[0].tolist(), q.stddev[0].tolist(), strict=True)
        )
        for row in z.tolist()
    ]
    assert one.prior.log_prob(z).tolist() == pytest.approx(by_hand, rel=1e-4)


def test_samples_have_the_mixtures_moments() -> None:
    method = make(std_head="softplus")
    samples, p = method.prior.sample(40_000, noise(1)), mixture(method)
    assert samples.mean(0).tolist() == pytest.approx(p.mean[...].tolist(), abs=0.03)
    assert samples.var(0).tolist() == pytest.approx(p.variance.tolist(), rel=0.05)


def test_the_cross_entropy_is_the_mean_over_many_draws() -> None:
    method = make(samples=3000, std_head="softplus")
    draw, p = method.draw(X, noise(1)), mixture(method)
    z = draw.mean + (0.5 * draw.log_variance).exp() * torch.randn(20_000, *draw.mean.shape, generator=noise(2))
    assert method.prior.expected_log_prob(draw).tolist() == pytest.approx(p.log_prob(z).mean(0).tolist(), abs=0.1)
    assert not torch.allclose(p.log_prob(draw.z), p.log_prob(z).mean(0), atol=0.1), "one draw would not do"


def test_pseudo_inputs_are_images_of_standard_noise() -> None:
    inputs = make(components=300).recipe.prior.inputs
    assert inputs.shape == (300, *SHAPE)
    assert inputs.mean().item() == pytest.approx(0, abs=0.1)
    assert inputs.std().item() == pytest.approx(1, abs=0.1)


def test_pseudo_inputs_move_down_the_bound_and_the_encoder_sees_them_too() -> None:
    method = make(std_head="softplus", prior_lr=0.3)
    _, _, pseudo = method.players()
    assert (pseudo.name, pseudo.parameters, pseudo.lr) == ("pseudo_inputs", (method.recipe.prior.inputs,), 0.3)
    loss = pseudo.terms(X, noise(3))["loss"]
    assert loss.item() == pytest.approx(method.terms(X, noise(3))["cross_entropy"].item())
    loss.backward(inputs=pseudo.parameters)
    with torch.no_grad():
        method.recipe.prior.inputs -= 0.5 * method.recipe.prior.inputs.grad
    assert pseudo.terms(X, noise(3))["loss"] < loss
    cross, codes = method.terms(X, noise(3))["cross_entropy"], method.draw(X, noise(3))
    gradient = torch.autograd.grad(cross, method.encoder[-1].bias)[0]
    frozen = -torch.stack(
        [
            mixture(method).log_prob(codes.mean + (0.5 * codes.log_variance).exp() * torch.randn(6, DIM, generator=noise(k))).mean()
            for k in range(50)
        ]
    ).mean()
    through_z = torch.autograd.grad(frozen, method.encoder[-1].bias)[0]
    assert not torch.allclose(gradient, through_z, rtol=0.2), "the prior's own dependence on the encoder is in the gradient"


def test_pseudo_inputs_do_not_disturb_batch_norm() -> None:
    method = build(lambda: prior_vamp(DIM, components=4, samples=2), network=tiny_with_batch_norm)
    before = {name: value.clone() for name, value in method.encoder.named_buffers()}
    method.prior.sample(3, noise())
    method.prior.log_prob(torch.zeros(2, DIM))
    assert method.encoder.training
    assert all(torch.equal(value, before[name]) for name, value in method.encoder.named_buffers())


def test_a_copy_is_bound_to_its_own_encoder() -> None:
    method = make()
    own = ("inputs", "scale", "floor")
    assert not [name for name in method.state_dict() if name.startswith("parts") and not name.endswith(own)]
    assert method.recipe.prior.bound[0] is method.encoder


@pytest.mark.parametrize("values", [{"components": 0}, {"samples": 0}])
def test_what_cannot_be_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        prior_vamp(DIM, **values)
