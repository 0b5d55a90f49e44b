"""The Fréchet wavelet distance: packets against a loop of Haar's two filters, known distances, sizes that have none."""

from itertools import product

import pytest
import torch
from small_methods import noise
from torch import Tensor

from metrics.frechet import frechet_of_features
from metrics.metric import Unavailable
from metrics.wavelets import frechet_wavelet, level_of, packets


def images(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=noise(seed))


def filtered(x: Tensor, level: int) -> list[Tensor]:
    """All packets by the tree: each one is filtered low and high along both sides, and every other value kept."""
    found = [x.double() / 255]
    for _ in range(level):
        found = [
            (part[..., 0::2, 0::2] + a * part[..., 1::2, 0::2] + b * part[..., 0::2, 1::2] + a * b * part[..., 1::2, 1::2]) / 2
            for part in found
            for a, b in product((1, -1), repeat=2)
        ]
    return found


@pytest.mark.parametrize(("shape", "level"), [((1, 4, 4), 1), ((3, 8, 12), 2), ((1, 16, 32), 3)])
def test_packets_are_those_of_the_tree_of_filters(shape: tuple[int, ...], level: int) -> None:
    x = images(3, *shape)
    assert level_of(*shape[1:]) == level
    found, expected = list(packets(x)), [part.flatten(1) for part in filtered(x, level)]
    assert len(found) == len(expected) == 4**level
    left = list(expected)
    for part in found:  # in another order; each once
        index = next(i for i, other in enumerate(left) if torch.allclose(part, other, rtol=0, atol=1e-12))
        left.pop(index)
    assert torch.cat(found, 1).square().sum().item() == pytest.approx((x.double() / 255).square().sum().item())  # orthogonal


def test_it_is_the_mean_of_the_packets_distances() -> None:
    a, b = images(30, 1, 8, 8, seed=1), images(25, 1, 8, 8, seed=2) // 2
    each = [frechet_of_features(p.flatten(1), q.flatten(1)).item() for p, q in zip(filtered(a, 2), filtered(b, 2), strict=True)]
    assert frechet_wavelet(a, b).item() == pytest.approx(sum(each) / 16, rel=1e-9)
    assert frechet_wavelet(a, a).item() == pytest.approx(0, abs=1e-9)


def test_how_images_lie_in_memory_changes_nothing() -> None:
    a, b = images(30, 3, 8, 8, seed=1), images(25, 3, 8, 8, seed=2)
    last = a.contiguous(memory_format=torch.channels_last)
    assert frechet_wavelet(last, b).item() == frechet_wavelet(a, b).item()


def test_a_shade_changes_one_packet_alone() -> None:
    """All pixels brighter by 51/255: the packet of means has 2^L times that in each of its values, all others nothing."""
    a = images(40, 1, 8, 8) // 2
    assert frechet_wavelet(a, a + 51).item() == pytest.approx(4 * (0.2 * 4) ** 2 / 16, rel=1e-9)


@pytest.mark.parametrize(("sides", "level"), [((256, 256), 4), ((64, 64), 4), ((28, 28), 2), ((8, 8), 2), ((32, 12), 2)])
def test_the_level_is_the_largest_that_leaves_two_blocks_each_way(sides: tuple[int, int], level: int) -> None:
    assert level_of(*sides) == level


@pytest.mark.parametrize("sides", [(2, 2), (7, 8), (1, 512)])
def test_images_without_packets_are_told_so(sides: tuple[int, int]) -> None:
    with pytest.raises(Unavailable, match=f"images of {sides[0]}×{sides[1]} have no wavelet packets"):
        frechet_wavelet(images(4, 1, *sides), images(4, 1, *sides))


def test_one_image_has_no_covariance() -> None:
    with pytest.raises(Unavailable, match="at least 2 images"):
        frechet_wavelet(images(4, 1, 8, 8), images(1, 1, 8, 8))
