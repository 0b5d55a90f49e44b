"""What a network is: a function of the image shape, the latent size and the encoder's outputs per latent."""

from collections.abc import Callable

from torch import nn

Pair = tuple[nn.Module, nn.Module]  # encoder (B, C, H, W) -> (B, outputs·d), decoder (B, d) -> raw outputs (B, C, H, W)
Network = Callable[[tuple[int, int, int], int, int], Pair]
