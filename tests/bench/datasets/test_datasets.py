"""The real datasets against SPEC's numbers, and the validation split."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.commands import data
from bench.datasets import digits, mnist
from bench.datasets.dataset import Dataset
from bench.datasets.storage import pack


def test_digits_are_scikit_learns_in_a_fixed_stratified_split(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    found = digits.load(tmp_path / "nowhere")
    assert found.train.shape == (1437, 1, 8, 8)
    assert found.test.shape == (360, 1, 8, 8)
    assert found.sha256() == "6731c3d5ee47927fd26f06a27e49b4fc2eaf273d65fd4ed985b7795da47c1df6"
    assert found.levels == 16 == max(found.train.max(), found.test.max())
    together = np.concatenate([found.train, found.test]).reshape(1797, 64)
    whole = load_digits()
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole.data.astype(np.uint8)))
    assert found.train_labels is not None
    assert found.test_labels is not None
    shares = np.bincount(whole.target) * 360 / 1797
    assert np.abs(np.bincount(found.test_labels) - shares).max() < 1
    labels = {bytes(image): label for image, label in zip(whole.data.astype(np.uint8), whole.target, strict=True)}
    assert [labels[bytes(image.ravel())] for image in found.train] == list(found.train_labels)


@pytest.fixture(scope="module")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable data root whose raw files are the real ones."""
    given = os.environ.get("LATENTBENCH_DATA")
    if not given or not (Path(given) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real MNIST: set LATENTBENCH_DATA to a data root that has MNIST/raw")
    root = tmp_path_factory.mktemp("data")
    (root / "MNIST").mkdir()
    (root / "MNIST" / "raw").symlink_to((Path(given) / "MNIST" / "raw").resolve())
    return root


@pytest.fixture(scope="module")
def real(real_root: Path) -> Dataset:
    return mnist.load(mnist.MNIST, real_root)


def test_mnist_has_the_reference_values_of_spec_2(real: Dataset) -> None:
    assert (real.train.shape, real.test.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    train, test = (split.reshape(len(split), 784) / np.float32(255) for split in (real.train, real.test))
    squares = (np.sum(train, 0, dtype=np.float64), train.T @ train, np.einsum("ij,ij->", train, train, dtype=np.float64))
    mean = squares[0] / 60_000
    assert squares[2] / 60_000 == pytest.approx(87.81, abs=0.005)
    centred_train, centred_test = train - mean.astype(np.float32), test - mean.astype(np.float32)
    total = [float(np.einsum("ij,ij->", x, x, dtype=np.float64)) / len(x) for x in (centred_train, centred_test)]
    assert total == pytest.approx([52.73, 52.90], abs=0.005)
    axes = np.linalg.eigh(squares[1] / 60_000 - np.outer(mean, mean))[1][:, ::-1].astype(np.float32)
    for components, expected in ((2, (43.87, 43.64)), (8, (29.69, 29.35)), (16, (21.40, 21.06))):
        kept = [float(np.sum((x @ axes[:, :components]) ** 2, dtype=np.float64)) / len(x) for x in (centred_train, centred_test)]
        assert np.subtract(total, kept) == pytest.approx(expected, abs=0.006), components


def test_mnist_labels_belong_to_the_images(real: Dataset) -> None:
    assert real.train_labels is not None
    assert real.test_labels is not None
    assert list(real.train_labels[:5]) == [5, 0, 4, 1, 9]  # the training set's well-known beginning
    assert list(np.bincount(real.test_labels)) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    ink = [real.train[real.train_labels == digit].mean() for digit in (0, 1)]
    assert ink[0] > 2 * ink[1]


def test_mnist_verifies_packs_and_lists(real: Dataset, real_root: Path) -> None:
    card = mnist.DATASETS[0]
    assert data.pack(card, real_root) == f"mnist: packed in {pack.places(real_root, 'mnist', card.convention)[0]}"
    assert data.verify(card, real_root).startswith("mnist: raw files and pack ")
    facts = ("mnist", "real", "1x28x28", "60,000", "10,000", "CC BY-SA 3.0", "12 MB", "55 MB", "packed", "good")
    assert data.rows([card], real_root)[0][:-1] == facts
    assert data.fetch(card, real_root) == f"mnist: already in {real_root / 'MNIST' / 'raw'}, checksums good"


def test_reduced_mnist_is_a_fixed_subset_of_the_training_images(real: Dataset, real_root: Path) -> None:
    reduced = mnist.DATASETS[1].load(real_root)
    assert reduced.train.shape == (600, 1, 28, 28)
    assert reduced.sha256() == "f3820f6425e2df187f2c965337a27131ec3c0a5f3fc8ff4722734c0faadbd987"
    np.testing.assert_array_equal(reduced.test, real.test)
    assert real.train_labels is not None
    assert reduced.train_labels is not None
    where = {bytes(image.data): number for number, image in enumerate(real.train)}
    rows = [where[bytes(image.data)] for image in reduced.train]
    assert len(set(rows)) == 600
    assert rows == sorted(rows)
    np.testing.assert_array_equal(real.train_labels[rows], reduced.train_labels)
    assert np.bincount(reduced.train_labels).min() >= 40  # of 60 expected: not 600 of one kind
    assert "seed 0" in mnist.DATASETS[1].convention


def test_validation_images_are_a_tenth_of_training_never_of_test(tmp_path: Path) -> None:
    whole = digits.load(tmp_path)
    first, second = whole.with_validation(), whole.with_validation()
    assert first.sha256() == second.sha256()
    assert first.held_out == "validation"
    assert (len(first.train), len(first.test)) == (1293, 144)
    numbered = replace(whole, train_labels=np.arange(1437), test_labels=np.arange(1437, 1797)).with_validation()
    assert numbered.train_labels is not None
    assert numbered.test_labels is not None
    assert not set(numbered.train_labels) & set(numbered.test_labels)
    assert sorted([*numbered.train_labels, *numbered.test_labels]) == list(range(1437))
    np.testing.assert_array_equal(numbered.train, whole.train[numbered.train_labels])
    np.testing.assert_array_equal(numbered.test, whole.train[numbered.test_labels])
    source = digits.DATASETS[0]
    assert source.train_count("validation") == len(first.train)
    assert source.train_count("test") == len(whole.train)
