"""The bottom level of StackedWAE's MNIST hierarchy alone, for methods with one level of latents.

Gaujac et al., "Learning deep-latent hierarchies by stacking Wasserstein autoencoders", arXiv:2010.03467, appendix B.1; SPEC 3.6.
"""

import math

from torch import nn

from models.networks.layers import check_shape
from models.networks.network import Pair
from models.networks.stacked import MNIST, dense


def stacked_mnist_bottom(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """Two hidden layers of 2,048 with batch norm on either side.   (B, 1, 28, 28) -> (B, outputs·d); (B, d) -> (B, 1, 28, 28)"""
    check_shape("stacked_mnist_bottom", shape, (1, 28, 28))
    values, width = math.prod(shape), MNIST[0]
    encoder = nn.Sequential(nn.Flatten(), *dense(values, outputs * dim, width))
    return encoder, nn.Sequential(*dense(dim, values, width), nn.Unflatten(1, shape))


NETWORKS = [stacked_mnist_bottom]
