"""The stacked networks against the tables of StackedWAE's appendix B (SPEC 3.6)."""

import pytest
import torch
from small_methods import images, noise
from torch import Tensor, nn

from models.networks.stacked import Level, Residual, encoder_of, generator_of, stacked_celeba, stacked_mlp, stacked_mnist, stacked_svhn
from models.stacked import implicit_wae, stacked_wae

# level: kernel, filters, whether it resamples, side and features of its latent, as Fig. 10 prints them
SVHN = [(5, 64, 1, 16, 2), (3, 64, 0, 16, 1), (3, 96, 1, 8, 2), (3, 96, 0, 8, 1), (3, 128, 1, 4, 2), (3, 128, 0, 4, 1)]
CELEBA = [
    *[(7, 64, 1, 32, 8), (5, 64, 0, 32, 6), (3, 64, 0, 32, 4), (3, 64, 1, 16, 8), (3, 96, 0, 16, 6)],
    *[(3, 96, 0, 16, 4), (3, 96, 1, 8, 8), (3, 128, 0, 8, 6), (3, 128, 0, 8, 4), (3, 128, 1, 4, 8)],
]
DIMS = {
    "stacked_mnist": (32, 16, 8, 4, 2),
    "stacked_svhn": (512, 256, 128, 64, 32, 16),
    "stacked_celeba": (8192, 6144, 4096, 2048, 1536, 1024, 512, 384, 256, 128),
}
NETWORKS = {
    "stacked_mnist": (stacked_mnist, (1, 28, 28)),
    "stacked_svhn": (stacked_svhn, (3, 32, 32)),
    "stacked_celeba": (stacked_celeba, (3, 64, 64)),
}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def conv(k: int, a: int, b: int) -> int:
    return k * k * a * b + b


@pytest.mark.parametrize("name", NETWORKS)
def test_codes_of_every_level_have_the_printed_size(name: str) -> None:
    network, shape = NETWORKS[name]
    dims = DIMS[name]
    with torch.device("meta"):
        encoders, generators = network(shape, dims[-1], 2)
        assert encoders.dims == generators.dims == dims
        z: Tensor = torch.zeros(2, *shape)
        for encoder, d in zip(encoders, dims, strict=True):
            features = encoder(z)
            assert features.shape == (2, 2 * d)
            z = features[:, :d]
        for n in reversed(range(len(dims))):
            features = generators[n](z)
            assert features.shape == ((2, 2 * dims[n - 1]) if n else (2, *shape))
            z = features[:, : dims[n - 1]]


@pytest.mark.parametrize(("name", "table"), [("stacked_svhn", SVHN), ("stacked_celeba", CELEBA)])
def test_residual_levels_are_the_printed_ones(name: str, table: list[tuple[int, ...]]) -> None:
    network, shape = NETWORKS[name]
    with torch.device("meta"):
        encoders, generators = network(shape, DIMS[name][-1], 2)
    below, side_below = 3, shape[1]
    for n, (k, f, resample, side, features) in enumerate(table):
        assert side == side_below // (2 if resample else 1)
        assert encoders.dims[n] == side * side * features
        up, down = (f // 2, 2 * f) if resample else (f, f)
        out = 2 * below if n else 3
        wanted = wanted_of(k, below, f, down, 2 * features)
        assert sorted(convolutions(encoders[n])) == sorted((*part, 2 if resample and part[2] == down else 1) for part in wanted)
        wanted = wanted_of(k, features, f, up, out)
        strides = [1, 1, 2, 2, 1] if resample else [1] * 5
        assert sorted(convolutions(generators[n])) == sorted((*part, s) for part, s in zip(wanted, strides, strict=True))
        norms = 2 * (2 * f)
        assert count(encoders[n]) == sum(conv(*part) for part in wanted_of(k, below, f, down, 2 * features)) + norms + 2 * down
        assert count(generators[n]) == sum(conv(*part) for part in wanted) + norms + 2 * up
        below, side_below = features, side


def wanted_of(k: int, channels: int, f: int, wide: int, out: int) -> list[tuple[int, int, int]]:
    return [(k, channels, f), (k, f, f), (k, f, wide), (k, channels, wide), (k, wide, out)]


def convolutions(module: nn.Module) -> list[tuple[int, int, int, int]]:
    """Kernel, channels in, channels out, stride of each."""
    return [
        (m.kernel_size[0], m.in_channels, m.out_channels, m.stride[0])
        for m in module.modules()
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]


@pytest.mark.parametrize(("name", "millions"), [("stacked_mnist", 14.810372), ("stacked_svhn", 2.674533), ("stacked_celeba", 5.158219)])
def test_parameter_counts(name: str, millions: float) -> None:
    network, shape = NETWORKS[name]
    with torch.device("meta"):
        pair = network(shape, DIMS[name][-1], 2)
    assert sum(map(count, pair)) == round(millions * 1e6)


def test_the_mnist_levels_have_two_hidden_layers_of_the_printed_width() -> None:
    with torch.device("meta"):
        encoders, generators = stacked_mnist((1, 28, 28), 2, 2)
    sizes = (784, *DIMS["stacked_mnist"])
    for n, u in enumerate((2048, 1024, 512, 256, 128)):
        below, above = sizes[n], sizes[n + 1]
        out = 2 * below if n else 784
        kinds = [type(m).__name__ for m in encoders[n] if not isinstance(m, nn.Flatten)]
        assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
        assert count(encoders[n]) == below * u + u * u + 4 * u + (u + 1) * 2 * above
        assert count(generators[n]) == above * u + u * u + 4 * u + (u + 1) * out


def test_the_small_levels_halve_from_four_times_the_top() -> None:
    encoders, generators = stacked_mlp((1, 8, 8), 5, 2)
    assert encoders.dims == (20, 10, 5)
    assert encoders[0](images(3, shape=(1, 8, 8))).shape == (3, 40)
    assert generators[0](torch.zeros(3, 20)).shape == (3, 1, 8, 8)
    assert generators[2](torch.zeros(3, 5)).shape == (3, 20)


def test_a_skip_is_the_identity_where_it_can_be_and_a_convolution_elsewhere() -> None:
    """SPEC T20."""
    for make, same, other, halving in (
        (encoder_of, (8, 4, 4), (2, 4, 4), Level(3, 4, True, 2)),
        (generator_of, (8, 4, 4), (2, 4, 4), Level(3, 16, True, 2)),
    ):
        level = Level(3, 8, False, 2)
        assert isinstance(make(level, same, 2).skip, nn.Identity)
        assert convolutions(make(level, other, 2).skip) == [(3, 2, 8, 1)]
        assert convolutions(make(halving, same, 2).skip) == [(3, 8, 8, 2)]  # equal channels, but another size


def test_a_residual_network_adds_before_the_norm() -> None:
    block = encoder_of(Level(3, 4, False, 2), (2, 6, 6), 2)
    assert isinstance(block, Residual)
    x = torch.randn(5, 2, 6, 6, generator=noise())
    total = block.path(x) + block.skip(x)
    centred = (total - total.mean((0, 2, 3), keepdim=True)) / (total.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(block(x), block.last(centred.clamp(min=0)))


def test_another_top_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'stacked_svhn' has 16 latents at its top level, not 8; set latent_dim = 16"):
        stacked_svhn((3, 32, 32), 8, 2)
    with pytest.raises(ValueError, match="'stacked_celeba' takes 3×64×64 images"):
        stacked_celeba((3, 32, 32), 128, 2)
    with pytest.raises(ValueError, match="'stacked_mnist' takes 1×28×28 images"):
        stacked_mnist((1, 8, 8), 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("make", [stacked_wae, implicit_wae])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_moves_every_level(name: str, make: object) -> None:
    network, shape = NETWORKS[name]
    values = {"stacked_mnist": {}, "stacked_svhn": {"rule": "svhn", "rec_weight": 0.5, "match_weight": 10.0, "penalty": 2.5}}
    paper = values.get(name, {"rule": "celeba", "rec_weight": 0.1, "match_weight": 1.0, "penalty": 2.5})
    top = DIMS[name][-1]
    recipe = stacked_wae(top, **paper) if make is stacked_wae else implicit_wae(top)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        method = recipe.assemble(shape, top, network)
    (player,) = method.players()
    optimizer = torch.optim.Adam(player.parameters, lr=1e-3)
    before = [p.detach().clone() for p in player.parameters]
    x = images(4, shape=shape)
    terms = player.terms(x, noise())
    terms["loss"].backward()
    optimizer.step()
    assert all(term.isfinite() for term in terms.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, player.parameters, strict=True)]
    assert all(moved)
    method.eval()
    with torch.no_grad():
        assert method.sample(2, noise()).shape == (2, *shape)
        assert method.decode(method.draw(x, noise()).z).shape == x.shape
