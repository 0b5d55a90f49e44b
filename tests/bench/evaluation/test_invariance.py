"""Batches, order and the number of processes are not part of any value: the whole catalogue, on methods trained on digits.

Latents are 16: on the CPU torch's normal numbers of so many a row are the same however the rows are cut into batches, so that a value
from noise can be compared too. In general noise is drawn `bench.evaluation.evaluate.BATCH` images at a time, and that number is no option.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import cli, records, suite
from small_methods import build, noise, training
from torch import Tensor

from bench.datasets import digits
from bench.datasets.batches import Batches
from bench.environment import set_up
from bench.evaluation import evaluate as module
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.feature_networks import FeatureNetworks
from bench.registry import catalogue
from bench.suites.schema import Budget
from bench.training.train import train
from metrics import aggregate_posterior, total_correlation
from metrics.disentanglement import votes
from models.ladder import prior_gmm, prior_hier
from models.method import AutoEncoder, Recipe
from models.parts.density import Density, mixture
from models.vae import vae_bernoulli
from models.vcae import vcae
from models.wae import wae_mmd

KNOWN, DIM = catalogue(), 16
DATA = digits.load(Path())
TRAIN, TEST, LABELS = (torch.from_numpy(part) for part in (DATA.train, DATA.test, DATA.train_labels))
FACTORS = torch.stack([LABELS % 2, LABELS // 2], 1)
METHODS: dict[str, Callable[[], Recipe]] = {
    "deterministic": lambda: wae_mmd(DIM),
    "Gaussian": lambda: vae_bernoulli(DIM),
    "mixture prior": lambda: prior_gmm(DIM, components=3),
    "nested prior": lambda: prior_hier(DIM, inner_dim=DIM, std_head="softplus", warmup_epochs=0),
    "second stage": lambda: vcae(DIM),
}
Values = dict[str, float]


@cache
def trained(name: str) -> tuple[AutoEncoder, Density | None]:
    """A method after three epochs, and the density of its codes where it has no prior."""
    method = build(METHODS[name], network=KNOWN.networks["mlp"], shape=(1, 8, 8), dim=DIM)
    batches = Batches(TRAIN, 16, 100, seed=0)
    assert train(training(method, Budget(epochs=3), batches), batches).status == "done"
    if name != "second stage":
        return method, None
    density = mixture(DIM, components=3)
    with torch.no_grad():
        density.fit(method.draw(TRAIN / 16, noise(1)).z, noise(2))
    return method, density


def values(name: str, train: Tensor = TRAIN, test: Tensor = TEST, factors: Tensor = FACTORS, device: str = "cpu") -> Values:
    """Every metric that has a value."""
    method, density = trained(name)
    train, test = train.to(device), test.to(device)
    networks = FeatureNetworks("digits", train, 16, Path("nowhere"), None)
    data = DeviceDataset(train, test, 16, networks=networks, factors={"train": factors})
    known = Evaluation(method.to(device), data, 0, density)
    entries = evaluate(known, KNOWN.metrics.values())
    method.to("cpu")
    return {metric: entry["value"] for metric, entry in entries.items() if entry["value"] is not None}


@pytest.fixture(autouse=True)
def dear_metrics_do_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same code: fewer votes and importance samples, a narrower discriminator."""
    monkeypatch.setattr(votes, "VOTES", 300)
    monkeypatch.setattr(votes, "FRESH", 300)
    monkeypatch.setattr(total_correlation, "WIDTH", 50)
    monkeypatch.setattr(aggregate_posterior, "INNER", 10)


@cache
def reference(name: str) -> Values:
    found = values(name)
    assert len(found) > 50
    return found


def scales(found: Values) -> Values:
    """What rounding is relative to: a value, or for a difference what it is the difference of."""
    parts = {
        "overfit_gap": "rec_sse_test",
        "overfit_gap_bce": "rec_bce_sum_test",
        "rec_bce_excess_test": "rec_bce_sum_test",
        "overfit_gap_l1": "rec_l1_per_pixel_x100_test",
        **{f"frechet_{network}_gap": f"frechet_{network}_reconstruction" for network in ("classifier", "pca")},
    }
    kernels = dict.fromkeys(("mmd_prior",), 1.0)  # means of kernels of at most 1
    return {name: kernels.get(name, abs(found[parts.get(name, name)])) for name in found}


def same(found: Values, expected: Values, without: set[str]) -> None:
    assert found.keys() == expected.keys()
    size = scales(expected)
    moved = {name: (found[name], value) for name, value in expected.items() if abs(found[name] - value) > 1e-6 * size[name]}
    assert moved.keys() <= without, {name: pair for name, pair in moved.items() if name not in without}


def across(names: str, *suffixes: str) -> set[str]:
    return {f"{name}{suffix}" for name in names.split() for suffix in suffixes}


OF_SAMPLES = across(
    "frechet_classifier frechet_pca frechet_pixels kernel_distance_classifier precision_classifier recall_classifier "
    "density_classifier coverage_classifier nn_distance data_copying sharpness sharpness_min",
    "_pz",
) | across("frechet_classifier frechet_pca", "_gap")


# each batch draws its components, then its noise; each batch draws z, then t
IN_TURN = {"mixture prior": OF_SAMPLES, "nested prior": {"iw_bound_laplace"}}


@pytest.mark.parametrize(("name", "batch"), [*((name, 149) for name in METHODS), ("nested prior", 999)])
def test_batches_change_no_value(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = reference(name)
    monkeypatch.setattr(module, "BATCH", batch)
    same(values(name), expected, IN_TURN.get(name, set()))


# by definition of the training images in their order: some of them stand for all, by their places, and minibatches are drawn by place
BY_PLACE = {"frechet_classifier_floor", "frechet_pca_floor", "frechet_pixels_floor", "total_correlation_discriminator"}
BY_PLACE |= {f"{name}{suffix}" for name in ("total_correlation", "marginal_kl") for suffix in ("", "_mws", "_mss")} | {"index_code_mi"}
# from one noise draw for each image: in another order an image meets other noise
FROM_NOISE = {
    name for name, metric in KNOWN.metrics.items() if any(need.endswith((".draw", ".codes", ".nearest")) for need in metric.needs)
}
FROM_NOISE -= {"kl_sample", "active_units", "mean_log_variance"}  # functions of the codes' moments
FROM_NOISE -= {metric.name for metric in KNOWN.metrics.values() if metric.group == "disentanglement"}  # of mean codes
FROM_NOISE -= across("nn_distance data_copying", "_pz", "_qz", "_test")  # of samples and test images
FROM_NOISE |= across("elbo distortion iw_bound", "_bernoulli", "_gaussian", "_laplace")
FROM_NOISE |= across("frechet_classifier frechet_pca frechet_pixels", "_reconstruction") | across("frechet_classifier frechet_pca", "_gap")
BY_DRAWS = across("agg_posterior_cross_entropy rate", "", "_bound", "_iw")


@pytest.mark.parametrize("name", METHODS)
def test_the_order_of_images_changes_no_value(name: str) -> None:
    order, places = (torch.randperm(len(images), generator=noise(seed)) for seed, images in ((1, TRAIN), (2, TEST)))
    without = BY_PLACE if name == "deterministic" else BY_PLACE | FROM_NOISE
    without = without | (BY_DRAWS if name in ("mixture prior", "nested prior") else set())  # closed forms elsewhere
    found = values(name, TRAIN[order], TEST[places], FACTORS[order])
    same(found, reference(name), without)
    assert len(reference(name).keys() - without) > 30


def test_the_number_of_processes_changes_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # which would reach no other process
    file = suite(tmp_path, "[methods.ae]\n[methods.vae_bernoulli]\n", steps=30, metrics=())
    found: list[dict[str, Any]] = []
    for jobs in (1, 2):
        assert cli("run", "-s", file, "-o", tmp_path / str(jobs), "--no-profile", "--jobs", jobs).code == 0
        found.append({run: record["metrics"] for run, record in records(tmp_path / str(jobs)).items()})
    assert found[0] == found[1]
    assert set(found[0]) == {"ae/0", "vae_bernoulli/0"}


# a code that differs in its last digit may fall into another bin or vote, on another side of a branch or threshold: scores in [0, 1], of
# which one image of digits is at most some thousandths
IN_STEPS = across("mig modularity sap factorvae_score beta_vae_score dci_disentanglement dci_completeness dci_informativeness", "")


def tolerance(name: str, size: float) -> float:
    """By how much a value may differ where codes and images differ by rounding of float32."""
    if name in IN_STEPS:
        return 0.01
    if name == "total_correlation_discriminator":
        return 1e-3 * size  # 200 steps of training make more of it
    return (1e-4 if "classifier" in name or "pca" in name else 1e-6) * size  # an image may round to another of 256 levels


@pytest.mark.parametrize("last", [1e-7, 1e-6])
def test_last_digits_of_weights_move_values_within_tolerance(last: float) -> None:
    """As another device's products do."""
    expected, (method, _) = reference("deterministic"), trained("deterministic")
    weights = {name: value.clone() for name, value in method.state_dict().items()}
    for name, value in weights.items():
        if value.is_floating_point():
            method.state_dict()[name].mul_(1 + last * torch.randn(value.shape, generator=noise(len(name))))
    try:
        found = values("deterministic")
    finally:
        method.load_state_dict(weights)
    moved = {name for name, value in expected.items() if found[name] != value}
    assert len(moved) > 20
    assert not {name for name in moved - OF_SAMPLES if abs(found[name] - expected[name]) > tolerance(name, scales(expected)[name])}


@pytest.fixture
def cuda() -> torch.device:
    """A GPU, set up as in runs: products and convolutions in TF32 would be others."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return set_up("cuda", 1)


@pytest.mark.gpu
def test_the_device_changes_no_value_that_needs_no_noise(cuda: torch.device) -> None:
    """Networks in float32 there and here. A device has noise of its own."""
    expected, found = reference("deterministic"), values("deterministic", device=cuda.type)
    size, random = scales(expected), OF_SAMPLES | {"mmd_prior", "sliced_wasserstein_prior", "iw_bound_gaussian"}
    assert found.keys() == expected.keys()
    far = {name for name in found.keys() - random if abs(found[name] - expected[name]) > tolerance(name, size[name])}
    assert not far, {name: (found[name], expected[name]) for name in far}
