"""Cross-entropy, rate and KL where the answer is known; the sliced distance against POT and loops."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from small_methods import noise, normal, uniform
from torch import Tensor
from torch.distributions import Independent, Normal

from metrics import aggregate_posterior as module
from metrics.aggregate_posterior import (
    METRICS,
    bound_log_prior,
    exact_log_prior,
    kl_sample,
    mean_log_q,
    rate,
    sliced_to_prior,
    sliced_wasserstein,
    weighted_log_prior,
)
from metrics.divergences import mmd_chunked
from metrics.fixed_subset import subset_indices
from metrics.kernels.sliced import unit_vectors
from metrics.latent import Codes
from metrics.metric import Unavailable, Views, measure
from models.parts.adam import Adam
from models.parts.density import Mixture
from models.parts.mixture import EM, MixturePrior
from models.parts.nested import NestedPrior
from models.parts.prior import StandardNormal

D = 3


def codes_of(mean: Tensor, std: Tensor, seed: int = 5) -> Codes:
    return Codes(mean + std * normal(*mean.shape, seed=seed).to(mean.dtype), mean, 2 * std.log())


CODES = codes_of(normal(40, D, seed=1), 0.2 + uniform(40, D, seed=2))


@pytest.mark.parametrize("variance", [1.0, 2.5])
def test_a_normal_prior_is_in_closed_form(variance: float) -> None:
    found = exact_log_prior(StandardNormal(D, variance), CODES, noise())
    for n in range(3):
        m, s2 = CODES.mean[n].tolist(), CODES.log_variance[n].exp().tolist()
        loops = sum(-0.5 * math.log(2 * math.pi * variance) - (mu * mu + v) / (2 * variance) for mu, v in zip(m, s2, strict=True))
        assert found[n].item() == pytest.approx(loops, rel=1e-12)
    q = Independent(Normal(CODES.mean, (0.5 * CODES.log_variance).exp()), 1)
    torch.manual_seed(0)
    drawn = StandardNormal(D, variance).log_prob(q.sample((20_000,)))
    assert found.mean().item() == pytest.approx(drawn.mean().item(), abs=5 * drawn.std().item() / math.sqrt(drawn.numel()))


def one_gaussian() -> Mixture:
    """A mixture of one component that is N(0, I): its exact density, without the verb of a closed form."""
    return Mixture(D, 1, 1e-6).double()


def test_a_mixture_is_exact_at_its_draws_and_agrees_with_the_closed_form() -> None:
    closed = exact_log_prior(StandardNormal(D), CODES, noise()).mean().item()
    drawn = exact_log_prior(one_gaussian(), CODES, noise(3)).mean().item()
    # the spread of ½ Σ (μ + σε)² over 100 draws of 40 images
    spread = ((CODES.mean * (0.5 * CODES.log_variance).exp()).square() + 0.5 * CODES.log_variance.exp().square()).sum(
        1
    ).mean().item() ** 0.5
    assert drawn == pytest.approx(closed, abs=4 * spread / math.sqrt(100 * 40))
    assert drawn != closed


def test_the_draws_are_those_of_q_and_the_mean_is_that_of_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWS", 4)
    prior, std = one_gaussian(), (0.5 * CODES.log_variance).exp()
    stream, total = noise(7), torch.zeros(40, dtype=torch.float64)
    for _ in range(4):
        z = CODES.mean + std * torch.randn(40, D, generator=stream, dtype=torch.float64)
        total += -0.5 * (z.square().sum(1) + D * math.log(2 * math.pi))
    assert exact_log_prior(prior, CODES, noise(7)).tolist() == pytest.approx((total / 4).tolist(), rel=1e-9)


@pytest.mark.parametrize("prior", [StandardNormal(D), one_gaussian()], ids=["closed form", "draws"])
def test_a_code_without_variance_is_taken_as_it_is(prior: object) -> None:
    codes = Codes(CODES.z, torch.zeros_like(CODES.z), None)
    expected = Independent(Normal(torch.zeros(D).double(), 1.0), 1).log_prob(CODES.z)
    assert exact_log_prior(prior, codes, noise()).tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def nested(std: float = 0.3) -> NestedPrior:
    """p(z) = N(0, I) ∘ t in closed form: g(t) = t with noise s, so p(z) = N(0, (1 + s²) I); its q(t|z) is not the posterior."""
    torch.manual_seed(0)
    prior = NestedPrior(2, 2, StandardNormal(2), width=8, head="softplus", warmup=0, adam=Adam(), scale_adam=Adam()).double()
    prior.decoder = torch.nn.Identity()
    prior.encoder = torch.nn.Linear(2, 4).double()
    with torch.no_grad():
        prior.encoder.weight.copy_(torch.cat([torch.eye(2), torch.zeros(2, 2)]))  # mean z
        prior.encoder.bias.copy_(torch.tensor([0, 0, *[math.log(math.expm1(std - 0.001))] * 2]))
        prior.raw_scale.fill_(0.1)
    return prior


def test_a_nested_prior_has_a_bound_and_an_estimate_on_either_side() -> None:
    prior, codes = nested(), Codes(normal(60, 2, seed=4), normal(60, 2, seed=4), torch.zeros(60, 2).double())
    exact = Normal(torch.zeros(2).double(), math.sqrt(1.01)).log_prob(codes.z).sum(1).mean().item()
    bound = bound_log_prior(prior, codes).mean().item()
    weighted = weighted_log_prior(prior, codes, noise(1)).mean().item()
    assert bound < exact - 0.5
    assert weighted == pytest.approx(exact, abs=0.1)
    assert bound < weighted
    with pytest.raises(Unavailable, match="no exact value"):
        exact_log_prior(prior, codes, noise())


def test_the_estimate_is_of_some_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IMAGES", 7)
    codes, here = codes_of(normal(20, 2, seed=4), uniform(20, 2) + 0.1), subset_indices(20, 7)
    log_prior = weighted_log_prior(nested(), codes, noise())
    assert log_prior.tolist() == pytest.approx(nested().importance_log_prob(codes.z[here], module.INNER, noise()).tolist())
    assert rate(codes, log_prior).item() == pytest.approx((mean_log_q(codes)[here] - log_prior).mean().item())


@pytest.mark.parametrize("of", [bound_log_prior, partial(weighted_log_prior, noise=noise())])
def test_only_a_nested_prior_has_bounds(of: Callable[[object, Codes], Tensor]) -> None:
    with pytest.raises(Unavailable, match="no latents of its own"):
        of(StandardNormal(D), CODES)


def test_a_prior_of_draws_alone_has_no_cross_entropy() -> None:
    with pytest.raises(Unavailable, match="draws but no density"):
        exact_log_prior(object(), CODES, noise())


def test_the_rate_is_the_kl_of_torch() -> None:
    q, p = Normal(CODES.mean, (0.5 * CODES.log_variance).exp()), Normal(torch.zeros(D).double(), 1.0)
    expected = torch.distributions.kl_divergence(q, p).sum(1).mean().item()
    assert rate(CODES, exact_log_prior(StandardNormal(D), CODES, noise())).item() == pytest.approx(expected, rel=1e-12)
    assert kl_sample(CODES).item() == pytest.approx(expected, rel=1e-12)
    wide = Normal(torch.zeros(D).double(), math.sqrt(3))
    expected = torch.distributions.kl_divergence(q, wide).sum(1).mean().item()
    assert rate(CODES, exact_log_prior(StandardNormal(D, 3.0), CODES, noise())).item() == pytest.approx(expected, rel=1e-12)
    assert kl_sample(CODES).item() != pytest.approx(expected)  # it is to N(0, I) whatever the prior


def test_log_q_of_another_density_is_taken_at_the_draw() -> None:
    log_q = normal(40, seed=8)
    assert mean_log_q(Codes(CODES.z, CODES.mean, None, log_q)).tolist() == log_q.tolist()
    for value in (mean_log_q, kl_sample):
        with pytest.raises(Unavailable, match=r"no density|no diagonal"):
            value(Codes(CODES.z, CODES.mean, None))


def test_the_sliced_distance_is_that_of_loops_and_of_pot() -> None:
    import ot  # which takes a second

    p, q, directions = normal(50, 4, seed=1), 1 + 2 * normal(50, 4, seed=2), unit_vectors(20, 4)
    total = 0.0
    for direction in directions.tolist():
        along = [sorted(sum(a * b for a, b in zip(row, direction, strict=True)) for row in side.tolist()) for side in (p, q)]
        total += sum((a - b) ** 2 for a, b in zip(*along, strict=True)) / 50
    found = sliced_wasserstein(p, q, directions).item()
    assert found == pytest.approx(math.sqrt(total / 20), rel=1e-12)
    assert found == pytest.approx(ot.sliced_wasserstein_distance(p.numpy(), q.numpy(), projections=directions.numpy().T, p=2), rel=1e-9)


def test_in_one_dimension_it_is_pots_exact_distance() -> None:
    import ot  # which takes a second

    p, q = normal(60, 1, seed=1), 0.5 + 1.5 * normal(60, 1, seed=2)
    exact = math.sqrt(ot.wasserstein_1d(p.numpy()[:, 0], q.numpy()[:, 0], p=2))
    assert sliced_wasserstein(p, q, unit_vectors(7, 1)).item() == pytest.approx(exact, rel=1e-9)
    by_plan = ot.emd2([], [], ot.dist(p.numpy(), q.numpy()))  # every coupling, not only sorted ones
    assert exact == pytest.approx(math.sqrt(by_plan), rel=1e-9)
    axis = torch.eye(3, dtype=torch.float64)[:1]  # points on a line in space, and that line alone
    there = [torch.nn.functional.pad(side, (0, 2)) for side in (p, q)]
    assert sliced_wasserstein(*there, axis).item() == pytest.approx(exact, rel=1e-9)


def test_directions_are_of_unit_length_and_always_the_same() -> None:
    assert unit_vectors(30, 5).norm(dim=1).tolist() == pytest.approx([1] * 30)
    assert torch.equal(unit_vectors(30, 5), unit_vectors(30, 5))
    assert np.linalg.matrix_rank(unit_vectors(30, 5).numpy()) == 5


def test_a_shift_is_found_by_every_distance() -> None:
    """W_2² of a law and itself shifted by v is |v|², and (θ·v)² along θ: |v|²/D in the mean over directions."""
    prior, z = normal(3000, D, seed=1), normal(3000, D, seed=2)
    shift = torch.tensor([3.0, 0, 0], dtype=torch.float64)
    near, far, wide = (Codes(x, x, None) for x in (z, z + shift, 3 * z))
    assert sliced_to_prior(near, prior).item() < 0.1
    assert sliced_to_prior(far, prior).item() == pytest.approx(3 / math.sqrt(D), rel=0.1)
    assert sliced_to_prior(wide, prior).item() == pytest.approx(2, rel=0.05)  # W_2 of N(0, 1) and N(0, 9)
    for distance in (lambda codes: mmd_chunked(prior, codes.z, 2.0 * D), lambda codes: sliced_to_prior(codes, prior).item()):
        assert distance(near) < 0.2 * min(distance(far), distance(wide))


def test_shifted_and_scaled_latents_lose_cross_entropy_by_the_known_amount() -> None:
    std = torch.full((40, D), 0.5, dtype=torch.float64)
    of = lambda mean, spread: exact_log_prior(StandardNormal(D), codes_of(mean, spread), noise()).mean().item()
    base, mean = of(CODES.mean, std), CODES.mean
    assert of(mean + 2, std) == pytest.approx(base - (2 * mean.sum(1) + 2 * D).mean().item())
    assert of(3 * mean, 3 * std) == pytest.approx(base - 4 * (mean.square().sum(1) + 0.25 * D).mean().item())


def test_order_and_chunks_of_codes_change_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    prior, order = normal(40, D, seed=3), torch.randperm(40, generator=noise(1))
    turned = Codes(*(part[order] for part in CODES[:3]))
    drawn = exact_log_prior(one_gaussian(), CODES, noise(3))
    for of in (
        kl_sample,
        lambda codes: exact_log_prior(StandardNormal(D), codes, noise()).mean(),
        lambda codes: sliced_to_prior(codes, prior),
    ):
        assert of(turned).item() == pytest.approx(of(CODES).item(), rel=1e-12)
    monkeypatch.setattr(module, "CHUNK", 7)
    assert exact_log_prior(one_gaussian(), CODES, noise(3)).tolist() == pytest.approx(drawn.tolist(), rel=1e-12)


def test_each_metric_reads_its_own_view() -> None:
    kinds = {"": -3.0, ".bound": -5.0, ".weighted": -4.0}
    made = {f"test.log_prior{kind}": torch.full((40,), value).double() for kind, value in kinds.items()}
    given = {**made, "test.codes": CODES, "prior.codes": normal(30, D, seed=6)}
    views = Views({name: lambda views, value=value: value for name, value in given.items()})
    found = {metric.name: measure(metric, views)["value"] for metric in METRICS}
    log_q = mean_log_q(CODES).mean().item()
    expected = {"agg_posterior_cross_entropy": -3, "agg_posterior_cross_entropy_bound": -5, "agg_posterior_cross_entropy_iw": -4}
    expected |= {"rate": log_q + 3, "rate_bound": log_q + 5, "rate_iw": log_q + 4, "kl_sample": kl_sample(CODES).item()}
    expected |= {"sliced_wasserstein_prior": sliced_to_prior(CODES, given["prior.codes"]).item()}
    assert found == pytest.approx(expected)
    assert {metric.name for metric in METRICS if metric.better == "higher"} == set(list(expected)[:3])
    assert len({metric.protocol for metric in METRICS}) == len(METRICS)


def test_a_refitted_mixture_of_codes_is_a_prior_with_an_exact_density() -> None:
    em = [EM(D, 2, warm=False, ridge=0.0).double() for _ in range(2)]
    prior = MixturePrior(*em, samples=3).eval()
    prior.refit(CODES.z, noise())
    values = exact_log_prior(prior, CODES, noise())
    normal_value = exact_log_prior(StandardNormal(D), CODES, noise())
    assert values.mean() > normal_value.mean()  # fitted to these very codes
