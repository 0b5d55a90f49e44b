"""What a network is: a function of the image shape, the latent size and the encoder's outputs per latent."""

from collections.abc import Callable, Iterable

from torch import nn

Pair = tuple[nn.Module, nn.Module]  # encoder (B, C, H, W) -> (B, outputs·d), decoder (B, d) -> raw outputs (B, C, H, W)
Network = Callable[[tuple[int, int, int], int, int], Pair]


class Levels(nn.ModuleList):
    """The encoders, or the generators, of a hierarchy of latents from the image up: what a stacked method is made of.

    Encoder n: (B, d_{n-1}) -> (B, outputs·d_n), the first one from images; generator n: (B, d_n) -> (B, outputs·d_{n-1}),
    the first one to raw images.
    """

    capturable = True

    def __init__(self, modules: Iterable[nn.Module], dims: tuple[int, ...]):
        super().__init__(modules)
        self.dims = dims  # d_1 ... d_N
