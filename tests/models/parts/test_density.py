"""Densities of codes: they integrate to one, their flows invert, their determinants are autograd's, they recover what is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_methods import DIM, build, images, noise, normal
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal
from zuko.lazy import LazyComposedTransform

from models.networks.stacked import stacked_mlp
from models.parts.density import DENSITIES, Density, Flow, Mixture, SecondStage, gaussian, maf, mixture, realnvp
from models.stacked import stacked_wae
from models.vae import ae, vae_bernoulli

Make = Callable[..., Density]
FLOWS: list[Make] = [maf, realnvp]
MEAN, COVARIANCE = torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.9], [0.9, 2.0]])


def built(make: Make, dim: int, **options: object) -> Density:
    """With weights from a fixed seed, in float64, fitted to codes of different spreads, and a flow's weights moved off their start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = make(dim, **({"hidden": (32, 32)} if make is realnvp else {}), **options).double()  # small: in float64 it is slow
    codes = normal(400, dim, seed=1) * torch.linspace(0.5, 1.5, dim) + torch.linspace(-1, 2, dim)
    density.fit(codes.double(), noise())
    with torch.no_grad():
        for parameter in density.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise(2), dtype=torch.float64)
    return density


@pytest.mark.parametrize("make", DENSITIES)
def test_a_density_integrates_to_one_in_two_dimensions(make: Make) -> None:
    density = built(make, 2)
    axis = torch.linspace(-30, 30, 601, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = sum(density.log_prob(part).exp().sum().item() for part in points.split(20_000)) * 0.1**2
    assert mass == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("make", FLOWS)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_inverse_after_forward_is_the_identity_and_the_other_way_round(make: Make, dim: int) -> None:
    flow = built(make, dim)
    assert isinstance(flow, Flow)
    w = normal(50, dim, seed=3)
    z = flow(w)
    assert torch.allclose(flow.inverse(z)[0], w, atol=1e-8)
    assert torch.allclose(flow(flow.inverse(w)[0]), w, atol=1e-8)
    assert (z - w).abs().mean() > 0.1  # it does something


@pytest.mark.parametrize("make", FLOWS)
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_determinant_is_autograds(make: Make, dim: int) -> None:
    flow = built(make, dim)
    assert isinstance(flow, Flow)
    for z in 2 * normal(4, dim, seed=4):
        jacobian = torch.autograd.functional.jacobian(lambda point: flow.inverse(point[None])[0][0], z)
        w, log_det = flow.inverse(z[None])
        assert log_det.item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-6)
        known = Normal(0.0, 1.0).log_prob(w).sum().item() + log_det.item()
        assert flow.log_prob(z[None]).item() == pytest.approx(known, abs=1e-9)


@pytest.mark.parametrize("make", FLOWS)
def test_a_flow_of_zeros_is_a_normal_at_its_shift_and_scale(make: Make) -> None:
    flow = built(make, 3)
    assert isinstance(flow, Flow)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.zero_()
        flow.shift += torch.tensor([1.0, 2.0, 3.0])
        flow.log_scale += torch.tensor([0.5, 2.0, 4.0]).log()
    z = 3 * normal(20, 3, seed=1)
    assert torch.allclose(flow.log_prob(z), Normal(flow.shift, flow.log_scale.exp()).log_prob(z).sum(1))


@pytest.mark.parametrize("make", FLOWS)
def test_a_flow_starts_on_standardised_codes(make: Make) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = make(2)
    assert isinstance(flow, Flow)
    flow.fit(torch.tensor([[1.0, 10.0], [3.0, 10.0]]), noise())
    assert flow.shift.tolist() == [2, 10]
    assert flow.log_scale.exp().tolist() == pytest.approx([1, 1e-6])  # a code that never changes


@pytest.mark.parametrize("make", FLOWS)
def test_highest_likelihood_recovers_the_entropy_of_a_known_gaussian(make: Make) -> None:
    truth = MultivariateNormal(MEAN, COVARIANCE)

    def draws(n: int, seed: int) -> Tensor:
        return MEAN + torch.randn(n, 2, generator=noise(seed)) @ torch.linalg.cholesky(COVARIANCE).T

    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = make(2, transforms=3, hidden=(16, 16))
    flow.fit(draws(2000, 1), noise())
    adam = torch.optim.Adam(flow.parameters(), lr=5e-3)
    test = draws(20_000, 2)
    before = -flow.log_prob(test).mean().item()
    for step in range(300):
        adam.zero_grad()
        (-flow.log_prob(draws(500, 10 + step)).mean()).backward()
        adam.step()
    with torch.no_grad():
        nll, entropy = -flow.log_prob(test).mean().item(), truth.entropy().item()
        gap = (truth.log_prob(test) - flow.log_prob(test)).mean().item()  # KL(truth || flow), by the same draws
    assert before > entropy + 0.05
    assert nll == pytest.approx(entropy, abs=0.05)
    assert -0.005 < gap < 0.02


def test_one_gaussian_is_mean_and_covariance_by_n() -> None:
    codes = (normal(30, 3, seed=1) @ normal(3, 3, seed=2)).double()
    density = gaussian(3, floor=0.01).double()
    density.fit(codes, noise())
    m = codes.numpy().mean(0)
    C = sum(np.outer(z - m, z - m) for z in codes.numpy()) / 30 + 0.01 * np.eye(3)
    z = 2 * normal(7, 3, seed=3)
    by_hand = [-0.5 * ((p - m) @ np.linalg.inv(C) @ (p - m) + 3 * math.log(2 * math.pi) + np.log(np.linalg.det(C))) for p in z.numpy()]
    assert density.log_prob(z).tolist() == pytest.approx(by_hand)
    assert list(density.parameters()) == []


def test_one_gaussian_has_the_likelihood_of_the_truth() -> None:
    truth = MultivariateNormal(MEAN, COVARIANCE)
    root = torch.linalg.cholesky(COVARIANCE)
    codes, test = (MEAN + torch.randn(20_000, 2, generator=noise(seed)) @ root.T for seed in (1, 2))
    density = gaussian(2)
    density.fit(codes, noise())
    assert -density.log_prob(test).mean().item() == pytest.approx(-truth.log_prob(test).mean().item(), abs=1e-3)


def two_humps(n: int, seed: int) -> Tensor:
    """A quarter around (-4, 0), the rest around (4, 1) with another shape."""
    left, right = torch.randn(n // 4, 2, generator=noise(seed)), torch.randn(n - n // 4, 2, generator=noise(seed + 1))
    return torch.cat([left - torch.tensor([4.0, 0.0]), right @ torch.tensor([[0.5, 0.4], [0.0, 0.3]]) + torch.tensor([4.0, 1.0])])


def test_a_mixture_finds_its_components_and_has_their_density() -> None:
    density = mixture(2, components=2).double()
    assert isinstance(density, Mixture)
    density.fit(two_humps(8000, 1), noise())
    left, right = density.means[:, 0].argsort().tolist()
    assert density.log_weights.exp()[[left, right]].tolist() == pytest.approx([0.25, 0.75], abs=1e-3)
    assert density.means[left].tolist() == pytest.approx([-4, 0], abs=0.1)
    assert density.means[right].tolist() == pytest.approx([4, 1], abs=0.05)
    covariance = density.roots[right] @ density.roots[right].T
    assert covariance.flatten().tolist() == pytest.approx([0.25, 0.2, 0.2, 0.25], abs=0.02)
    library = MixtureSameFamily(Categorical(logits=density.log_weights), MultivariateNormal(density.means, scale_tril=density.roots))
    z = 3 * normal(40, 2, seed=5)
    assert torch.allclose(density.log_prob(z), library.log_prob(z))


def test_draws_of_a_mixture_have_its_moments() -> None:
    density = mixture(2, components=2)
    codes = two_humps(20_000, 1)
    density.fit(codes, noise())
    draws = density.sample(20_000, noise(3))
    assert (draws[:, 0] < 0).float().mean().item() == pytest.approx(0.25, abs=0.015)
    for side in (draws[:, 0] < 0, draws[:, 0] > 0):
        of = codes[(codes[:, 0] < 0) == bool(side[draws[:, 0] < 0].all())]
        assert draws[side].mean(0).tolist() == pytest.approx(of.mean(0).tolist(), abs=0.06)
        assert torch.cov(draws[side].T).flatten().tolist() == pytest.approx(torch.cov(of.T).flatten().tolist(), abs=0.07)


@pytest.mark.parametrize("make", FLOWS)
def test_draws_of_a_flow_are_its_image_of_the_generators_normals(make: Make) -> None:
    flow = built(make, 3)
    assert isinstance(flow, Flow)
    draws = flow.sample(50, noise(7))
    w = torch.randn(50, 3, generator=noise(7), dtype=torch.float64)
    assert torch.allclose(flow.inverse(draws)[0], w, atol=1e-8)
    assert not draws.requires_grad


@pytest.mark.parametrize("make", DENSITIES)
def test_nothing_is_drawn_from_torchs_or_numpys_own_streams(make: Make) -> None:
    density, codes = built(make, 2).float(), two_humps(400, 1)
    torchs, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = []
    for seed in (1, 1, 2):
        stream = noise(seed)
        density.fit(codes, stream)
        found.append(density.sample(9, stream))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), torchs)
    assert np.array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002


@pytest.mark.parametrize("make", DENSITIES)
def test_a_state_holds_all_that_was_fitted(make: Make) -> None:
    one = built(make, 2)
    other = make(2, **({"hidden": (32, 32)} if make is realnvp else {})).double()
    z = normal(5, 2, seed=1)
    assert not torch.equal(one.log_prob(z), other.log_prob(z))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.log_prob(z), other.log_prob(z))
    assert torch.equal(one.sample(5, noise(1)), other.sample(5, noise(1)))


@pytest.mark.parametrize("make", FLOWS)
def test_every_parameter_of_a_flow_gets_a_gradient(make: Make) -> None:
    flow = built(make, 4)
    (-flow.log_prob(normal(50, 4, seed=1)).mean()).backward()
    assert [name for name, p in flow.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()] == []


def hidden_sizes(transform: nn.Module) -> list[int]:
    return [layer.out_features for layer in transform.hyper if isinstance(layer, nn.Linear) or hasattr(layer, "out_features")][:-1]


def test_the_papers_stacks() -> None:
    flow = maf(16)
    assert isinstance(flow, Flow)
    assert isinstance(flow.transform, LazyComposedTransform)
    assert [hidden_sizes(t) for t in flow.transform.transforms] == [[64, 64]] * 6
    up = list(range(16))
    assert [t.order.tolist() for t in flow.transform.transforms] == [up, up[::-1]] * 3
    flow = realnvp(64)
    assert isinstance(flow, Flow)
    assert isinstance(flow.transform, LazyComposedTransform)
    masks = torch.stack([t.mask for t in flow.transform.transforms])
    assert [hidden_sizes(t) for t in flow.transform.transforms] == [[256, 256, 256]] * 8
    assert masks.sum(1).tolist() == [32] * 8
    assert masks.sum(0).tolist() == [4] * 64  # each coordinate moves in half of the couplings
    assert len({tuple(mask.tolist()) for mask in masks}) == 8


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (maf, {"transforms": 0}, "transforms must be at least 1, not 0"),
        (realnvp, {"hidden": ()}, r"hidden must be the widths of hidden layers, at least 1 each, not \[\]"),
        (maf, {"hidden": (64, 0)}, r"not \[64, 0\]"),
        (mixture, {"components": 0}, "components must be at least 1, not 0"),
        (gaussian, {"floor": 0.0}, "floor must be positive, not 0"),
        (mixture, {"floor": math.nan}, "floor must be positive, not nan"),
    ],
)
def test_what_cannot_be_is_refused(make: Make, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(3, **options)


def test_densities_say_what_they_are() -> None:
    assert [str(make(2)) for make in DENSITIES] == [
        "Gaussian, full covariance",
        "mixture of 10 Gaussians, full covariance",
        "MAF, 6 × [64, 64]",
        "RealNVP, 8 × [256, 256, 256]",
    ]


class Denoising(Flow):
    """A flow that is trained on codes with noise of its own: its loss is not -log q̂(z)."""

    def loss(self, z: Tensor, noise: torch.Generator) -> Tensor:
        epsilon = torch.randn(z.shape, generator=noise, dtype=z.dtype)
        return 3.0 - self.log_prob(z + 0.1 * epsilon)


def test_a_density_is_trained_by_its_loss_which_is_its_likelihood_unless_it_says_otherwise() -> None:
    method, x = build(lambda: ae(DIM)), images(6)
    flow = maf(DIM, transforms=1, hidden=(4,))
    assert isinstance(flow, Flow)
    own = Denoising(DIM, flow.transform, "denoising")
    z = method.draw(x, noise()).z.detach()
    (player,) = SecondStage(method, flow).players()
    assert player.terms(x, noise(3))["loss"].item() == pytest.approx(-flow.log_prob(z).mean().item())
    (player,) = SecondStage(method, own).players()
    noisy = z + 0.1 * torch.randn(z.shape, generator=noise(3))
    assert player.terms(x, noise(3))["loss"].item() == pytest.approx(3 - flow.log_prob(noisy).mean().item())


@pytest.mark.parametrize("make", FLOWS)
def test_a_density_is_trained_in_float32_though_the_encoder_runs_in_bfloat16(make: Make) -> None:
    """Its loss is that of the same codes in float32, to the bit."""
    method, density, x = build(lambda: vae_bernoulli(DIM)), make(DIM, hidden=(8,)), images(6)
    (player,) = SecondStage(method, density).players()
    with torch.autocast("cpu", torch.bfloat16):
        loss = player.terms(x, noise(3))["loss"]
        codes = method.draw(x, noise(3)).z.detach()
    assert codes.dtype == loss.dtype == torch.float32
    assert loss.item() == density.loss(codes, noise()).mean().item()


def test_a_draw_has_the_decoder_for_regularisers_that_ask_it() -> None:
    """As the gradient penalty of a regularised autoencoder does."""
    method, x = build(lambda: ae(DIM)), images(6)
    draw = method.draw(x, noise())
    assert draw.decoder is not None
    assert torch.equal(draw.decoder(draw.z), method.decoder(draw.z))
    stacked = build(lambda: stacked_wae(DIM), network=stacked_mlp).draw(x, noise())
    assert stacked.decoder is not None
    assert stacked.decoder(stacked.z).shape == x.shape
