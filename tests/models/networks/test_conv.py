"""The network for images of any size: shapes, the maps between, and the rule of `auto`."""

import pytest
import torch

from models.networks.choice import chosen
from models.networks.conv import conv, halved


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 15, 17), (1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 36, 50), (2, 25, 25), (3, 9, 130)])
def test_any_size_comes_back_as_it_was(shape: tuple[int, int, int]) -> None:
    encoder, decoder = conv(shape, 5, 2)
    assert encoder(torch.rand(2, *shape)).shape == (2, 10)
    assert decoder(torch.rand(2, 5)).shape == (2, *shape)


def test_maps_are_halved_while_both_sides_have_eight_pixels() -> None:
    assert halved(64, 64) == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    assert halved(28, 20) == [(28, 20), (14, 10), (7, 5)]
    assert halved(25, 100) == [(25, 100), (12, 50), (6, 25)]


def test_it_has_the_parameters_of_its_layers() -> None:
    """4×4 kernels and biases, two group norms less one in the decoder, dense layers; by hand for 64×64×3 at 8 latents."""
    encoder, decoder = conv((3, 64, 64), 8, 1)
    planes = [(3, 32), (32, 32), (32, 64), (64, 64)]
    down = sum(16 * a * b + b + 2 * b for a, b in planes) + (1024 * 256 + 256) + (256 * 8 + 8)
    up = (8 * 256 + 256) + (256 * 1024 + 1024) + sum(16 * a * b + a + 2 * a * (a != 3) for a, b in planes)
    assert [sum(p.numel() for p in net.parameters()) for net in (encoder, decoder)] == [down, up]


def test_smaller_images_are_refused() -> None:
    with pytest.raises(ValueError, match="network 'conv' takes images of at least 8×8 pixels, not 1×256"):
        conv((1, 1, 256), 5, 1)


@pytest.mark.parametrize(
    ("shape", "name"),
    [((3, 64, 64), "conv"), ((1, 16, 16), "conv"), ((1, 15, 64), "mlp"), ((1, 8, 8), "mlp"), ((1, 1, 256), "mlp"), ((1, 1, 2), "mlp")],
)
def test_auto_is_conv_from_sixteen_pixels_on(shape: tuple[int, int, int], name: str) -> None:
    assert chosen(shape) == name
