"""Convolutions with fewer products are the convolutions, in every size, and take only the layers that they can."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_methods import normal
from torch import Tensor, nn

from metrics.features.winograd import Winograd, convolution, fits, packed, with_fewer_products
from metrics.kernels import native

TOLERANCE = 2e-5  # of the largest number; a wrong weight is wrong by tenths


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    if native.library() is None:
        pytest.skip("no C compiler")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def layer(c: int, k: int, taps: int, padding: int, seed: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(c, k, taps, padding=padding)
    conv.weight.data = normal(k, c, taps, taps, seed=seed).float() / (c * taps**2) ** 0.5
    conv.bias.data = normal(k, seed=seed + 1).float()
    return conv


def images(n: int, c: int, h: int, w: int) -> Tensor:
    return normal(n, c, h, w, seed=3).float().relu().contiguous(memory_format=torch.channels_last)


def exact(conv: nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=conv.padding)


@torch.no_grad()
def apart(conv: nn.Conv2d, x: Tensor) -> float:
    """The largest error of a number, in largest numbers of the result."""
    found, expected = Winograd(conv)(x), exact(conv, x)
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=torch.channels_last)
    return ((found - expected).abs().max() / expected.abs().max()).item()


@settings(max_examples=40, deadline=None)
@given(
    taps=st.sampled_from([3, 5]),
    padding=st.integers(0, 3),
    n=st.integers(1, 3),
    size=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    c=st.sampled_from([16, 48, 80]),
    k=st.sampled_from([32, 96]),
)
def test_every_size_equals_the_convolution_in_float64(taps: int, padding: int, n: int, size: tuple[int, int], c: int, k: int) -> None:
    h, w = (max(side, taps - 2 * padding) for side in size)
    assert apart(layer(c, k, taps, padding), images(n, c, h, w)) < TOLERANCE


@pytest.mark.parametrize(("c", "k", "side", "taps", "padding"), [(80, 192, 73, 3, 0), (48, 64, 35, 5, 2), (448, 384, 8, 3, 1)])
def test_inceptions_own_layers(c: int, k: int, side: int, taps: int, padding: int) -> None:
    conv, x = layer(c, k, taps, padding), images(2, c, side, side)
    assert apart(conv, x) < TOLERANCE
    with torch.no_grad():
        assert torch.equal(Winograd(conv)(x)[1:], Winograd(conv)(x[1:])), "an image's features do not depend on its batch"


@torch.no_grad()
def test_any_number_of_threads_gives_the_same_bits() -> None:
    module, x = Winograd(layer(32, 32, 3, 1)), images(3, 32, 61, 34)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(module(x))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@torch.no_grad()
def test_images_in_any_order_of_memory() -> None:
    conv = layer(16, 32, 3, 1)
    module, x = Winograd(conv), images(2, 16, 9, 7)
    expected = module(x)
    loose = torch.empty(x.numel() + 1)[1:].view(2, 9, 7, 16).permute(0, 3, 1, 2).copy_(x)  # begins 4 bytes after a multiple of 64
    for other in (x.contiguous(), loose, torch.cat([x, x], 1)[:, 16:], x.transpose(2, 3).contiguous().transpose(2, 3)):
        assert torch.equal(module(other), expected)
    assert torch.equal(convolution(x, loose_copy(module.weights), loose_copy(module.bias), 3, 1), expected)


def loose_copy(x: Tensor) -> Tensor:
    return torch.empty(x.numel() + 1)[1:].view(x.shape).copy_(x)


@torch.no_grad()
def test_without_a_bias() -> None:
    conv = layer(16, 32, 3, 1)
    conv.bias = None
    assert apart(conv, images(1, 16, 8, 8)) < TOLERANCE


@torch.no_grad()
def test_torch_compiles_around_it() -> None:
    first, conv, x = nn.Conv2d(3, 16, 1), layer(16, 32, 5, 2), normal(2, 3, 9, 11, seed=5).float()
    net = torch.compile(nn.Sequential(first, Winograd(conv), nn.ReLU()), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(net(x).double(), exact(conv, first(x)).relu(), rtol=0, atol=1e-4)


def test_it_takes_what_it_can_compute() -> None:
    assert fits(nn.Conv2d(16, 32, 3))
    assert fits(nn.Conv2d(448, 384, 5, padding=2, bias=False))
    others = [
        nn.Conv2d(16, 32, 1),
        nn.Conv2d(16, 32, 7, padding=3),
        nn.Conv2d(16, 32, (1, 3), padding=(0, 1)),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.Conv2d(16, 32, 3, dilation=2),
        nn.Conv2d(32, 32, 3, groups=2),
        nn.Conv2d(16, 32, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 32, 3, padding="same"),
        nn.Conv2d(16, 32, 3, padding=(0, 1)),
        nn.Conv2d(3, 32, 3),
        nn.Conv2d(16, 40, 3),
        nn.Conv2d(16, 32, 3).double(),
        nn.Conv2d(16, 32, 3, device="meta"),
    ]
    assert [conv for conv in others if fits(conv)] == []


@torch.no_grad()
def test_a_network_whose_layers_are_replaced_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> nn.Module:
        stem = nn.Sequential(layer(3, 16, 3, 0), nn.ReLU(), layer(16, 32, 3, 1), nn.ReLU())
        return nn.Sequential(stem, layer(32, 64, 5, 2, seed=4), nn.Conv2d(64, 64, 3, stride=2), nn.AdaptiveAvgPool2d(1))

    torch.manual_seed(0)
    net, x = made(), normal(2, 3, 21, 17, seed=6).float()
    expected = net(x)
    monkeypatch.setattr(native, "library", lambda: None)
    assert not any(isinstance(module, Winograd) for module in with_fewer_products(net).modules())
    monkeypatch.undo()
    assert sum(isinstance(module, Winograd) for module in with_fewer_products(net).modules()) == 2
    assert (net(x) - expected).norm() < 1e-5 * expected.norm()
    assert not torch.equal(net(x), expected)


def test_what_does_not_go_together_is_an_error() -> None:
    x, weights, bias = images(1, 16, 8, 8), packed(layer(16, 32, 3, 1).weight.detach()), torch.zeros(32)
    cases: list[tuple[Tensor, Tensor, Tensor, int]] = [
        (x[:, :8], weights, bias, 3),
        (images(1, 32, 8, 8), weights, bias, 3),
        (x, weights, torch.zeros(40), 3),
        (x, weights, bias, 7),
        (images(1, 20, 8, 8), torch.zeros(36, 1, 20, 32), bias, 3),
    ]
    for wrong in cases:
        with pytest.raises(ValueError, match=r"do not go with weights of \(36, 1, \d+, 32\)"):
            convolution(*wrong, 1)
    for wrong in ((x.double(), weights, bias), (x, weights.half(), bias), (x, weights, bias.double()), (x, weights.mT, bias)):
        with pytest.raises(ValueError, match=r"must be float32 and contiguous, not torch\.float"):
            convolution(*wrong, 3, 1)
    with pytest.raises(ValueError, match=r"only float32 convolutions of a CPU, of stride 1.*not Conv2d\(16, 32, .*stride=\(2, 2\)\)"):
        Winograd(nn.Conv2d(16, 32, 3, stride=2))
