"""Networks layer by layer (SPEC 3), their padding against index arithmetic, their parameter counts by hand."""

import math
from itertools import pairwise

import pytest
import torch
from small_methods import images, noise, normal
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from models.method import AutoEncoder
from models.networks.layers import SameTransposedConv, check_shape, same_conv
from models.networks.mlp import mlp
from models.networks.network import Network
from models.networks.small import small_conv
from models.networks.wae import wae_celeba, wae_mnist
from models.wae import wae_gan

PADS = [(4, 2, 28, 1, 1), (4, 2, 7, 1, 2), (5, 2, 8, 1, 2), (3, 2, 8, 0, 1), (5, 2, 7, 2, 2), (3, 1, 5, 1, 1), (4, 1, 5, 1, 2)]


@pytest.mark.parametrize(("kernel", "stride", "size", "before", "after"), PADS)
def test_same_padding_by_index_arithmetic(kernel: int, stride: int, size: int, before: int, after: int) -> None:
    """SPEC 3: output ceil(size / stride); output (i, j) sees input rows i·stride - before ... of a map that is 0 outside."""
    layer = same_conv(1, 1, kernel=kernel, stride=stride, size=size).double()
    image = normal(size, size, seed=1)
    x, w, bias = image.tolist(), layer[1].weight[0, 0].tolist(), layer[1].bias.item()
    side = math.ceil(size / stride)
    assert (side - 1) * stride + kernel == before + size + after  # the window ends where the padding does

    def at(i: int, j: int) -> float:
        pixels = [(a, b, i * stride + a - before, j * stride + b - before) for a in range(kernel) for b in range(kernel)]
        return bias + sum(w[a][b] * x[r][c] for a, b, r, c in pixels if 0 <= r < size and 0 <= c < size)

    found = layer(image[None, None])[0, 0]
    assert found.tolist() == [pytest.approx([at(i, j) for j in range(side)]) for i in range(side)]


TRANSPOSED = [(4, 2, 1), (5, 2, 2), (4, 1, 1), (5, 1, 2), (16, 4, 6), (8, 4, 2), (3, 1, 1)]  # kernel, stride, SPEC 3's padding


@pytest.mark.parametrize(("kernel", "stride", "padding"), TRANSPOSED)
@pytest.mark.parametrize("size", [4, 7])
def test_transposed_convolution_scatters_to_size_times_stride(kernel: int, stride: int, padding: int, size: int) -> None:
    layer = SameTransposedConv(1, 1, kernel=kernel, stride=stride).double()
    x, w, side = normal(size, size, seed=1), layer.conv.weight[0, 0].detach(), size * stride
    wide = torch.full((side + 2 * kernel, side + 2 * kernel), layer.conv.bias.item(), dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            wide[i * stride : i * stride + kernel, j * stride : j * stride + kernel] += x[i, j] * w
    torch.testing.assert_close(layer(x[None, None])[0, 0], wide[padding : padding + side, padding : padding + side])


@pytest.mark.parametrize(("kernel", "size"), [(4, 14), (4, 28)])
def test_transposed_convolution_is_the_adjoint_of_the_convolution(kernel: int, size: int) -> None:
    down = same_conv(3, 2, kernel=kernel, stride=2, size=size).double()
    up = SameTransposedConv(2, 3, kernel=kernel, stride=2).double()
    up.conv.weight.data = down[1].weight.data
    nn.init.zeros_(down[1].bias)
    nn.init.zeros_(up.conv.bias)
    x, u = normal(1, 3, size, size, seed=1), normal(1, 2, size // 2, size // 2, seed=2)
    assert (down(x) * u).sum().item() == pytest.approx((x * up(u)).sum().item())


def trace(net: nn.Module, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape (without the batch) of every layer, in order."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    kept = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.ReLU, nn.Linear, SameTransposedConv)
    for module in net.modules():
        if isinstance(module, kept):
            module.register_forward_hook(lambda m, args, out: seen.append((type(m).__name__, tuple(out.shape[1:]))))
    net(x)
    return seen


def block(name: str, *shape: int, norm: str = "BatchNorm2d") -> list[tuple[str, tuple[int, ...]]]:
    return [(name, shape), (norm, shape), ("ReLU", shape)]


def encoder_layers(sizes: tuple[int, ...], features: int) -> list[tuple[str, tuple[int, ...]]]:
    blocks = [layer for c, s in zip((128, 256, 512, 1024), sizes, strict=True) for layer in block("Conv2d", c, s, s)]
    return [*blocks, ("Linear", (features,))]


def decoder_layers(size: int, channels: tuple[int, ...], out: int) -> list[tuple[str, tuple[int, ...]]]:
    first = size * size * channels[0]
    blocks = [layer for k, c in enumerate(channels[1:], 1) for layer in block("SameTransposedConv", c, size * 2**k, size * 2**k)]
    last = size * 2 ** (len(channels) - 1)
    return [("Linear", (first,)), ("ReLU", (first,)), *blocks, ("SameTransposedConv", (out, last, last))]


def on_meta(network: Network, shape: tuple[int, int, int], dim: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    """Shapes without the values: the papers' networks have tens of millions."""
    with torch.device("meta"):
        return network(shape, dim, outputs)


@pytest.mark.parametrize(("dim", "outputs"), [(8, 1), (16, 2)])
def test_wae_mnist_is_spec_3_1(dim: int, outputs: int) -> None:
    encoder, decoder = on_meta(wae_mnist, (1, 28, 28), dim, outputs)
    assert trace(encoder, torch.empty(2, 1, 28, 28, device="meta")) == encoder_layers((14, 7, 4, 2), outputs * dim)
    assert trace(decoder, torch.empty(2, dim, device="meta")) == decoder_layers(7, (1024, 512, 256), 1)


@pytest.mark.parametrize("outputs", [1, 2])
def test_wae_celeba_is_spec_3_2(outputs: int) -> None:
    encoder, decoder = on_meta(wae_celeba, (3, 64, 64), 64, outputs)
    assert trace(encoder, torch.empty(2, 3, 64, 64, device="meta")) == encoder_layers((32, 16, 8, 4), outputs * 64)
    assert trace(decoder, torch.empty(2, 64, device="meta")) == decoder_layers(8, (1024, 512, 256, 128), 3)


def test_small_conv_layer_by_layer() -> None:
    encoder, decoder = small_conv((1, 28, 28), 5, 2)
    dense = [("Linear", (256,)), ("ReLU", (256,))]
    assert trace(encoder, images(2, shape=(1, 28, 28))) == [
        *block("Conv2d", 16, 14, 14, norm="GroupNorm"),
        *block("Conv2d", 32, 7, 7, norm="GroupNorm"),
        *dense,
        ("Linear", (10,)),
    ]
    assert trace(decoder, torch.zeros(2, 5)) == [
        *dense,
        ("Linear", (1568,)),
        ("ReLU", (1568,)),
        *block("SameTransposedConv", 16, 14, 14, norm="GroupNorm"),
        ("SameTransposedConv", (1, 28, 28)),
    ]


def test_small_conv_codes_are_the_same_in_training_and_evaluation() -> None:
    encoder, _ = small_conv((1, 28, 28), 5, 1)
    x = images(4, shape=(1, 28, 28))
    assert torch.equal(encoder.train()(x), encoder.eval()(x))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 7)])
def test_mlp_layer_by_layer(shape: tuple[int, int, int]) -> None:
    values = math.prod(shape)
    encoder, decoder = mlp(shape, 4, 2)
    wide, narrow = [("Linear", (256,)), ("ReLU", (256,))], [("Linear", (128,)), ("ReLU", (128,))]
    assert trace(encoder, images(2, shape=shape)) == [*wide, *narrow, ("Linear", (8,))]
    assert trace(decoder, torch.zeros(2, 4)) == [*narrow, *wide, ("Linear", (values,))]
    assert decoder(torch.zeros(2, 4)).shape == (2, *shape)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv(before: int, after: int, kernel: int) -> int:
    return before * after * kernel * kernel + after


def conv_blocks(channels: tuple[int, ...], kernel: int) -> int:
    return sum(conv(a, b, kernel) + 2 * b for a, b in pairwise(channels))  # a batch norm has a scale and a shift


def test_parameter_counts_by_hand() -> None:
    encoder, decoder = on_meta(wae_mnist, (1, 28, 28), 8, 1)
    assert count(encoder) == conv_blocks((1, 128, 256, 512, 1024), 4) + 2 * 2 * 1024 * 8 + 8
    assert count(decoder) == 8 * 50176 + 50176 + conv_blocks((1024, 512, 256), 4) + conv(256, 1, 4)
    encoder, decoder = on_meta(wae_celeba, (3, 64, 64), 64, 1)
    assert count(encoder) == conv_blocks((3, 128, 256, 512, 1024), 5) + 4 * 4 * 1024 * 64 + 64
    assert count(decoder) == 64 * 65536 + 65536 + conv_blocks((1024, 512, 256, 128), 5) + conv(128, 3, 5)
    encoder, decoder = small_conv((1, 28, 28), 8, 2)
    assert count(encoder) == conv_blocks((1, 16, 32), 4) + 1568 * 256 + 256 + 256 * 16 + 16
    assert count(decoder) == 8 * 256 + 256 + 256 * 1568 + 1568 + conv_blocks((32, 16), 4) + conv(16, 1, 4)
    encoder, decoder = mlp((1, 8, 8), 8, 1)
    assert count(encoder) == 64 * 256 + 256 + 256 * 128 + 128 + 128 * 8 + 8
    assert count(decoder) == 8 * 128 + 128 + 128 * 256 + 256 + 256 * 64 + 64


def test_weights_start_as_the_papers_code_starts_them() -> None:
    torch.manual_seed(0)
    for net in wae_mnist((1, 28, 28), 8, 1):
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                n = module.weight.numel()
                assert module.weight.abs().max() <= 0.02  # cut at two deviations, whose deviation is then 0.8796 of 0.01
                assert module.weight.std().item() == pytest.approx(0.008796, rel=4 / math.sqrt(2 * n))
                assert not module.bias.any()
            elif isinstance(module, nn.Linear):
                assert module.weight.std().item() == pytest.approx(0.01, rel=4 / math.sqrt(2 * module.weight.numel()))
                assert module.weight.abs().max() > 0.02
                assert not module.bias.any()
            elif isinstance(module, nn.BatchNorm2d):
                assert (module.momentum, module.eps) == (0.1, 1e-5)
                assert (module.weight == 1).all()


@pytest.mark.parametrize(
    ("network", "name", "wanted"),
    [(wae_mnist, "wae_mnist", "1×28×28"), (wae_celeba, "wae_celeba", "3×64×64"), (small_conv, "small_conv", "1×28×28")],
)
def test_images_of_another_shape_are_refused(network: Network, name: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"network '{name}' takes {wanted} images .C×H×W., not 1×8×8"):
        network((1, 8, 8), 2, 1)


def test_images_of_the_right_shape_pass() -> None:
    check_shape("any", (1, 8, 8), (1, 8, 8))


@pytest.mark.slow
@pytest.mark.parametrize(("network", "shape", "dim"), [(wae_mnist, (1, 28, 28), 8), (wae_celeba, (3, 64, 64), 64)])
def test_the_papers_networks_take_a_training_step(network: Network, shape: tuple[int, int, int], dim: int) -> None:
    torch.manual_seed(0)
    recipe = wae_gan(dim)
    method = AutoEncoder(recipe, *network(shape, dim, 1), dim)
    batches = Batches(torch.randint(0, 256, (4, *shape), dtype=torch.uint8), 255, 4, seed=0)
    budget = Budget(steps=2)
    training = Training(method, Plan(budget, Optimizer(), 1, 2), noise())
    before = {name: value.clone() for name, value in method.named_parameters()}
    terms = [training.take_step(batches) for _ in range(2)]
    assert torch.stack(terms).isfinite().all()
    assert not [name for name, value in method.named_parameters() if torch.equal(value, before[name])]
    assert method.decode(torch.zeros(2, dim)).shape == (2, *shape)
