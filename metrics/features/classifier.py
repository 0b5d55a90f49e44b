"""The features of a small classifier of the dataset's own labels, for images that ImageNet's networks know nothing of.

The idea is that of the Fréchet distance on LeNet features (Bińkowski et al., arXiv:1801.01401, section 5.1, on MNIST); the
network is this project's own. Trained by `python -m bench features train`; features are the layer before the logits.
"""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from metrics.features.network import Network, shortened, tensors_of
from metrics.metric import Unavailable

FEATURES = 64
FOLDER = Path(__file__).parent / "weights"
SHIPPED = {  # dataset -> sha256 of its file in FOLDER, as `features train` writes it
    "digits": "60c0918f3db68b2508f323a8cecc386d00d25bd68d0751e8478d66ced2110876",
    "mnist": "cb096f369c9d1300bf7d1cad1f7d1ff9cd194ad29018a885b93500d232378d53",
}
FACTS = "classifier"  # the key of the file's metadata; one, for several would come in any order
SAME_IMAGES = {"reduced_mnist": "mnist"}  # datasets whose images another's classifier knows


class Classifier(nn.Sequential):
    """Three convolutions, a layer of FEATURES, logits; about 90,000 weights.   (B, C, H, W) in [0, 1] -> (B, classes)"""

    def __init__(self, shape: tuple[int, int, int], classes: int):
        channels, height, width = shape
        sides = [min(4, -(-side // 4)) for side in (height, width)]  # after two strides of 2, at most 4
        super().__init__(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((sides[0], sides[1])),
            nn.Flatten(),
            nn.Linear(64 * sides[0] * sides[1], FEATURES),
            nn.ReLU(),
            nn.Linear(FEATURES, classes),
        )

    def features(self, x: Tensor) -> Tensor:
        """The inputs of the last nonlinearity.   (B, C, H, W) -> (B, FEATURES)"""
        for layer in list(self)[:-2]:
            x = layer(x)
        return x


def file_of(dataset: str, weights: Path | None) -> tuple[Path, str | None]:
    """Where a dataset's classifier is, and the hash it must have: one that comes with the project, or one in the folder given."""
    if dataset in SHIPPED:
        return FOLDER / f"{dataset}.safetensors", SHIPPED[dataset]
    if weights is None or not (weights / f"classifier-{dataset}.safetensors").is_file():
        raise Unavailable(f"no classifier of {dataset}; where it has labels: python -m bench features train {dataset}")
    return weights / f"classifier-{dataset}.safetensors", None


def classifier(dataset: str, weights: Path | None, device: torch.device | str = "cpu") -> Network:
    """The classifier of a dataset by its file of weights; Unavailable where there is none."""
    path, expected = file_of(dataset, weights)
    net, facts, digest = load(path, expected)
    net.to(device).eval()

    def rows(images: Tensor) -> Tensor:
        if list(images.shape[1:]) != facts["shape"]:
            raise Unavailable(f"the classifier of {dataset} takes images of {facts['shape']}, not {list(images.shape[1:])}")
        return net.features(images.float() / 255)

    return Network(f"classifier:{dataset}", digest, "not resized", rows)


def load(path: Path, expected: str | None = None) -> tuple[Classifier, dict[str, Any], str]:
    """A classifier, the facts that were saved with it, and the sha256 of the file.

    Unavailable where the file is none of a classifier, or not the one expected.
    """
    tensors, digest = tensors_of(path, expected)
    try:
        with safetensors.safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()[FACTS])
        channels, height, width = facts["shape"]
        net = Classifier((channels, height, width), facts["classes"])
        net.load_state_dict(tensors)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{path.name} is no classifier of `features train`: {type(error).__name__}: {shortened(error)}") from None
    return net, facts, digest


def dump(net: Classifier, facts: dict[str, Any]) -> bytes:
    """A file of weights; `facts` has its shape and classes at least. The same weights and facts give the same bytes."""
    return safetensors.torch.save(net.state_dict(), {FACTS: json.dumps(facts, sort_keys=True)})
