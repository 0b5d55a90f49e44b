"""The Inception network of the FID: torch-fidelity's, with the weights of the original TensorFlow graph.

Heusel et al., arXiv:1706.08500; SPEC 5.6. Only features of this network, from weights with the hash below, make a distance
that may be called FID. Images are 8 bit, grey repeated to three channels, resized as TensorFlow 1 did, inside the network.
"""

from pathlib import Path

import torch
from torch import Tensor

from metrics.features.network import Network, colour, compiled, folded, shortened, verified
from metrics.metric import Unavailable

NAME = "inception-tf"
FILE = "weights-inception-2015-12-05-6726825d.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def inception(weights: Path | None, device: torch.device | str = "cpu", expected: str = SHA256, layer: str = "2048") -> Network:
    """The network from FILE in the folder `weights`; Unavailable without that file or if its hash is not the one expected."""
    path = (weights or Path()) / FILE
    digest = verified(path, expected)  # before it is unpickled
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # imports for seconds

    try:
        net = FeatureExtractorInceptionV3(NAME, [layer], feature_extractor_weights_path=str(path))
    except (RuntimeError, TypeError, AttributeError) as error:  # a torch-fidelity whose network is another
        raise Unavailable(f"{FILE} is not the weights of torch-fidelity's network: {shortened(error)}") from None
    folded(net).to(device)

    def rows(images: Tensor) -> Tensor:
        return net(colour(images).contiguous())[0]

    return Network(NAME, digest, f"TensorFlow 1 bilinear to {net.INPUT_IMAGE_SIZE}, layer {layer}", rows, 50, compiled(rows))
