"""WiSE-ALE's objective and scale, and the paper's networks layer by layer with their repairs."""

import pytest
import torch
from small_methods import DIM, SHAPE, build, images, noise, normal
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from metrics.mixture_bound import mixture_kl_bound
from metrics.reconstruction import bernoulli_nll, squared_error
from models.interfaces import Draw
from models.method import AutoEncoder
from models.networks.network import Network
from models.networks.vcae import vcae_shapes3d
from models.networks.wise_ale import wise_ale_celeba, wise_ale_mnist, wise_ale_sine
from models.parts.prior import StandardNormal
from models.vae import vae_bernoulli
from models.wise_ale import MixtureKL, wise_ale

X = images(6)


def objective(method: AutoEncoder) -> tuple[Tensor, Tensor, Draw]:
    """-log p(x|z) of every image as a Bernoulli's, their decoded outputs, and the draw they come from."""
    draw = method.draw(X, noise(3))
    y = method.decoder(draw.z)
    return bernoulli_nll(X, y), y, draw


def test_one_bound_stands_against_the_sum_of_the_batchs_reconstructions() -> None:
    """Eq. 27, divided by M as every loss here is."""
    method = build(lambda: wise_ale(DIM))
    nll, _, draw = objective(method)
    bound = mixture_kl_bound(draw.mean, draw.log_variance)
    terms = method.terms(X, noise(3))
    assert terms["loss"].item() == pytest.approx(((nll.sum() + bound) / len(X)).item())
    assert terms["mixture_kl"].item() == pytest.approx(bound.item() / 6)


def test_its_curve_has_the_kl_and_bound_of_a_vae_beside_its_own_terms() -> None:
    """Fig. 6: KL(q(z|x) || N(0, I)) and E log p(x|z) less that, by torch's distributions; neither has a gradient or is minimised."""
    method = build(lambda: wise_ale(DIM))
    nll, _, draw = objective(method)
    terms = method.terms(X, noise(3))
    assert draw.log_variance is not None
    q = torch.distributions.Normal(draw.mean, (0.5 * draw.log_variance).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    assert terms["aevb_kl"].item() == pytest.approx(kl.item(), rel=1e-5)
    assert terms["elbo"].item() == pytest.approx(-nll.mean().item() - kl.item(), rel=1e-5)
    assert not terms["aevb_kl"].requires_grad
    assert not terms["elbo"].requires_grad
    assert terms["loss"].item() == pytest.approx((terms["reconstruction"] + terms["mixture_kl"]).item())
    vae = build(lambda: vae_bernoulli(DIM)).terms(X, noise(3))
    assert vae["elbo"].item() == pytest.approx(-vae["loss"].item(), rel=1e-5)


def test_per_sample_it_is_as_many_times_stronger_as_there_are_images() -> None:
    for n in (2, 6):
        batch, sample = (build(lambda s=scale: wise_ale(DIM, kl_scale=s)).terms(X[:n], noise(3)) for scale in ("batch", "sample"))
        assert sample["mixture_kl"].item() == pytest.approx(n * batch["mixture_kl"].item())
        assert sample["reconstruction"] == batch["reconstruction"]


def test_the_gaussian_likelihood_is_sse_over_twice_the_variance() -> None:
    method = build(lambda: wise_ale(DIM, likelihood="gaussian", decoder_variance=0.3))
    _, y, _ = objective(method)
    expected = (squared_error(X, y.sigmoid()) / 0.6).mean().item()
    assert method.terms(X, noise(3))["reconstruction"].item() == pytest.approx(expected)


def test_posteriors_that_differ_cost_less_together_than_each_alone() -> None:
    """What the method is for: spread means with small variances may fill the prior together."""
    mean, log_variance = normal(500, 1, seed=1), torch.full((500, 1), -3.0, dtype=torch.float64)
    together = MixtureKL("sample")(Draw(mean, mean, log_variance, noise()), None).item()
    alone = vae_bernoulli(1).regularisers[0][1](Draw(mean, mean, log_variance, noise()), StandardNormal(1)).item()
    assert together < 0.25 < 1 < alone


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kl_scale": "image"}, "kl_scale must be 'batch' or 'sample', not 'image'"),
        ({"likelihood": "laplace"}, "likelihood must be 'bernoulli' or 'gaussian', not 'laplace'"),
        ({"likelihood": "gaussian", "decoder_variance": 0.0}, "decoder_variance must be positive, not 0.0"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wise_ale(DIM, **values)


def trace(net: nn.Module, x: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Name and output shape (without the batch) of every layer, in order."""
    seen: list[tuple[str, tuple[int, ...]]] = []
    for module in net.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.Linear, nn.ReLU)):
            module.register_forward_hook(lambda m, args, out: seen.append((type(m).__name__, tuple(out.shape[1:]))))
    net(x)
    return seen


def relu(name: str, *shape: int) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, shape), ("ReLU", shape)]


def flat(*blocks: list[tuple[str, tuple[int, ...]]]) -> list[tuple[str, tuple[int, ...]]]:
    return [layer for block in blocks for layer in block]


@pytest.mark.parametrize("outputs", [1, 2])
def test_sine_network_is_d_1_with_one_filter_at_its_end(outputs: int) -> None:
    encoder, decoder = wise_ale_sine((1, 1, 256), 4, outputs)
    sizes = ((16, 128), (16, 64), (32, 32), (32, 16), (64, 8))
    convs = flat(*(relu("Conv1d", c, length) for c, length in sizes))
    assert trace(encoder, torch.zeros(2, 1, 1, 256)) == [*convs, ("Linear", (64,)), ("Linear", (4 * outputs,))]
    ups = flat(*(relu("ConvTranspose1d", c, length) for c, length in ((64, 4), (32, 16), (16, 64))))
    expected = [*relu("Linear", 16), *relu("Conv1d", 128, 1), *ups, ("ConvTranspose1d", (1, 256))]
    assert trace(decoder, torch.zeros(2, 4)) == expected
    assert decoder(torch.zeros(2, 4)).shape == (2, 1, 1, 256)
    kernels = [m.kernel_size[0] for net in (encoder, decoder) for m in net.modules() if isinstance(m, (nn.Conv1d, nn.ConvTranspose1d))]
    assert kernels == [16, 16, 16, 16, 8, 1, 8, 16, 16, 16]
    paddings = [m.padding[0] for net in (encoder, decoder) for m in net.modules() if isinstance(m, (nn.Conv1d, nn.ConvTranspose1d))]
    assert paddings == [7, 7, 7, 7, 3, 0, 2, 6, 6, 6]  # SPEC 3, padding


def test_a_wave_can_be_negative() -> None:
    torch.manual_seed(0)
    _, decoder = wise_ale_sine((1, 1, 256), 4, 2)
    wave = torch.sin(torch.linspace(0, 12, 256)).expand(1, 1, 1, 256)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=3e-3)
    z = torch.ones(1, 4)
    for _ in range(300):
        optimizer.zero_grad()
        squared_error(wave, decoder(z)).sum().backward()
        optimizer.step()
    assert squared_error(wave, decoder(z)).item() < 0.1 * wave.square().sum()


def test_mnist_network_is_d_2_and_its_mirror() -> None:
    encoder, decoder = wise_ale_mnist((1, 28, 28), 2, 2)
    assert trace(encoder, torch.zeros(2, 1, 28, 28)) == [*relu("Linear", 128), *relu("Linear", 16), ("Linear", (4,))]
    assert trace(decoder, torch.zeros(2, 2)) == [*relu("Linear", 16), *relu("Linear", 128), ("Linear", (784,))]
    assert decoder(torch.zeros(2, 2)).shape == (2, 1, 28, 28)


def test_celeba_network_is_d_3_without_batch_norm_in_its_encoder() -> None:
    with torch.device("meta"):
        encoder, decoder = wise_ale_celeba((3, 64, 64), 64, 2)
    convs = flat(*(relu("Conv2d", c, s, s) for c, s in ((128, 32), (256, 16), (512, 8), (1024, 4))))
    assert trace(encoder, torch.empty(2, 3, 64, 64, device="meta")) == [*convs, ("Linear", (128,))]
    ups = [((c, s, s), name) for c, s in ((512, 16), (256, 32), (128, 64)) for name in ("ConvTranspose2d", "BatchNorm2d", "ReLU")]
    found = trace(decoder, torch.empty(2, 64, device="meta"))
    assert found[:2] == relu("Linear", 65536)
    assert [name for name, _ in found[2:-1]] == [name for _, name in ups]
    assert found[4] == ("ReLU", (512, 16, 16))
    assert found[-1] == ("ConvTranspose2d", (3, 64, 64))
    assert sum(p.numel() for p in encoder.parameters()) == sum(
        a * b * 25 + b for a, b in ((3, 128), (128, 256), (256, 512), (512, 1024))
    ) + (16384 * 128 + 128)


def test_shapes3d_network_is_table_4_with_the_layer_it_lacks() -> None:
    encoder, decoder = vcae_shapes3d((3, 64, 64), 6, 2)
    convs = flat(*(relu("Conv2d", c, s, s) for c, s in ((32, 32), (32, 16), (64, 8), (64, 4))))
    assert trace(encoder, torch.zeros(2, 3, 64, 64)) == [*convs, *relu("Linear", 256), ("Linear", (12,))]
    ups = flat(*(relu("ConvTranspose2d", c, s, s) for c, s in ((64, 8), (32, 16), (32, 32))))
    assert trace(decoder, torch.zeros(2, 6)) == [*relu("Linear", 256), *relu("Linear", 1024), *ups, ("ConvTranspose2d", (3, 64, 64))]
    assert decoder(torch.zeros(2, 6)).shape == (2, 3, 64, 64)


@pytest.mark.parametrize(
    ("network", "wanted"),
    [(wise_ale_sine, "1×1×256"), (wise_ale_mnist, "1×28×28"), (wise_ale_celeba, "3×64×64"), (vcae_shapes3d, "3×64×64")],
)
def test_images_of_another_shape_are_refused(network: Network, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"takes {wanted} images .C×H×W., not 1×4×4"):
        network(SHAPE, 2, 1)


def one_step(network: Network, shape: tuple[int, int, int], dim: int) -> None:
    method = build(lambda: wise_ale(dim), network=network, shape=shape, dim=dim)
    batches = Batches(torch.randint(0, 256, (4, *shape), generator=noise(1), dtype=torch.uint8), 255, 4, seed=0)
    training = Training(method, Plan(Budget(steps=2), Optimizer(), 1, 2), noise())
    before = {name: value.clone() for name, value in method.named_parameters()}
    assert torch.stack([training.take_step(batches) for _ in range(2)]).isfinite().all()
    assert not [name for name, value in method.named_parameters() if torch.equal(value, before[name])]


@pytest.mark.parametrize(
    ("network", "shape", "dim"), [(wise_ale_sine, (1, 1, 256), 4), (wise_ale_mnist, (1, 28, 28), 2), (vcae_shapes3d, (3, 64, 64), 6)]
)
def test_the_papers_networks_take_a_training_step(network: Network, shape: tuple[int, int, int], dim: int) -> None:
    one_step(network, shape, dim)


@pytest.mark.slow
def test_the_celeba_network_takes_a_training_step() -> None:
    one_step(wise_ale_celeba, (3, 64, 64), 64)
