"""q(z) against loops, torch.distributions and Gaussians whose total correlation is known."""

import math
from functools import partial

import pytest
import torch
from scipy.stats import multivariate_normal
from small_methods import noise, normal, uniform
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from metrics import total_correlation as module
from metrics.aggregate_posterior import mean_log_q
from metrics.fixed_subset import subset, subset_indices
from metrics.latent import Codes
from metrics.metric import Unavailable, Views, measure
from metrics.total_correlation import (
    METRICS,
    LogQ,
    discriminated,
    full_mixture,
    index_code,
    marginal_kl,
    minibatch_of,
    minibatch_stratified,
    minibatch_weighted,
    mixture_of,
    shuffled,
    total_correlation,
)
from models.parts.prior import StandardNormal

N, D = 30, 3
MEAN, LOG_VARIANCE = normal(N, D, seed=1), (0.1 + uniform(N, D, seed=2)).log()
CODES = Codes(MEAN + (0.5 * LOG_VARIANCE).exp() * normal(N, D, seed=3), MEAN, LOG_VARIANCE)


def density(z: float, mean: float, log_variance: float) -> float:
    return math.exp(-0.5 * (z - mean) ** 2 / math.exp(log_variance)) / math.sqrt(2 * math.pi * math.exp(log_variance))


def by_loops(z: Tensor, mean: Tensor, log_variance: Tensor, weights: list[list[float]]) -> LogQ:
    joint, marginals = [], []
    for i, point in enumerate(z.tolist()):
        pairs = list(zip(weights[i], mean.tolist(), log_variance.tolist(), strict=True))
        joint.append(math.log(sum(w * math.prod(map(density, point, m, v)) for w, m, v in pairs)))
        marginals.append([math.log(sum(w * density(point[k], m[k], v[k]) for w, m, v in pairs)) for k in range(len(point))])
    return LogQ(torch.tensor(joint), torch.tensor(marginals))


def same(found: LogQ, expected: LogQ, rel: float = 1e-6) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.flatten().tolist() == pytest.approx(b.flatten().tolist(), rel=rel)


def test_the_mixture_is_the_loops_and_torchs() -> None:
    found = full_mixture(CODES.z[:7], MEAN, LOG_VARIANCE)
    same(found, by_loops(CODES.z[:7], MEAN, LOG_VARIANCE, [[1 / N] * N] * 7))
    parts = Independent(Normal(MEAN, (0.5 * LOG_VARIANCE).exp()), 1)
    mixture = MixtureSameFamily(Categorical(torch.ones(N, dtype=torch.float64)), parts)
    assert found.joint.tolist() == pytest.approx(mixture.log_prob(CODES.z[:7]).tolist(), rel=1e-12)


@pytest.mark.parametrize("block", [1, 7 * D, 7 * D * 4, 10**6])
def test_memory_is_bounded_and_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, sizes, terms = full_mixture(CODES.z[:7], MEAN, LOG_VARIANCE), list[int](), module.log_terms

    def watched(*args: Tensor) -> Tensor:
        sizes.append(terms(*args).numel())
        return terms(*args)

    monkeypatch.setattr(module, "log_terms", watched)
    same(full_mixture(CODES.z[:7], MEAN, LOG_VARIANCE, block=block), whole, rel=1e-12)
    assert max(sizes) <= max(block, 7 * D)
    order = torch.randperm(N, generator=noise(1))
    same(full_mixture(CODES.z[:7], MEAN[order], LOG_VARIANCE[order], block=block), whole, rel=1e-12)


def test_a_code_far_from_all_has_a_finite_density() -> None:
    found = full_mixture(torch.full((1, D), 1e3), MEAN, LOG_VARIANCE)
    assert -math.inf < found.joint.item() < -1e5


def test_minibatch_weighted_sampling_is_the_loops() -> None:
    found = minibatch_weighted(CODES.z[:6], MEAN[:6], LOG_VARIANCE[:6], 1000)
    same(found, by_loops(CODES.z[:6], MEAN[:6], LOG_VARIANCE[:6], [[1 / 6000] * 6] * 6))


def test_minibatch_stratified_sampling_is_the_loops() -> None:
    n, m = 1000, 5
    weights = [[1 / m] * 6 for _ in range(6)]
    for i in range(6):
        weights[i][i], weights[i][(i + 1) % 6] = 1 / n, (n - m) / (n * m)
        assert sum(weights[i]) == pytest.approx(1)
    found = minibatch_stratified(CODES.z[:6], MEAN[:6], LOG_VARIANCE[:6], n)
    same(found, by_loops(CODES.z[:6], MEAN[:6], LOG_VARIANCE[:6], weights))


def test_only_the_stratified_estimate_of_q_is_unbiased() -> None:
    """Over minibatches that have the code's own image in the first place."""
    z, exact = CODES.z[:1], full_mixture(CODES.z[:1], MEAN, LOG_VARIANCE).joint.exp().item()
    found: dict[str, list[float]] = {"mws": [], "mss": []}
    for seed in range(3000):
        batch = torch.cat([torch.tensor([0]), 1 + torch.randperm(N - 1, generator=noise(seed))[:7]])
        points = torch.cat([z, CODES.z[batch[1:]]])
        for name, estimate in (("mws", minibatch_weighted), ("mss", minibatch_stratified)):
            found[name].append(estimate(points, MEAN[batch], LOG_VARIANCE[batch], N).joint[0].exp().item())
    means = {name: torch.tensor(values).mean().item() for name, values in found.items()}
    error = torch.tensor(found["mss"]).std().item() / math.sqrt(3000)
    assert means["mss"] == pytest.approx(exact, abs=4 * error)
    assert means["mws"] < exact / 3


def test_where_all_posteriors_are_one_the_bias_is_the_stated_one() -> None:
    n = 60
    z = normal(n, D, seed=4)
    codes = Codes(z, torch.zeros(n, D).double(), torch.zeros(n, D).double())
    prior = StandardNormal(D)
    for log_q in (mixture_of(codes), minibatch_of(minibatch_stratified, codes)):
        assert total_correlation(log_q).item() == pytest.approx(0, abs=1e-12)
        assert marginal_kl(log_q, codes, prior).item() == pytest.approx(0, abs=1e-12)
        assert index_code(log_q, codes).item() == pytest.approx(0, abs=1e-12)
    weighted = minibatch_of(minibatch_weighted, codes)
    assert total_correlation(weighted).item() == pytest.approx((D - 1) * math.log(n))
    assert marginal_kl(weighted, codes, prior).item() == pytest.approx(-math.log(n))


def gaussian_codes(rho: float, n: int, scale: float = 1.0) -> Codes:
    """q(z) = N(0, scale² [[1, ρ], [ρ, 1]]) up to sampling: means of N(0, · - 0.1 I) and noise of variance 0.1."""
    sigma = scale**2 * torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64)
    mean = normal(n, 2, seed=11) @ torch.linalg.cholesky(sigma - 0.1 * torch.eye(2)).T
    return Codes(mean + math.sqrt(0.1) * normal(n, 2, seed=12), mean, torch.full((n, 2), math.log(0.1)).double())


@pytest.mark.parametrize(("rho", "scale"), [(0.0, 1.0), (0.8, 1.0), (-0.6, 2.0)])
def test_gaussians_have_the_known_values(rho: float, scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS", 1500)
    codes, tc = gaussian_codes(rho, 6000, scale), -0.5 * math.log(1 - rho**2)
    kl = 0.5 * (2 * scale**2 - 2 - 2 * math.log(scale**2)) + tc  # of N(0, Σ) to N(0, I)
    log_q = mixture_of(codes)
    # the sampling error of 1,500 points: the log-ratio's spread is |ρ| for TC, and that of the quadratic forms for the KL
    assert total_correlation(log_q).item() == pytest.approx(tc, abs=0.03 + 4 * abs(rho) / math.sqrt(1500))
    assert marginal_kl(log_q, codes, StandardNormal(2)).item() == pytest.approx(kl, abs=0.03 + 4 * scale**2 / math.sqrt(1500))
    points = subset(codes.z, 1500).numpy()
    truth = multivariate_normal([0, 0], scale**2 * torch.tensor([[1, rho], [rho, 1]]).numpy()).logpdf(points)
    assert log_q.joint.mean().item() == pytest.approx(truth.mean(), abs=0.03)
    noise_entropy = math.log(2 * math.pi * math.e * 0.1)
    expected = math.log(2 * math.pi * math.e) + math.log(scale**2) - tc - noise_entropy  # H(z) - H(z|x)
    assert index_code(log_q, codes).item() == pytest.approx(expected, abs=0.1)


def test_minibatch_estimates_of_gaussians_err_to_the_stated_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """log q is too low: the KL of the minibatch estimates below that of the mixture, by up to log N for MWS; and MSS is nearer."""
    monkeypatch.setattr(module, "POINTS", 500)
    codes, tc = gaussian_codes(0.8, 6000), -0.5 * math.log(1 - 0.8**2)
    prior, exact = StandardNormal(2), mixture_of(codes)
    mss, mws = (minibatch_of(estimate, codes) for estimate in (minibatch_stratified, minibatch_weighted))
    assert (mws.joint.mean() < mss.joint.mean() < exact.joint.mean()).item()
    assert total_correlation(mss).item() == pytest.approx(tc, abs=0.15)
    assert tc + 0.5 < total_correlation(mws).item() < tc + math.log(6000)
    assert marginal_kl(mss, codes, prior).item() == pytest.approx(tc, abs=0.2)  # E of the two marginals is N(0, 1)
    assert -math.log(6000) < marginal_kl(mws, codes, prior).item() < -1


def test_the_rate_is_index_code_information_and_marginal_kl() -> None:
    """Chen et al., Eq. 2, at the same codes."""
    log_q, prior = mixture_of(CODES), StandardNormal(D)
    q = Independent(Normal(MEAN, (0.5 * LOG_VARIANCE).exp()), 1)
    at_codes = (q.log_prob(CODES.z) - prior.log_prob(CODES.z)).mean().item()
    assert (index_code(log_q, CODES) + marginal_kl(log_q, CODES, prior)).item() == pytest.approx(at_codes, rel=1e-12)
    assert at_codes != pytest.approx((mean_log_q(CODES) - prior.log_prob(CODES.z)).mean().item())


def test_information_is_at_most_log_n() -> None:
    far = Codes(100 * MEAN + 0.1 * normal(N, D, seed=3), 100 * MEAN, torch.full((N, D), math.log(0.01)).double())
    assert index_code(mixture_of(far), far).item() == pytest.approx(math.log(N))


def test_points_are_some_of_the_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POINTS", 4)
    here = subset_indices(N, 4)
    same(mixture_of(CODES), full_mixture(CODES.z[here], MEAN, LOG_VARIANCE))
    same(minibatch_of(minibatch_weighted, CODES), minibatch_weighted(CODES.z[here], MEAN[here], LOG_VARIANCE[here], N))


@pytest.mark.parametrize("prior", [object(), type("Nested", (), {"log_prob": None, "importance_log_prob": None})()])
def test_no_marginal_kl_without_an_exact_density(prior: object) -> None:
    with pytest.raises(Unavailable, match="no exact density"):
        marginal_kl(mixture_of(CODES), CODES, prior)


def test_another_posterior_has_no_mixture() -> None:
    for of in (mixture_of, partial(minibatch_of, minibatch_weighted)):
        with pytest.raises(Unavailable, match="no diagonal Gaussian"):
            of(Codes(CODES.z, MEAN, None))


def test_shuffling_keeps_each_latent_and_ends_what_they_share() -> None:
    z = normal(4000, 1, seed=1).expand(-1, 3).contiguous()
    other = shuffled(z, noise())
    assert torch.equal(other.sort(0).values, z.sort(0).values)
    assert torch.corrcoef(other.T).triu(1).abs().max() < 0.06
    assert not torch.equal(other[:, 0], other[:, 1])


def test_the_discriminator_finds_the_total_correlation_of_gaussians() -> None:
    rho = 0.8
    z = torch.stack([normal(12_000, seed=1), normal(12_000, seed=2)], 1)
    joint = torch.stack([z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1]], 1)
    assert discriminated(joint[:10_000], joint[10_000:]) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.1)
    apart = shuffled(joint[10_000:], noise(3))  # what it was taught are no codes
    assert discriminated(joint[:10_000], apart) < -0.3
    assert discriminated(z[:10_000], z[10_000:]) == pytest.approx(0, abs=0.03)


def test_the_discriminator_is_seeded_and_forgets_scales() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    z = normal(300, 2, seed=1)
    first = discriminated(z[:200], z[200:], steps=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert discriminated(z[:200], z[200:], steps=5) == first
    moved = 7 * z + 3
    assert discriminated(moved[:200], moved[200:], steps=5) == pytest.approx(first, rel=1e-4)
    still = torch.cat([z, torch.zeros(300, 1).double()], 1)
    assert math.isfinite(discriminated(still[:200], still[200:], steps=5)), "a latent that never moves"


def test_each_metric_reads_its_own_view() -> None:
    prior = StandardNormal(D)
    views = {
        "train.mixture": full_mixture(CODES.z[:5], MEAN, LOG_VARIANCE),
        "train.mws": minibatch_weighted(CODES.z[:6], MEAN[:6], LOG_VARIANCE[:6], N),
        "train.mss": minibatch_stratified(CODES.z[:7], MEAN[:7], LOG_VARIANCE[:7], N),
    }
    given = {**views, "train.codes": CODES, "test.codes": CODES, "prior": prior}
    made = Views({name: lambda v, value=value: value for name, value in given.items()})
    found = {metric.name: measure(metric, made)["value"] for metric in METRICS}
    expected = {"index_code_mi": index_code(views["train.mixture"], CODES).item()}
    for suffix, view in (("", "train.mixture"), ("_mws", "train.mws"), ("_mss", "train.mss")):
        expected[f"total_correlation{suffix}"] = total_correlation(views[view]).item()
        expected[f"marginal_kl{suffix}"] = marginal_kl(views[view], CODES, prior).item()
    expected["total_correlation_discriminator"] = discriminated(CODES.z, CODES.z)
    assert found == pytest.approx(expected)
    assert len(set(expected.values())) == len(METRICS)
    assert all("too" in metric.protocol or "exact" in metric.protocol or "at most" in metric.protocol for metric in METRICS), (
        "bias is stated"
    )
