"""Train the classifier whose features measure a dataset's samples, on its own training labels: `features train`.

Cross-entropy by Adam (Kingma and Ba, arXiv:1412.6980), its rate falling linearly to zero. Seeded: on one machine and one
version of torch, with one thread, the same command writes the same bytes.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.datasets.dataset import Dataset
from bench.errors import UserError
from metrics.features.classifier import Classifier

STEPS, BATCH, RATE = 3000, 100, 2e-3


def train_classifier(name: str, data: Dataset, seed: int, steps: int = STEPS) -> tuple[Classifier, dict[str, Any]]:
    """A trained classifier and the facts of it; UserError for a dataset without labels."""
    if data.train_labels is None or data.test_labels is None:
        raise UserError(f"dataset {name} has no labels, so no classifier can be trained on it; pca and pixels need none")
    classes, shape = int(data.train_labels.max()) + 1, data.train.shape[1:]
    x, y = unit(data.train, data.levels), torch.from_numpy(data.train_labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Classifier((shape[0], shape[1], shape[2]), classes)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    order = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        index = torch.randint(len(x), (BATCH,), generator=order)
        optimizer.zero_grad()
        F.cross_entropy(net(x[index]), y[index]).backward()
        optimizer.step()
        schedule.step()
    facts = {"dataset": name, "data": data.sha256(), "shape": list(shape), "classes": classes, "seed": seed, "steps": steps}
    return net, {**facts, "test_accuracy": accuracy(net, unit(data.test, data.levels), torch.from_numpy(data.test_labels))}


def unit(images: np.ndarray, levels: int) -> Tensor:
    """(N, C, H, W) uint8 -> float32 in [0, 1]"""
    return torch.from_numpy(np.array(images)).float() / levels


@torch.no_grad()
def accuracy(net: Classifier, x: Tensor, y: Tensor) -> float:
    """Share of images whose largest logit is their label's.   (N, C, H, W), (N,)"""
    right = [(net(part).argmax(1) == labels).sum() for part, labels in zip(x.split(1000), y.split(1000), strict=True)]
    return int(torch.stack(right).sum()) / len(x)
