"""Digits: 1,797 real handwritten digits, 8 x 8 pixels, that come with scikit-learn (UCI optical recognition)."""

from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Source

LEVELS, TEST, SEED = 16, 360, 0


def load(root: Path) -> Dataset:
    """(1437, 1, 8, 8) and (360, 1, 8, 8), values 0..16, with labels; the data root is not read."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images, labels = digits.images.astype(np.uint8)[:, None], digits.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=TEST, stratify=labels, random_state=SEED)
    return Dataset(images[train], images[test], labels[train], labels[test], levels=LEVELS)


DATASETS = [
    Source(
        name="digits",
        shape=(1, 8, 8),
        counts={"train": 1437, "test": TEST},
        convention=f"digits 8x8, value/{LEVELS}, stratified split by scikit-learn, {TEST} test, seed {SEED}",
        kind="real",
        licence="CC BY 4.0",
        url="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        load=load,
    )
]
