"""Network of the VCAE paper for 3D Shapes ("Variance Constrained Autoencoding", Table 4; SPEC 3.3).

Its printed decoder ends at 32×32 (SPEC T26): the last layer here, to 64×64 and three colours, is missing there. Its MNIST and
CelebA networks are WAE's.
"""

from torch import nn

from models.networks.layers import SameTransposedConv, check_shape, same_conv
from models.networks.network import Pair


def vcae_shapes3d(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    """64×64×3 through four stride-2 convolutions to 4×4×64, dense 256, and back.

    (B, 3, 64, 64) -> (B, outputs·d); (B, d) -> (B, 3, 64, 64)
    """
    check_shape("vcae_shapes3d", shape, (3, 64, 64))
    down = ((3, 32, 64), (32, 32, 32), (32, 64, 16), (64, 64, 8))  # channels, out, size
    up = ((64, 64), (64, 32), (32, 32))
    encoder = nn.Sequential(
        *(layer for a, b, size in down for layer in (same_conv(a, b, kernel=4, stride=2, size=size), nn.ReLU())),
        *(nn.Flatten(), nn.Linear(4 * 4 * 64, 256), nn.ReLU(), nn.Linear(256, outputs * dim)),
    )
    decoder = nn.Sequential(
        *(nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, 4 * 4 * 64), nn.ReLU(), nn.Unflatten(1, (64, 4, 4))),
        *(layer for a, b in up for layer in (SameTransposedConv(a, b, kernel=4, stride=2), nn.ReLU())),
        SameTransposedConv(32, 3, kernel=4, stride=2),
    )
    return encoder, decoder


NETWORKS = [vcae_shapes3d]
