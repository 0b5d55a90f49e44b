"""Evaluation: every array once, values that depend on no order, and honest names."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from small_methods import DIM, LEVELS, SHAPE, build, noise, pixels, sse_by_loops, tiny_with_batch_norm
from torch import Tensor

from bench.datasets.dataset import Split
from bench.evaluation import evaluate as module
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.feature_views import networks_of
from bench.registry import catalogue
from metrics import reconstruction
from metrics.disentanglement import votes
from metrics.disentanglement.information import mig
from metrics.disentanglement.representation import represented, split
from metrics.fixed_subset import subset_indices
from metrics.frechet import frechet_of_features
from metrics.latent import total_variance
from metrics.likelihood import IMPORTANCE
from metrics.metric import Metric, Unavailable
from metrics.sharpness import sharpness
from models.iaf import vae_iaf
from models.interfaces import Draw
from models.ladder import prior_hier
from models.method import AutoEncoder, Recipe
from models.vae import ae, vae_bernoulli
from models.vcae import vcae
from models.wae import cwae, wae_mmd

TRAIN, TEST = pixels(40, seed=1), pixels(25, seed=2)
METRICS = [
    metric for metric in catalogue().metrics.values() if not networks_of([metric])
]  # tests/bench/evaluation/test_feature_views.py has the others


class Counting(AutoEncoder):
    """How many images have been encoded and decoded."""

    encoded = decoded = 0

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        self.encoded += len(x)
        return super().draw(x, noise)

    def decode(self, z: Tensor) -> Tensor:
        self.decoded += len(z)
        return super().decode(z)


def counting(make: Callable[[], Recipe]) -> Counting:
    built = build(make, network=tiny_with_batch_norm)
    with torch.no_grad():
        built.encoder(TRAIN / LEVELS)  # batch norm's running means now differ from any batch's own
    return Counting(built.recipe, built.encoder, built.decoder, DIM)


def evaluation(method: AutoEncoder, train: Tensor = TRAIN, test: Tensor = TEST, seed: int = 0) -> Evaluation:
    return Evaluation(method, DeviceDataset(train, test, LEVELS), seed)


def values(method: AutoEncoder, names: list[str] | None = None) -> dict[str, float | None]:
    chosen = METRICS if names is None else [catalogue().get("metric", name) for name in names]
    return {name: entry["value"] for name, entry in evaluate(evaluation(method), chosen).items()}


def test_all_metrics_take_one_pass_over_each_split() -> None:
    method = counting(lambda: cwae(DIM))
    values(method)
    assert method.encoded == 40 + 25
    assert method.decoded == 2 * (40 + 25) + 25  # the noise draw, the mean code, prior draws


def test_a_deterministic_code_is_decoded_once() -> None:
    method = counting(lambda: ae(DIM))
    found = values(method)
    assert (method.encoded, method.decoded) == (65, 65)
    assert found["rec_sse_test"] == found["rec_sse_test_mean_code"]


def test_one_metric_computes_no_more_than_it_needs() -> None:
    method = counting(lambda: cwae(DIM))
    values(method, ["capacity_bits"])
    assert (method.encoded, method.decoded) == (0, 0)
    values(method, ["rec_sse_test"])
    assert method.encoded == 25


@pytest.mark.parametrize("make", [lambda: cwae(DIM), lambda: vae_bernoulli(DIM), lambda: vcae(DIM)])
def test_values_do_not_depend_on_the_order_they_are_asked_in(make: Callable[[], Recipe]) -> None:
    method = counting(make)
    together, names = values(method), [metric.on("test").name for metric in METRICS]
    assert values(method, names[::-1]) == together
    assert {name: values(method, [name])[name] for name in names} == together


def test_values_belong_to_the_seed() -> None:
    method, metric = counting(lambda: cwae(DIM)), [catalogue().get("metric", "rec_sse_test")]
    found = [evaluate(evaluation(method, seed=seed), metric)["rec_sse_test"]["value"] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_values_are_those_computed_by_hand() -> None:
    method = counting(lambda: cwae(DIM, noise_variance=0.5))
    found = values(method)
    method.eval()
    x, train = TEST / LEVELS, TRAIN / LEVELS
    with torch.no_grad():
        draw, of_train = (method.draw(part, evaluation(method).noise(f"{name}.pass")) for part, name in ((x, "test"), (train, "train")))
        sse = sum(sse_by_loops(x, method.decode(draw.z))) / 25
        sse_train = sum(sse_by_loops(train, method.decode(of_train.z))) / 40
        sse_mean = sum(sse_by_loops(x, method.decode(draw.mean))) / 25
        samples = method.sample(25, evaluation(method).noise("samples"))
    assert samples is not None
    assert found["rec_sse_test"] == pytest.approx(sse, rel=1e-5)
    assert found["rec_sse_train"] == pytest.approx(sse_train, rel=1e-5)
    assert found["rec_sse_test_mean_code"] == pytest.approx(sse_mean, rel=1e-5)
    for name, z in (("rec_bce_sum_test", draw.z), ("rec_bce_sum_test_mean_code", draw.mean)):
        x_hat = method.decode(z)
        bce = -(x * x_hat.log() + (1 - x) * (1 - x_hat).log()).sum() / 25  # not symmetric: the image is the target
        assert found[name] == pytest.approx(bce.item(), rel=1e-5)
    least = -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum().item() / 25
    assert found["rec_bce_excess_test"] == pytest.approx(found["rec_bce_sum_test"] - least, rel=1e-5)
    assert found["overfit_gap"] == pytest.approx(sse - sse_train, rel=1e-4)
    assert found["sum_latent_variance"] == pytest.approx(total_variance(draw.z).item(), rel=1e-5)
    assert found["frechet_pixels_pz"] == pytest.approx(frechet_of_features(x.flatten(1), samples.flatten(1)).item(), rel=1e-5)
    reconstructed = method.decode(draw.z).detach().flatten(1)
    assert found["frechet_pixels_reconstruction"] == pytest.approx(frechet_of_features(x.flatten(1), reconstructed).item(), rel=1e-5)


def test_bounds_are_those_computed_by_hand() -> None:
    method = counting(lambda: vae_bernoulli(DIM))
    found = values(method)
    assert method.encoded == 40 + 25 + 25 * IMPORTANCE
    assert method.decoded == 2 * (40 + 25) + 25  # log p(x|z) takes the decoder's raw output, once more for the test images
    method.eval()
    x, prior = TEST / LEVELS, torch.distributions.Normal(0.0, 1.0)
    with torch.no_grad():
        draw = method.draw(x, evaluation(method).noise("test.pass"))
        nll = method.recipe.cost(x, method.decoder(draw.z)).mean().item()
        q = torch.distributions.Normal(draw.mean, (0.5 * draw.log_variance).exp())
        kl = torch.distributions.kl_divergence(q, prior).sum(1).mean().item()
        stream, weights = evaluation(method).noise("test.log_weights"), []
        for _ in range(IMPORTANCE):
            one = method.draw(x, stream)
            q = torch.distributions.Normal(one.mean, (0.5 * one.log_variance).exp())
            log_ratio = (prior.log_prob(one.z) - q.log_prob(one.z)).sum(1)
            weights.append(log_ratio - method.recipe.cost(x, method.decoder(one.z)))
    assert found["distortion_bernoulli"] == pytest.approx(nll, rel=1e-5)
    assert [found["rate"], found["kl_sample"]] == pytest.approx([kl, kl], rel=1e-5)
    assert found["elbo_bernoulli"] == pytest.approx(-nll - kl, rel=1e-5)
    assert found["iw_bound_bernoulli"] == pytest.approx((torch.stack(weights).logsumexp(0) - math.log(IMPORTANCE)).mean().item(), rel=1e-5)
    assert found["elbo_bernoulli"] < found["iw_bound_bernoulli"]
    cross_entropy = -(draw.mean.square() + draw.log_variance.exp() + math.log(2 * math.pi)).sum(1).mean().item() / 2
    assert found["agg_posterior_cross_entropy"] == pytest.approx(cross_entropy, rel=1e-5)


def test_an_elbo_takes_the_bound_of_a_nested_prior() -> None:
    method = counting(lambda: prior_hier(DIM, width=8, warmup_epochs=0, std_head="softplus"))
    entries = evaluate(evaluation(method), METRICS)
    found = {name: entry["value"] for name, entry in entries.items()}
    assert found["elbo_laplace"] == pytest.approx(-found["distortion_laplace"] - found["rate_bound"], rel=1e-9)
    assert found["agg_posterior_cross_entropy_bound"] < found["agg_posterior_cross_entropy_iw"]
    assert found["agg_posterior_cross_entropy"] is None
    assert "no exact value" in entries["agg_posterior_cross_entropy"]["reason"]


def test_samples_are_compared_with_all_training_images_and_read_for_sharpness() -> None:
    method = counting(lambda: cwae(DIM))
    found = values(method)
    method.eval()
    with torch.no_grad():
        samples = method.sample(25, evaluation(method).noise("samples"))
    train = (TRAIN / LEVELS).flatten(1).double()
    distances = torch.cdist(samples.flatten(1).double(), train).min(1).values
    assert found["nn_distance_pz"] == pytest.approx(distances.mean().item(), rel=1e-6)
    assert found["nn_distance_test"] == pytest.approx(
        torch.cdist((TEST / LEVELS).flatten(1).double(), train).min(1).values.mean().item(), rel=1e-6
    )
    assert found["sharpness_pz"] == pytest.approx(sharpness(samples).mean().item(), rel=1e-6)
    assert found["sharpness_min_test"] == pytest.approx(sharpness(TEST / LEVELS).min().item(), rel=1e-6)


def test_factors_make_disentanglement_scores_of_mean_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes, "VOTES", 50)
    monkeypatch.setattr(votes, "FRESH", 50)
    method = counting(lambda: vae_bernoulli(DIM))
    factors = torch.randint(0, 3, (40, 2), generator=noise(1))
    known = Evaluation(method, DeviceDataset(TRAIN, TEST, LEVELS, factors={"train": factors}), 0)
    found = evaluate(known, [metric for metric in METRICS if metric.name in FACTORS])
    data = represented(method.draw(TRAIN / LEVELS, noise()).mean.detach().double().numpy(), factors.numpy())
    assert found["factorvae_score"]["value"] == votes.factorvae_score(data)
    assert found["mig"]["value"] == pytest.approx(mig(split(data)[0]), rel=1e-5)
    assert all(0 <= entry["value"] <= 1 for entry in found.values())
    with pytest.raises(Unavailable, match="no factors"):
        known.views()["test.factors"]


def test_batch_norm_is_in_evaluation_mode() -> None:
    method = counting(lambda: ae(DIM))
    method.train()
    before = method.encoder[1].running_mean.clone()
    values(method)
    assert not method.training
    assert torch.equal(method.encoder[1].running_mean, before)


def test_no_gradient_is_kept() -> None:
    method = counting(lambda: ae(DIM))
    values(method)
    assert all(p.grad is None for p in method.parameters())


def across(names: str, kinds: str) -> set[str]:
    return {f"{name}_{kind}" for name in names.split() for kind in kinds.split()}


SAMPLES = "frechet_pixels sharpness sharpness_min nn_distance data_copying"
MIXTURE = {f"{name}{suffix}" for name in ("total_correlation", "marginal_kl") for suffix in ("", "_mws", "_mss")} | {"index_code_mi"}
FACTORS = {metric.name for metric in METRICS if metric.group == "disentanglement"}  # of a dataset that has them
NESTED = across("agg_posterior_cross_entropy rate", "bound iw")  # of a prior with latents of its own
# what these do not have: factors, a density fitted to codes, a nested prior
FITTED = across(SAMPLES, "qz") | {"density_nll_test", "density_nll_bound_test"} | FACTORS | NESTED
NO_LIKELIHOOD = across("elbo iw_bound distortion", "bernoulli gaussian laplace")
NO_PRIOR = across(SAMPLES, "pz") | {"mmd_prior", "sliced_wasserstein_prior", "agg_posterior_cross_entropy", "rate"}
NO_PRIOR |= {name for name in MIXTURE if "kl" in name}
CAPACITY = {"capacity_bits", "latent_variance_target"}
NO_GAUSSIAN = {"mean_log_variance", "kl_sample", "rate"} | MIXTURE
OTHER_KINDS = across("elbo iw_bound distortion", "gaussian laplace")


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (lambda: ae(DIM), NO_PRIOR | CAPACITY | NO_GAUSSIAN | NO_LIKELIHOOD | FITTED),
        (lambda: vae_bernoulli(DIM), CAPACITY | OTHER_KINDS | FITTED),
        (lambda: vae_iaf(DIM, steps=2, hidden=(8,)), CAPACITY | NO_GAUSSIAN - {"rate"} | OTHER_KINDS | FITTED),
        (lambda: wae_mmd(DIM), {"capacity_bits"} | NO_GAUSSIAN | NO_LIKELIHOOD | FITTED),
        (lambda: cwae(DIM), NO_LIKELIHOOD | FITTED),
        (lambda: vcae(DIM), NO_PRIOR | NO_LIKELIHOOD | FITTED),
    ],
)
def test_what_does_not_exist_says_why(make: Callable[[], Recipe], missing: set[str]) -> None:
    entries = evaluate(evaluation(counting(make)), METRICS)
    assert {name for name, entry in entries.items() if entry["value"] is None} == missing
    assert all(entries[name]["reason"] for name in missing)


def test_validation_images_are_called_so() -> None:
    method = counting(lambda: cwae(DIM))
    held_out: tuple[Split, ...] = ("test", "validation")
    test, validation = (evaluate(Evaluation(method, DeviceDataset(TRAIN, TEST, LEVELS, held_out=of), 0), METRICS) for of in held_out)
    assert [name.replace("test", "validation") for name in test] == list(validation)
    assert {"rec_sse_validation", "rec_sse_train", "pca_sse_validation"} < set(validation)
    assert not any("test" in name or "test" in entry["protocol"] for name, entry in validation.items())
    assert [entry["value"] for entry in validation.values()] == [entry["value"] for entry in test.values()]


def test_words_that_are_not_the_split_stay_as_they_are() -> None:
    """`test` in the name of a plugin's metric, say, is its own word."""
    mine = Metric("fastest_{held_out}", lambda: 1, (), "the fastest contest on {held_out} images", "this test")
    data = DeviceDataset(TRAIN, TEST, LEVELS, held_out="validation")
    (name, entry), *rest = evaluate(Evaluation(counting(lambda: cwae(DIM)), data, 0), [mine]).items()
    assert (name, entry["protocol"], rest) == ("fastest_validation", "the fastest contest on validation images; v1", [])


def test_baselines_are_the_latent_sizes_pca_of_pixels_in_the_unit_range() -> None:
    found = values(counting(lambda: ae(DIM)))
    train, test = (part.flatten(1).double().numpy() / LEVELS for part in (TRAIN, TEST))
    pca = PCA(DIM).fit(train)
    expected = ((test - pca.inverse_transform(pca.transform(test))) ** 2).sum(1).mean()
    assert found["pca_sse_test"] == pytest.approx(expected, rel=1e-5)
    assert found["mean_image_sse_test"] == pytest.approx(((test - train.mean(0)) ** 2).sum(1).mean(), rel=1e-5)


def test_a_baseline_is_computed_once_for_each_latent_size() -> None:
    baseline = DeviceDataset(TRAIN, TEST, LEVELS).baselines
    assert baseline(2) is baseline(2)
    assert baseline(2).pca_test > baseline(3).pca_test


def test_large_images_have_the_mean_image_but_no_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (1, 65, 64)
    method, random = build(lambda: ae(DIM), shape=shape), torch.Generator().manual_seed(0)
    train, test = (torch.randint(LEVELS + 1, (n, *shape), generator=random, dtype=torch.uint8) for n in (7, 4))
    metrics = [catalogue().get("metric", name) for name in ("pca_sse_train", "pca_sse_test", "mean_image_sse_test")]
    monkeypatch.setattr(reconstruction, "PART", 3)
    entries = evaluate(evaluation(method, train, test), metrics)
    for name in ("pca_sse_train", "pca_sse_test"):
        assert entries[name]["reason"] == "not computed for images of more than 4096 values"
    mean = train.double().numpy().mean(0) / LEVELS
    by_hand = np.mean([((image / LEVELS - mean) ** 2).sum() for image in test.double().numpy()])
    assert entries["mean_image_sse_test"]["value"] == pytest.approx(by_hand, rel=1e-12)
    baseline = DeviceDataset(train, test, LEVELS).baselines
    assert baseline(2) is baseline(3)


def test_splits_of_many_batches_are_one_split(monkeypatch: pytest.MonkeyPatch) -> None:
    method = counting(lambda: wae_mmd(DIM))
    names = ["rec_sse_test", "rec_bce_sum_train", "sum_latent_variance", "frechet_pixels_reconstruction"]
    names += ["agg_posterior_cross_entropy", "sliced_wasserstein_prior", "nn_distance_test", "sharpness_test", "active_units"]
    whole = values(method, names)
    monkeypatch.setattr(module, "BATCH", 7)
    assert values(method, names) == pytest.approx(whole, rel=1e-5)


def test_distances_compare_as_many_images_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    method = counting(lambda: cwae(DIM)).eval()
    names = ["test.features.pixels", "train.features.pixels", "samples.features.pixels", "reconstructions.features.pixels", "prior.codes"]

    def sizes() -> list[int]:
        views = evaluation(method).views()
        return [len(views[name]) for name in names]

    assert sizes() == [25] * 5  # the test images are fewest
    monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(module, "SAMPLES", 10)
    assert sizes() == [10] * 5
    assert len(evaluation(method).views()["test.codes"].z) == 25


def test_features_are_of_some_images_and_their_reconstructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    monkeypatch.setattr(module, "SAMPLES", 10)
    method = counting(lambda: ae(DIM)).eval()
    views = evaluation(method).views()
    here = TEST[subset_indices(25, 10)]
    assert torch.equal(views["test.features.pixels"], (here / LEVELS).flatten(1))
    assert torch.equal(views["train.features.pixels"], (TRAIN[subset_indices(40, 10)] / LEVELS).flatten(1))
    torch.testing.assert_close(views["reconstructions.features.pixels"], method.decode(method.draw(here / LEVELS, noise()).z).flatten(1))


def test_views_have_random_streams_of_their_own() -> None:
    streams = [evaluation(counting(lambda: ae(DIM))).noise(view) for view in ("test.pass", "train.pass", "samples", "prior")]
    assert len({torch.randn(1, generator=stream).item() for stream in streams}) == 4
    assert counting(lambda: cwae(DIM)).sample(2, noise()).shape == (2, *SHAPE)
