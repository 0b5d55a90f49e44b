"""`features list | fetch | train`: what they say and write; downloads come from files of this machine."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import cli
from small_features import random_backbone

from bench.commands import features as feature_commands
from bench.datasets import digits
from bench.datasets.dataset import Dataset
from bench.errors import UserError
from bench.evaluation.feature_classifier import accuracy, train_classifier, unit
from bench.registry import catalogue
from metrics.features import inception
from metrics.features.classifier import SHIPPED, dump, load

DIGITS = digits.load(Path())
CONTENT = b"not Inception's weights, but of a known hash"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "served").write_bytes(CONTENT)
    return (tmp_path / "served").as_uri()


def test_fetched_weights_arrive_verified(tmp_path: Path, url: str) -> None:
    root = tmp_path / "data"
    said = feature_commands.fetch("inception-tf", root, url, DIGEST)
    assert said == f"inception-tf: fetched into {root / 'weights'}, checksum good"
    assert (root / "weights" / inception.FILE).read_bytes() == CONTENT
    assert feature_commands.fetch("inception-tf", root, "file:///nowhere", DIGEST).endswith(
        "already in " + f"{root / 'weights'}, checksum good"
    )


def test_what_arrives_with_another_hash_is_not_kept(tmp_path: Path, url: str) -> None:
    root = tmp_path / "data"
    with pytest.raises(UserError, match=f"sha256 {DIGEST[:16]}, expected 6726825d0af5f729; take them from file:") as caught:
        feature_commands.fetch("inception-tf", root, url)
    assert "\n" not in str(caught.value)
    assert list(root.rglob("*")) == []


def test_damaged_weights_are_fetched_again(tmp_path: Path, url: str) -> None:
    root = tmp_path / "data"
    (root / "weights").mkdir(parents=True)
    (root / "weights" / inception.FILE).write_bytes(CONTENT[:-1])
    feature_commands.fetch("inception-tf", root, url, DIGEST)
    assert (root / "weights" / inception.FILE).read_bytes() == CONTENT


def test_only_networks_with_weights_are_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only inception-tf and timm:<model> have weights to fetch, not 'pixels'"):
        feature_commands.fetch("pixels", tmp_path)
    with pytest.raises(UserError, match="has no weights of 'resnet10000'"):
        feature_commands.fetch("timm:resnet10000", tmp_path)


def test_the_list_says_what_is_here(tmp_path: Path) -> None:
    digest = random_backbone(tmp_path / "weights", "test_vit")
    (tmp_path / "weights" / inception.FILE).write_bytes(CONTENT)
    rows = {name: (file, state) for name, file, state in feature_commands.rows(catalogue(), tmp_path)}
    assert rows["classifier:digits"] == ("digits.safetensors", f"present, sha256 {SHIPPED['digits'][:16]}")
    assert rows["timm:test_vit"] == ("test_vit.safetensors", f"present, sha256 {digest[:16]}")
    assert f"has sha256 {DIGEST[:16]}, expected 6726825d0af5f729" in rows["inception-tf"][1]
    assert "is not in the folder weights" in rows["timm:vit_small_patch14_dinov2.lvd142m"][1]
    assert cli("features", "list", "--data-root", tmp_path).code == 0


def small(n: int = 300) -> Dataset:
    return Dataset(DIGITS.train[:n], DIGITS.test, DIGITS.train_labels[:n], DIGITS.test_labels, levels=16)


def test_training_repeats_itself_byte_for_byte_and_follows_the_seed() -> None:
    contents = [dump(*train_classifier("digits", small(), seed, steps=20)) for seed in (0, 0, 1)]
    assert contents[0] == contents[1] != contents[2]


def test_it_learns_the_labels_and_says_how_well() -> None:
    net, facts = train_classifier("digits", small(), 0, steps=200)
    x, y = unit(DIGITS.test, 16), torch.from_numpy(DIGITS.test_labels)
    with torch.no_grad():
        right = sum(int(net(x[i : i + 1]).argmax()) == int(y[i]) for i in range(len(x)))
    assert facts["test_accuracy"] == accuracy(net, x, y) == right / 360
    assert facts["test_accuracy"] > 0.7
    assert facts["data"] == small().sha256()


def test_the_train_command_writes_where_evaluation_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.commands.features.train_classifier", lambda name, data, seed: train_classifier(name, data, seed, steps=5))
    said = feature_commands.train(catalogue(), "digits", tmp_path, None)
    path = tmp_path / "weights" / "classifier-digits.safetensors"
    assert f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}" in said
    assert load(path)[1]["dataset"] == "digits"


def test_a_dataset_without_labels_has_no_classifier() -> None:
    with pytest.raises(UserError, match="dataset faces has no labels"):
        train_classifier("faces", Dataset(np.zeros((2, 1, 8, 8), np.uint8), np.zeros((2, 1, 8, 8), np.uint8)), 0)


@pytest.mark.slow
def test_the_command_makes_the_weights_that_are_shipped_or_their_equals(tmp_path: Path) -> None:
    """The same bytes on the machine and the torch they were made with; elsewhere as good a classifier."""
    file = tmp_path / "digits.safetensors"
    result = cli("features", "train", "digits", "--file", file)
    assert result.code == 0, result.err
    facts = load(file)[1]
    assert SHIPPED["digits"] in result.out or facts["test_accuracy"] == pytest.approx(0.961, abs=0.02)
