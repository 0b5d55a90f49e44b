"""A changed resize, count or file of weights changes a value's protocol; the leaderboard keeps the two in columns of their own."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_records import SUITE, record
from small_features import random_backbone
from small_methods import build

from bench.datasets import digits
from bench.evaluation import evaluate as module
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.feature_networks import FeatureNetworks
from bench.leaderboard.render import render
from bench.speed.evaluation import random_inception
from metrics.features import inception
from metrics.features.classifier import Classifier, classifier, dump
from metrics.features.scores import Family
from models.wae import cwae

DATA = digits.load(Path())
TRAIN, TEST = torch.from_numpy(DATA.train[:40]), torch.from_numpy(DATA.test[:40])
BACKBONE = "test_vit"
METRICS = [*Family("classifier", "classifier").all(), *Family(f"timm:{BACKBONE}", "backbone").frechet(), *Family("pca", "pca").frechet()]


def entries(weights: Path, *, dataset: str = "spots", tests: int = 40, **changes: str) -> dict[str, dict[str, Any]]:
    """What a record would hold of an untrained method on so many digits."""
    networks = FeatureNetworks(dataset, TRAIN, 16, weights, None)
    if changes:
        networks.made["classifier"] = replace(networks.network("classifier"), **changes)
    method = build(lambda: cwae(3), shape=(1, 8, 8))
    known = Evaluation(method, DeviceDataset(TRAIN, TEST[:tests], 16, networks=networks), 0)
    return evaluate(known, METRICS)


def own_classifier(weights: Path, seed: int) -> None:
    torch.manual_seed(seed)
    weights.mkdir(exist_ok=True)
    (weights / "classifier-spots.safetensors").write_bytes(dump(Classifier((1, 8, 8), 2), {"shape": [1, 8, 8], "classes": 2}))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    own_classifier(folder, 0)
    random_backbone(folder, BACKBONE)
    return folder


def shown(one: dict[str, Any], other: dict[str, Any], name: str) -> tuple[list[str], str]:
    """Heads of a metric on the board of two methods, and the board."""
    board = render(SUITE, [record("vae", 0, one), record("ae", 0, other)], [])
    return re.findall(rf"(?<=\|){name}[^|]*(?=\|)", board), board


def test_equal_protocols_share_a_column(weights: Path) -> None:
    heads, board = shown(entries(weights), entries(weights), "frechet_classifier_pz")
    assert heads == ["frechet_classifier_pz ↓"]
    assert "another protocol" not in board


@pytest.mark.parametrize("change", ["weights", "resize", "count", "samples"])
def test_unequal_protocols_do_not(weights: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = entries(weights)
    if change == "weights":
        own_classifier(weights, 1)
    if change == "samples":
        monkeypatch.setattr(module, "SAMPLES", 30)
    other = entries(weights, tests=30 if change == "count" else 40, **({"resize": "to 8 by nearest"} if change == "resize" else {}))
    for name in ("frechet_classifier_pz", "precision_classifier_pz", "frechet_classifier_gap", "kernel_distance_classifier_pz"):
        assert one[name]["protocol"] != other[name]["protocol"]
        heads, board = shown(one, other, name)
        assert heads == [f"{name}, protocol {n} {'↑' if 'precision' in name else '↓'}" for n in (1, 2)]
    assert "measured under another protocol" in board


def test_another_file_of_a_backbone_is_another_column(weights: Path) -> None:
    one = entries(weights)
    random_backbone(weights, BACKBONE, seed=1)
    heads, _ = shown(one, entries(weights), "frechet_backbone_pz")
    assert heads == [f"frechet_backbone_pz, protocol {n} ↓" for n in (1, 2)]
    assert one["frechet_classifier_pz"]["protocol"] == entries(weights)["frechet_classifier_pz"]["protocol"]


def test_other_training_images_are_another_pca(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = entries(weights)
    monkeypatch.setitem(globals(), "TRAIN", TRAIN.flip(3))
    assert entries(weights)["frechet_pca_pz"]["protocol"] != one["frechet_pca_pz"]["protocol"]


def test_inceptions_words_follow_its_file_and_layer(tmp_path: Path) -> None:
    words = set()
    for seed in (0, 1):
        digest = random_inception(tmp_path, seed)
        words |= {inception.inception(tmp_path, expected=digest, layer=layer).protocol for layer in ("64", "2048")}
    assert len(words) == 4


def test_the_classifier_of_another_dataset_is_another_protocol() -> None:
    assert classifier("digits", None).protocol != classifier("mnist", None).protocol
