"""LaDDer's networks: layers as SPEC 3.5 lists them, weights as Glorot has them, one training step of the large ones."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_methods import noise, normal
from torch import Tensor, nn

from models.ladder import ladder, vae_laplace
from models.networks.ladder import Mirror, StyledConv, StyleDecoder, glorot, ladder_celeba, ladder_celeba_code, ladder_fashion, ladder_mnist
from models.networks.network import Network


def count(*layers: tuple[int, int, int]) -> int:
    """Weights and biases of (inputs, outputs, kernel area)."""
    return sum(a * b * area + b for a, b, area in layers)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("network", "encoder", "decoder"),
    [
        (
            ladder_mnist,
            [(1, 16, 9), (16, 64, 9), (64, 256, 9), (4096, 64, 1), (64, 32, 1)],
            [(16, 4096, 1), (256, 256, 9), (64, 64, 9), (16, 16, 9), (4, 1, 25)],
        ),
        (
            ladder_fashion,
            [(1, 64, 9), (64, 64, 9), (64, 128, 9), (128, 128, 9), (512, 256, 1), (256, 32, 1)],
            [(16, 256, 1), (64, 256, 1), *[(64, 256, 9)] * 3, (64, 1, 25)],
        ),
    ],
)
def test_small_networks_have_the_layers_of_the_paper(
    network: Network, encoder: list[tuple[int, int, int]], decoder: list[tuple[int, int, int]]
) -> None:
    built = network((1, 28, 28), 16, 2)
    assert [parameters(net) for net in built] == [count(*encoder), count(*decoder)]
    x = torch.zeros(2, 1, 28, 28)
    assert built[0](x).shape == (2, 32)
    assert built[1](torch.zeros(2, 16)).shape == x.shape
    slopes = {m.negative_slope for net in built for m in net.modules() if isinstance(m, nn.LeakyReLU)}
    assert slopes == {0.2}
    assert sum(isinstance(m, nn.LeakyReLU) for m in built[0].modules()) == len(encoder) - 1
    assert sum(isinstance(m, nn.LeakyReLU) for m in built[1].modules()) == len(decoder) - 1


def test_the_face_network_has_the_layers_of_the_paper() -> None:
    with torch.device("meta"):
        encoder, decoder = ladder_celeba((3, 128, 128), 256, 2)
        assert encoder(torch.zeros(2, 3, 128, 128)).shape == (2, 512)
        assert decoder(torch.zeros(2, 256)).shape == (2, 3, 128, 128)
    convs = [(3, 128, 9), (128, 128, 9), (128, 256, 9), (256, 256, 9), (256, 512, 9), (512, 512, 9), (2048, 512, 1)]
    norms = 2 * (128 + 128 + 256 + 256 + 512 + 512)
    assert parameters(encoder) == count(*convs) + norms
    style = [(256, 512, 1), *[(512, 512, 1)] * 8, (512, 512, 1)]
    styled = [(512, 512, 9), (512, 512, 9), (512, 256, 9), (256, 128, 9)]
    modulation = [(512, 2 * out, 1) for _, out, _ in styled]
    rest = [(512, 512, 9), (256, 256, 9), (128, 128, 9), (128, 3, 1)]
    assert parameters(decoder) == count(*style, *styled, *modulation, *rest)


def test_features_grow_by_the_papers_sizes() -> None:
    sizes = []
    with torch.device("meta"):
        decoder = StyleDecoder(4)
        for block in (*decoder.styled, *decoder.after):
            block.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:])))
        decoder(torch.zeros(1, 4))
    assert sizes[::2] == [(512, 2, 2), (512, 2, 2), (256, 16, 16), (128, 64, 64)]
    assert sizes[1::2] == [(512, 2, 2), (512, 16, 16), (256, 64, 64), (128, 128, 128)]


def test_the_style_decoder_is_the_table() -> None:
    """SPEC 3.5, row by row, with functions instead of layers."""
    decoder, z = StyleDecoder(4), normal(1, 4, seed=1).float()
    weights = dict(decoder.named_parameters())

    def layer(x: Tensor, name: str) -> Tensor:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2) if weight.dim() == 4 else x @ weight.T + bias

    def leaky(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    def larger(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def styled(x: Tensor, k: int) -> Tensor:
        x = layer(x, f"styled.{k}.conv")
        x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
        scale, shift = layer(style, f"styled.{k}.modulation").unflatten(1, (2, -1)).unbind(1)
        return leaky(x * (1 + scale[..., None, None]) + shift[..., None, None])

    e = style = leaky(layer(z, "embed.0"))
    for k in range(0, 16, 2):
        style = leaky(layer(style, f"style.{k}"))
    x = larger(layer(e[..., None, None], "first.1"))
    x = styled(styled(x, 0), 1)
    x = F.interpolate(x, size=(8, 8), mode="bilinear")
    x = larger(leaky(layer(x, "after.1.1.1")))
    x = larger(leaky(layer(larger(styled(x, 2)), "after.2.1.1")))
    x = leaky(layer(larger(styled(x, 3)), "after.3.1.1"))
    with torch.no_grad():
        assert torch.allclose(decoder(z), layer(x, "last"), atol=1e-4)


@pytest.mark.parametrize("network", [ladder_mnist, ladder_fashion, ladder_celeba, ladder_celeba_code])
def test_every_layer_starts_as_glorots(network: Network) -> None:
    for net in network((1, 28, 28) if network in (ladder_mnist, ladder_fashion) else (3, 128, 128), 16, 2):
        layers = [module for module in net.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        for layer in layers:
            area = layer.weight[0, 0].numel()
            bound = math.sqrt(6 / (area * (layer.weight.shape[0] + layer.weight.shape[1])))
            assert layer.bias.abs().max() == 0
            assert layer.weight.abs().max() <= bound * 1.0001
            assert layer.weight.abs().max() > 0.9 * bound
        assert len(layers) > 4


def test_the_style_scales_and_shifts_each_channel() -> None:
    block, x, style = StyledConv(2, 3), normal(2, 2, 4, 4, seed=1).float(), normal(2, 512, seed=2).float()
    found = block(x, style)
    modulation = block.modulation(style)
    features = block.conv(x)
    for b in range(2):
        for c in range(3):
            one = features[b, c]
            normed = (one - one.mean()) / (one.var(correction=0) + 1e-5).sqrt()
            y = normed * (1 + modulation[b, c]) + modulation[b, 3 + c]
            assert torch.allclose(found[b, c], torch.where(y > 0, y, 0.2 * y), atol=1e-5)


def test_padding_mirrors_the_border() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    padded = Mirror(4, 2)(x)
    assert padded[0, 0, 2].tolist() == [1, 0, 0, 1, 2, 3, 3, 2]
    assert padded[0, 0, :, 2].tolist() == [4, 0, 0, 4, 8, 12, 12, 8]


def test_weights_are_glorots() -> None:
    net = glorot(nn.Sequential(nn.Linear(30, 70), nn.Conv2d(8, 16, 3)))
    assert net[0].weight.abs().max().item() == pytest.approx(math.sqrt(6 / 100), rel=0.01)
    assert net[1].weight.abs().max().item() == pytest.approx(math.sqrt(6 / (24 * 9)), rel=0.02)
    assert net[0].bias.abs().max() == net[1].bias.abs().max() == 0


def test_the_code_never_leaves_batch_statistics() -> None:
    x = torch.rand(4, 3, 128, 128, generator=noise())
    for network, same in ((ladder_celeba, False), (ladder_celeba_code, True)):
        bn = network((3, 128, 128), 2, 2)[0][:3]
        assert torch.allclose(bn.train()(x), bn.eval()(x), atol=1e-5) == same


@pytest.mark.parametrize("network", [ladder_mnist, ladder_fashion, ladder_celeba, ladder_celeba_code])
def test_other_images_are_refused(network: Network) -> None:
    with pytest.raises(ValueError, match=f"'{network.__name__}' takes"):
        network((1, 8, 8), 4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("network", [ladder_mnist, ladder_fashion, ladder_celeba])
def test_full_size_networks_take_a_step(network: Network) -> None:
    shape, dim, inner, output = ((3, 128, 128), 256, 32, "identity") if network is ladder_celeba else ((1, 28, 28), 16, 2, "relu")
    for recipe in (partial(vae_laplace, dim), partial(ladder, dim, inner_dim=inner, warmup_epochs=0, samples=10)):
        method = recipe(output=output).assemble(shape, dim, network)
        x = torch.rand(2, *shape, generator=noise())
        for player in method.players():
            torch.autograd.backward(player.terms(x, noise(1))["loss"], inputs=player.parameters)
            assert all(p.grad is not None and p.grad.isfinite().all() for p in player.parameters)
            torch.optim.Adam(player.parameters, lr=1e-4).step()
        assert method.terms(x, noise(2))["loss"].isfinite()
