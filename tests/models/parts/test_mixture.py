"""Mixtures as priors: density against torch, one coordinate update against SPEC 1.8 by loops, fits between epochs."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.mixture import GaussianMixture
from small_methods import DIM, LEVELS, build, images, noise, normal, pixels, rows, tiny_with_batch_norm, training, weights
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from bench.datasets.batches import Batches
from bench.suites.schema import Budget
from bench.training.train import train
from models.interfaces import Draw
from models.ladder import prior_gmm
from models.parts.mixture import EM, MixturePrior, Refitted, Variational, codes_of, stick_weights
from models.parts.prior import StandardNormal

CENTRES = torch.tensor([[-3.0, 0], [3, 1], [0, 4]])
CODES = torch.cat([c + 0.5 * normal(200, 2, seed=k).float() for k, c in enumerate(CENTRES)])


def variational(components: int = 4, *, warm: bool = True, kind: str = "dirichlet_process", steps: int = 200) -> Variational:
    return Variational(2, components, warm=warm, weights=kind, concentration=0.1, steps=steps)


def fitted(mixture: EM | Variational) -> EM | Variational:
    mixture.fit(CODES, noise(1))
    return mixture


def as_torch(mixture: EM | Variational) -> MixtureSameFamily:
    parts = MultivariateNormal(mixture.means, scale_tril=mixture.roots)
    return MixtureSameFamily(Categorical(logits=mixture.log_weights), parts)


@pytest.mark.parametrize("make", [lambda: EM(2, 4, warm=True, ridge=0.01), variational])
def test_a_mixture_starts_as_a_standard_normal_and_has_the_density_of_torch(make: object) -> None:
    mixture, z = make(), 3 * normal(30, 2, seed=5).float()
    assert torch.allclose(mixture.log_prob(z), StandardNormal(2).log_prob(z), atol=1e-5)
    fitted(mixture)
    assert torch.allclose(mixture.log_prob(z), as_torch(mixture).log_prob(z), rtol=1e-4)
    samples = mixture.sample(20_000, noise(2))
    assert samples.mean(0).tolist() == pytest.approx(CODES.mean(0).tolist(), abs=0.1)
    assert torch.allclose(samples.T.cov(), CODES.T.cov(), atol=0.25)


def test_em_finds_the_components_and_widens_them_by_the_ridge() -> None:
    plain, ridged = (fitted(EM(2, 3, warm=True, ridge=ridge)) for ridge in (0.0, 0.01))
    for k, centre in enumerate(CENTRES):
        found = (plain.means - centre).norm(dim=1)
        assert found.min() < 0.15
        j = int(found.argmin())
        covariance = CODES[200 * k : 200 * (k + 1)].T.cov(correction=0)
        assert torch.allclose(plain.roots[j] @ plain.roots[j].T, covariance, atol=0.02)
    narrow, wide = (m.roots @ m.roots.mT for m in (plain, ridged))
    assert torch.allclose(wide - narrow, 0.01 * torch.eye(2).expand(3, 2, 2), atol=1e-5)


def test_a_warm_em_goes_on_where_it_was() -> None:
    warm, cold = (EM(2, 3, warm=w, ridge=0.0) for w in (True, False))
    for mixture in (warm, cold):
        mixture.fit(CODES, noise(1))
        before = mixture.means.clone()
        mixture.fit(CODES, noise(9))
        assert torch.allclose(before.sort(0).values, mixture.means.sort(0).values, atol=0.01)
        assert torch.allclose(before, mixture.means, atol=0.01) == mixture.warm, "k-means of another seed names them in another order"


def test_the_golden_stick_weights() -> None:
    found = stick_weights(np.array([3.0, 2, 1]), np.array([4.0, 1, 0.1]))
    assert found.tolist() == pytest.approx([0.428571, 0.380952, 0.190476], abs=1e-6)
    assert found.sum() == pytest.approx(1)


def coordinate_update(codes: list[list[float]], counts: list[float], means: Tensor, covariances: Tensor, kind: str) -> list[list[object]]:
    """SPEC 1.8 with m_0 = 0, β_0 = 1, ν_0 = d, W_0 = I, component by component; the last stick as scikit-learn has it."""
    K, d, alpha = len(counts), len(codes[0]), 0.1
    log_r = []
    for t in codes:
        row = []
        for m in range(K):
            nu, beta = d + counts[m], 1 + counts[m]
            W = torch.linalg.inv(nu * covariances[m])
            gammas = [(1 + counts[j], alpha + sum(counts[j + 1 :])) for j in range(K)]
            if kind == "dirichlet_process":
                log_w = digamma(gammas[m][0]) - digamma(sum(gammas[m]))
                log_w += sum(digamma(gammas[j][1]) - digamma(sum(gammas[j])) for j in range(m))
            else:
                log_w = digamma(alpha + counts[m]) - digamma(K * alpha + sum(counts))
            delta = torch.tensor(t, dtype=torch.float64) - means[m]
            log_det = sum(digamma((nu + 1 - a) / 2) for a in range(1, d + 1)) + d * math.log(2) + torch.logdet(W).item()
            row.append(log_w + 0.5 * log_det - 0.5 * (d / beta + nu * (delta @ W @ delta).item()))
        top = max(row)
        total = sum(math.exp(v - top) for v in row)
        log_r.append([v - top - math.log(total) for v in row])
    found = []
    for m in range(K):
        r = [math.exp(row[m]) for row in log_r]
        N = sum(r)
        mean = sum(w * torch.tensor(t, dtype=torch.float64) for w, t in zip(r, codes, strict=True)) / N
        scatter = sum(
            w * torch.outer(torch.tensor(t, dtype=torch.float64) - mean, torch.tensor(t, dtype=torch.float64) - mean)
            for w, t in zip(r, codes, strict=True)
        )
        inverse_W = torch.eye(d, dtype=torch.float64) + scatter + N / (1 + N) * torch.outer(mean, mean)
        found.append([N, N * mean / (1 + N), inverse_W / (d + N)])
    return found


@pytest.mark.parametrize("kind", ["dirichlet_process", "dirichlet_distribution"])
def test_two_warm_steps_are_two_coordinate_updates(kind: str) -> None:
    mixture = variational(3, kind=kind, steps=2)
    blob = normal(60, 2, seed=4).float()  # its components overlap: a code is never sure of its own
    mixture.fit(blob, noise(1))
    before = [mixture.counts.tolist(), mixture.means.double(), (mixture.roots @ mixture.roots.mT).double()]
    others = 1.2 * blob[::2] + 0.3
    first = coordinate_update(others.tolist(), *before, kind)
    expected = coordinate_update(others.tolist(), *([row[k] for row in first] for k in range(3)), kind)
    mixture.fit(others, noise(3))
    assert mixture.counts.tolist() == pytest.approx([float(N) for N, _, _ in expected], rel=2e-4)
    assert sum(before[0]) == pytest.approx(60, rel=1e-4)
    for m, (_, mean, covariance) in enumerate(expected):
        assert torch.allclose(mixture.means[m].double(), mean, rtol=1e-3, atol=1e-4)
        assert torch.allclose((mixture.roots[m] @ mixture.roots[m].T).double(), covariance, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["dirichlet_process", "dirichlet_distribution"])
def test_weights_are_those_of_the_posterior(kind: str) -> None:
    mixture = fitted(variational(4, kind=kind))
    N = mixture.counts.tolist()
    assert mixture.log_weights.exp().sum().item() == pytest.approx(1)
    if kind == "dirichlet_distribution":
        expected = [(0.1 + n) / (0.4 + sum(N)) for n in N]
    else:
        fractions = [(1 + N[m]) / (1 + N[m] + 0.1 + sum(N[m + 1 :])) for m in range(3)] + [1.0]
        expected = [fractions[m] * math.prod(1 - f for f in fractions[:m]) for m in range(4)]
    assert mixture.log_weights.exp().tolist() == pytest.approx(expected, rel=1e-4)


def test_components_without_codes_lose_their_weight() -> None:
    mixture = fitted(variational(8, steps=1000))
    assert sum(w > 0.01 for w in mixture.log_weights.exp().tolist()) < 8
    assert mixture.log_prob(CODES).mean() > StandardNormal(2).log_prob(CODES).mean() + 2


@pytest.mark.parametrize("make", [lambda: EM(2, 3, warm=True, ridge=0.01), lambda: variational(3)])
def test_a_fit_goes_on_from_a_state_bit_for_bit(make: object) -> None:
    one, other = fitted(make()), make()
    other.load_state_dict(one.state_dict())
    for mixture in (one, other):
        mixture.fit(CODES[::2] + 1, noise(4))
    assert weights(one) == weights(other)


def refitted(samples: int = 100, components: int = 3) -> Refitted:
    return Refitted(EM(2, components, warm=True, ridge=0.01), EM(2, components, warm=False, ridge=0.0), samples=samples)


def test_training_uses_the_fast_fit_and_evaluation_the_final_one() -> None:
    prior, z = refitted(), CODES[:20]
    prior.refit(CODES[:450], noise(1))  # components of different weights
    assert torch.equal(prior.log_prob(z), prior.eval().log_prob(z)), "until it is fitted, the final one is a copy"
    prior.finish(CODES + 5, noise(1))
    assert torch.allclose(prior.log_prob(z + 5), as_torch(prior.final).log_prob(z + 5), rtol=1e-4)
    assert torch.allclose(prior.train().log_prob(z), as_torch(prior.fast).log_prob(z), rtol=1e-4)
    point = Draw(z, z, torch.full_like(z, -20.0), noise())
    assert torch.allclose(prior.expected_log_prob(point), as_torch(prior.fast).log_prob(z), atol=1e-2)
    assert torch.allclose(prior.eval().expected_log_prob(point), as_torch(prior.final).log_prob(z), atol=1e-2)
    assert prior.eval().sample(4000, noise()).mean(0).tolist() == pytest.approx((CODES.mean(0) + 5).tolist(), abs=0.3)


def test_the_mean_log_density_of_a_mixture_is_its_own_under_the_posterior() -> None:
    """A posterior narrow enough is a point; one component under a wide one has a closed form."""
    prior = refitted(samples=4000, components=1)
    prior.refit(CODES, noise(1))
    mean, std = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.7, 0.3]])
    component = prior.fast
    precision = torch.cholesky_inverse(component.roots[0])
    extra = 0.5 * (precision.diagonal() * std[0].square()).sum()
    expected = component.log_prob(mean) - extra
    found = prior.expected_log_prob(Draw(mean, mean, 2 * std.log(), noise(2)))
    assert found.item() == pytest.approx(expected.item(), abs=0.03)


def test_codes_that_are_no_numbers_leave_a_mixture_as_it_is() -> None:
    prior = refitted()
    before = weights(prior)
    prior.refit(torch.full((40, 2), torch.nan), noise())
    prior.finish(torch.full((40, 2), torch.inf), noise())
    assert weights(prior) == before


def test_there_are_codes_enough_for_the_components() -> None:
    assert (refitted().count(2000, 40), refitted().count(2000, 500), refitted().count(2000, 60_000)) == (40, 500, 2000)
    assert refitted(components=50).count(2000, 40) == 500


def test_codes_have_the_encoders_noise_and_leave_the_mode_alone() -> None:
    method = build(lambda: prior_gmm(DIM, components=2, samples=2))
    codes = codes_of(method, images(5), 12, noise(1))
    assert codes.shape == (12, DIM)
    assert method.training
    assert not torch.equal(codes[:5], codes[5:10]), "every pass has noise of its own"
    assert torch.equal(codes[:5], method.draw(images(5), noise(1)).z)


def test_codes_of_many_images_are_of_all_of_them_and_of_the_running_moments() -> None:
    method = build(lambda: prior_gmm(DIM, components=2, samples=2), network=tiny_with_batch_norm)
    method.draw(2 * images(50), noise())  # running moments that are no batch's own
    x = images(2300)
    codes = codes_of(method, x, 2300, noise(1))
    assert method.training
    draws = [method.eval().draw(one, noise()) for one in x.split(100)]
    mean, std = (torch.cat(parts) for parts in zip(*((d.mean, (0.5 * d.log_variance).exp()) for d in draws), strict=True))
    standard = (codes - mean) / std
    assert standard.abs().max() < 5, "each is a draw of its own image's posterior"
    assert standard.std().item() == pytest.approx(1, abs=0.03)


def test_fits_ask_for_as_many_codes_as_the_code_has() -> None:
    method, asked = build(lambda: prior_gmm(DIM, components=2, samples=2)), list[int]()

    def draw_images(n: int) -> Tensor:
        asked.append(n)
        return images(min(n, 40))

    method.run_hook("epoch_ended", 1, draw_images, noise())
    method.run_hook("training_ended", 1, draw_images, noise())
    assert asked == [2_000, 10_000, 20_000]  # 10,000 images are for the floor of the likelihood


def test_epochs_fit_the_prior_and_the_end_fits_it_again() -> None:
    method, batches = build(lambda: prior_gmm(DIM, components=2, samples=2)), Batches(pixels(60), LEVELS, 20, seed=3)
    prior = method.recipe.prior
    assert isinstance(prior, MixturePrior)
    start = prior.fast.means.clone()
    train(training(method, Budget(steps=2), batches), batches)
    assert torch.equal(prior.fast.means, start), "no epoch has ended"
    assert bool(prior.final.fitted), "but training has"
    train(training(method, Budget(epochs=2), batches), batches)
    assert bool(prior.fast.fitted)
    x = batches.draw_images(2, 60)
    found = method.eval().prior.sample(4000, noise())
    assert torch.allclose(found.mean(0), codes_of(method, x, 600, noise()).mean(0), atol=0.25)


def test_resumed_training_is_bit_identical() -> None:
    def run(stop: int | None) -> dict[str, bytes]:
        method, batches = build(lambda: prior_gmm(DIM, components=2, samples=2)), Batches(pixels(60), LEVELS, 20, seed=3)
        states: list[dict[str, object]] = []
        if stop:
            first = training(method, Budget(steps=9), batches)
            for step in range(stop):
                first.take_step(batches)
                if (step + 1) % 3 == 0:
                    first.call_hooks("epoch_ended", batches)
            states.append(first.state(0.0))
            method = build(lambda: prior_gmm(DIM, components=2, samples=2), seed=7)
        train(training(method, Budget(steps=9), batches), batches, state=states[0] if stop else None)
        return weights(method)

    assert run(None) == run(4) == run(6)


def test_the_loss_is_the_bound_by_draws() -> None:
    method, x = build(partial(prior_gmm, DIM, components=3, samples=4000)), images(4)
    prior = method.recipe.prior
    prior.refit(normal(100, DIM, seed=1).float() * torch.tensor([1.0, 2.0, 0.5]), noise(1))
    draw = method.draw(x, noise(2))
    found = method.terms(x, noise(2))["cross_entropy"].item()
    z = draw.mean + (0.5 * draw.log_variance).exp() * normal(20_000, 4, DIM, seed=9).float()
    expected = -as_torch(prior.fast).log_prob(z).mean().item()
    assert found == pytest.approx(expected, abs=0.05)
    assert len(rows(draw.z)) == 4


@pytest.mark.parametrize("values", [{"samples": 0}, {"components": 0}])
def test_what_cannot_be_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, not 0"):
        prior_gmm(DIM, **values)
    with pytest.raises(ValueError, match="concentration must be positive"):
        Variational(2, 3, warm=True, weights="dirichlet_process", concentration=0.0, steps=5)


def test_a_warm_em_starts_from_the_mixture_as_it_is_in_the_loss() -> None:
    mixture = EM(2, 3, warm=True, ridge=0.01)
    blurred = CODES + 2 * normal(600, 2, seed=8).float()
    mixture.fit(blurred, noise(1))
    start = {
        "weights_init": mixture.log_weights.double().exp(),
        "means_init": mixture.means,
        "precisions_init": mixture.roots @ mixture.roots.mT,
    }
    start["weights_init"] /= start["weights_init"].sum()
    start["precisions_init"] = torch.linalg.inv(start["precisions_init"].double())
    expected = GaussianMixture(3, **{name: value.double().numpy() for name, value in start.items()}).fit(blurred.double().numpy() * 1.5)
    mixture.fit(blurred * 1.5, noise(2))
    assert np.allclose(mixture.means.numpy(), expected.means_, atol=1e-4)
    assert np.allclose((mixture.roots @ mixture.roots.mT).numpy() - 0.01 * np.eye(2), expected.covariances_, atol=1e-3)
