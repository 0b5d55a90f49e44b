"""Files of weights that are made here: random ones in torch-fidelity's own format, and of models of timm."""

import hashlib
from pathlib import Path

import safetensors.torch
import timm
import torch
from small_methods import noise
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from metrics.features import inception


class Blank(FeatureExtractorInceptionV3):
    """torch-fidelity's graph with the values it is built with, for it insists on a file and would read it."""

    def load_state_dict(self, state_dict: dict[str, Tensor], *_: object, **__: object) -> None:
        """The state stays."""


def random_inception(folder: Path, seed: int = 0) -> str:
    """Random weights under the name of the real ones and in their format; -> sha256 of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / inception.FILE
    torch.save({}, path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        graph = Blank("blank", ["2048"], feature_extractor_weights_path=str(path))
    for module in graph.modules():
        if isinstance(module, nn.Conv2d):  # or activations would shrink from layer to layer
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=noise(seed))
        if isinstance(module, nn.BatchNorm2d):  # as training leaves them
            for tensor, low, high in ((module.weight, 0.7, 1.4), (module.bias, -0.3, 0.3), (module.running_mean, -0.3, 0.3)):
                nn.init.uniform_(tensor, low, high, generator=noise(seed))
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=noise(seed + 1))
    torch.save(graph.state_dict(), path)
    return sha256(path)


def random_backbone(folder: Path, model: str, seed: int = 0) -> str:
    """Random weights of a model of timm; -> sha256 of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = timm.create_model(model, pretrained=False).state_dict()
    path = folder / f"{model}.safetensors"
    safetensors.torch.save_file(state, path)
    return sha256(path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bytes_of(n: int, seed: int, shape: tuple[int, int, int] = (1, 8, 8), low: int = 0, high: int = 256) -> Tensor:
    """-> (n, *shape) uint8"""
    return torch.randint(low, high, (n, *shape), generator=noise(seed), dtype=torch.uint8)
