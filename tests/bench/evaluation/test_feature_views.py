"""Metrics on the features of networks: what they compare, what their protocols say, generators whose fault is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_features import bytes_of
from small_methods import DIM, build
from torch import Tensor

from bench.datasets import digits
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.feature_networks import FeatureNetworks
from bench.evaluation.feature_views import networks_of
from bench.leaderboard.render import Column
from bench.registry import catalogue
from metrics.features.classifier import classifier
from metrics.features.inception import NAME as INCEPTION
from metrics.features.network import Network, eight_bit
from metrics.features.scores import Family
from metrics.fixed_subset import subset_indices
from metrics.frechet import fit, frechet_of_features
from metrics.kernel_distance import kernel_distance
from metrics.metric import Views, measure
from metrics.precision_recall import real, scores
from models.vae import ae
from models.wae import cwae

KNOWN = catalogue().metrics
ON_NETWORKS = {name: metric for name, metric in KNOWN.items() if networks_of([metric])}
DIGITS = digits.load(Path())
NETWORK = classifier("digits", None)


def in_bytes(images: np.ndarray) -> Tensor:
    """Digits as feature networks see them.   (N, 1, 8, 8) values 0..16"""
    return eight_bit(torch.from_numpy(images).float() / 16)


TRAIN, TEST = in_bytes(DIGITS.train), in_bytes(DIGITS.test)


def moments_and_neighbours(samples: Tensor) -> tuple[float, float, float, float]:
    """Fréchet and kernel distance, precision and recall of samples on the classifier's features."""
    a, b = NETWORK.features(TEST), NETWORK.features(samples)
    found = scores(real(a), b)
    return frechet_of_features(a, b).item(), kernel_distance(a, b).item(), found.precision, found.recall


FRESH = moments_and_neighbours(TRAIN[:360])


def test_fresh_digits_are_good_samples() -> None:
    frechet, kernel, precision, recall = FRESH
    spread = fit(NETWORK.features(TEST)).trace.item()
    assert frechet < 0.1 * spread
    assert kernel < 0.05 * kernel_distance(NETWORK.features(TEST), NETWORK.features(255 - TEST)).item()
    assert min(precision, recall) > 0.7


def test_a_generator_of_one_digit_has_high_precision_low_recall_and_a_large_distance() -> None:
    ones = TRAIN[torch.from_numpy(DIGITS.train_labels == 1)][:100]
    frechet, kernel, precision, recall = moments_and_neighbours(ones)
    assert precision > 0.7 > 0.3 > recall
    assert frechet > 5 * FRESH[0]
    assert kernel > 5 * FRESH[1]


def test_a_memorising_generator_is_perfect_by_all_of_these() -> None:
    """They cannot see it: nearest training neighbours can."""
    a, copies = NETWORK.features(TEST), NETWORK.features(TEST.clone())
    found = scores(real(a), copies)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert frechet_of_features(a, copies).item() == pytest.approx(0, abs=1e-6 * fit(a).trace.item())


def test_blur_is_further_the_more_there_is_of_it() -> None:
    blurred, distances = TRAIN[:360].float(), [FRESH[:2]]
    for _ in range(3):
        blurred = F.avg_pool2d(F.pad(blurred, (1, 1, 1, 1), mode="replicate"), 3, 1)
        distances.append(moments_and_neighbours(blurred.round().to(torch.uint8))[:2])
    frechet, kernel = zip(*distances, strict=True)
    assert list(frechet) == sorted(frechet)
    assert frechet[1] > 2 * frechet[0]
    assert list(kernel) == sorted(kernel)


def test_every_network_has_its_metrics_and_only_inception_has_a_fid() -> None:
    fids = {name for name in KNOWN if "fid" in name or "kid" in name}
    assert fids == {"fid_pz", "fid_qz", "fid_reconstruction", "fid_gap", "fid_floor", "kid_pz", "kid_qz"}
    assert {network for name in fids for network in networks_of([KNOWN[name]])} == {INCEPTION}
    balls = [f"{kind}_{{}}_{of}" for kind in ("precision", "recall", "density", "coverage") for of in ("pz", "qz")]
    distances = [f"frechet_{{}}_{of}" for of in ("pz", "qz", "reconstruction", "gap", "floor")]
    expected = {name.format(label) for label in ("classifier", "dinov2") for name in (*balls, *distances)}
    expected |= {name.format("pca") for name in distances} | {name.format("inception") for name in balls} | fids
    expected |= {f"kernel_distance_{label}_{of}" for label in ("classifier", "dinov2") for of in ("pz", "qz")}
    assert set(ON_NETWORKS) == expected


SETS = {name: bytes_of(12, seed).float().mean((1, 2))[:, :3] for seed, name in enumerate(("test", "train", "samples", "reconstructions"))}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fid_pz", lambda test, train, samples, rec: frechet_of_features(test, samples)),
        ("fid_reconstruction", lambda test, train, samples, rec: frechet_of_features(test, rec)),
        ("fid_gap", lambda test, train, samples, rec: frechet_of_features(test, samples) - frechet_of_features(test, rec)),
        ("fid_floor", lambda test, train, samples, rec: frechet_of_features(test, train)),
        ("kid_pz", lambda test, train, samples, rec: kernel_distance(test, samples)),
        ("precision_inception_pz", lambda test, train, samples, rec: scores(real(test), samples).precision),
        ("recall_inception_pz", lambda test, train, samples, rec: scores(real(test), samples).recall),
        ("density_inception_pz", lambda test, train, samples, rec: scores(real(test), samples).density),
        ("coverage_inception_pz", lambda test, train, samples, rec: scores(real(test), samples).coverage),
    ],
)
def test_each_compares_the_sets_that_it_says(name: str, expected: Callable[..., Any]) -> None:
    views = {f"protocol.{INCEPTION}": "", "counts": "", "counts.train": ""}
    for side, rows in SETS.items():
        views |= {f"{side}.features.{INCEPTION}": rows, f"{side}.gaussian.{INCEPTION}": fit(rows)}
        views[f"{side}.precision_recall.{INCEPTION}"] = scores(real(SETS["test"]), rows)
    found = measure(KNOWN[name], Views({view: lambda _, value=value: value for view, value in views.items()}))
    assert found["value"] == pytest.approx(float(expected(*SETS.values())), rel=1e-9)


def images_of(images: np.ndarray, n: int) -> Tensor:
    return torch.from_numpy(images[:n])


def entries(
    tmp_path: Path, make=lambda: cwae(DIM), n: int = 60, networks: dict[str, Network] | None = None, held_out: str = "test"
) -> dict:
    """Every metric on networks, of a method that was not trained, on `n` digits."""
    train, test = images_of(DIGITS.train, 100), images_of(DIGITS.test, n)
    features = FeatureNetworks("digits", train, 16, tmp_path / "weights", tmp_path / "cache")
    features.made.update(networks or {})
    method = build(make, shape=(1, 8, 8))
    evaluation = Evaluation(method, DeviceDataset(train, test, 16, held_out=held_out, networks=features), 0)
    return evaluate(evaluation, ON_NETWORKS.values())


def test_values_are_those_computed_by_hand(tmp_path: Path) -> None:
    found = entries(tmp_path)
    method = build(lambda: cwae(DIM), shape=(1, 8, 8))
    train, test = images_of(DIGITS.train, 100), images_of(DIGITS.test, 60)
    noise = Evaluation(method, DeviceDataset(train, test, 16), 0).noise("samples")
    with torch.no_grad():
        samples = method.sample(60, noise)
    assert samples is not None
    a, b = NETWORK.features(TEST[:60]), NETWORK.features(eight_bit(samples))
    assert found["frechet_classifier_pz"]["value"] == pytest.approx(frechet_of_features(a, b).item(), rel=1e-6)
    assert found["frechet_classifier_floor"]["value"] == pytest.approx(
        frechet_of_features(a, NETWORK.features(TRAIN[:100][subset_indices(100, 60)])).item(), rel=1e-6
    )
    assert found["recall_classifier_pz"]["value"] == scores(real(a), b).recall


def test_protocols_carry_network_hash_resize_and_counts(tmp_path: Path) -> None:
    found = entries(tmp_path)
    assert found["frechet_classifier_pz"]["protocol"] == (
        "Fréchet distance of test images and decoded prior draws; "
        f"features classifier:digits, sha256 {NETWORK.weights[:16]}, not resized; 60 against 60 images; v1"
    )
    assert "pca, 64 components of 100 training images, sha256" in found["frechet_pca_pz"]["protocol"]
    assert found["frechet_pca_floor"]["protocol"].endswith("60 against 60 images; v1")
    assert entries(tmp_path, n=120)["frechet_pca_floor"]["protocol"].endswith("120 against 100 images; v1")


@pytest.mark.parametrize("change", ["weights", "resize", "name"])
def test_another_network_or_count_is_another_column(tmp_path: Path, change: str) -> None:
    name = "frechet_classifier_pz"
    other = replace(NETWORK, **{change: "0" * 64})
    columns = [Column.of(name, found[name]) for found in (entries(tmp_path), entries(tmp_path, networks={"classifier": other}))]
    assert columns[0] != columns[1]
    assert Column.of(name, entries(tmp_path)[name]) == columns[0]
    assert Column.of(name, entries(tmp_path, n=61)[name]) != columns[0]


def test_without_weights_a_metric_is_absent_with_its_reason_and_not_replaced(tmp_path: Path) -> None:
    found = entries(tmp_path)
    for name in ("fid_pz", "fid_gap", "kid_pz", "precision_inception_pz"):
        assert found[name]["value"] is None
        assert found[name]["reason"] == "weights-inception-2015-12-05-6726825d.pth is not in the folder weights of the data root"
    assert found["frechet_dinov2_pz"]["reason"].startswith("vit_small_patch14_dinov2.lvd142m.safetensors is not in the folder")
    assert not any(str(tmp_path) in str(entry) for entry in found.values())


def test_without_a_prior_the_columns_are_those_of_methods_with_one(tmp_path: Path) -> None:
    with_prior, without = entries(tmp_path), entries(tmp_path, lambda: ae(DIM))
    assert without["frechet_classifier_pz"]["reason"] == "no prior: it samples only from a density fitted to its codes"
    assert without["frechet_classifier_reconstruction"]["value"] > 0
    assert all(Column.of(name, without[name]) == Column.of(name, with_prior[name]) for name in ON_NETWORKS)


def test_validation_images_are_called_so(tmp_path: Path) -> None:
    said = entries(tmp_path, held_out="validation")["frechet_classifier_pz"]["protocol"]
    assert said.startswith("Fréchet distance of validation images and decoded prior draws")


def test_test_images_go_through_a_network_once_for_all_runs(tmp_path: Path) -> None:
    seen: list[int] = []

    def rows(images: Tensor) -> Tensor:
        seen.append(len(images))
        return NETWORK.rows(images)

    counting = {"classifier": replace(NETWORK, rows=rows)}
    first = entries(tmp_path, networks=counting)
    assert sum(seen) == 4 * 60  # test, train, samples, reconstructions
    seen.clear()
    assert entries(tmp_path, networks=counting) == first
    assert sum(seen) == 2 * 60


def test_a_plugin_names_any_model_of_timm(tmp_path: Path) -> None:
    metrics = Family("timm:resnet10t", "resnet").frechet()
    train = images_of(DIGITS.train, 30)
    method = build(lambda: cwae(DIM), shape=(1, 8, 8))
    features = FeatureNetworks("digits", train, 16, tmp_path, None)
    found = evaluate(Evaluation(method, DeviceDataset(train, train, 16, networks=features), 0), metrics)
    assert found["frechet_resnet_pz"]["reason"] == "resnet10t.safetensors is not in the folder weights of the data root"
