"""Table 5's flows: densities that integrate to one, autograd's determinants, scale and shift at the w end, permutations of their own."""

from collections.abc import Callable

import pytest
import torch
from small_methods import noise, normal
from torch.distributions import Normal
from zuko.lazy import LazyComposedTransform

from models.parts.table_flows import TableFlow, maf_table5, realnvp_table5

Make = Callable[..., TableFlow]
FLOWS: list[Make] = [maf_table5, realnvp_table5, lambda dim, **values: maf_table5(dim, permutation="random", **values)]
FLOWS_OF = pytest.mark.parametrize("make", FLOWS, ids=["maf", "realnvp", "maf random"])


def built(make: Make, dim: int) -> TableFlow:
    """With weights from a fixed seed, in float64, moved off their start."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = make(dim, hidden=(32, 32)).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=noise(2), dtype=torch.float64)
    return flow


@FLOWS_OF
def test_a_density_integrates_to_one_in_two_dimensions(make: Make) -> None:
    flow = built(make, 2)
    axis = torch.linspace(-15, 15, 301, dtype=torch.float64)
    with torch.no_grad():
        mass = sum(flow.log_prob(part).exp().sum().item() for part in torch.cartesian_prod(axis, axis).split(20_000)) * 0.1**2
    assert mass == pytest.approx(1, abs=1e-3)


@FLOWS_OF
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_inverse_after_forward_is_the_identity_and_the_determinant_autograds(make: Make, dim: int) -> None:
    flow = built(make, dim)
    w = normal(50, dim, seed=3)
    assert torch.allclose(flow.inverse(flow(w))[0], w, atol=1e-8)
    for z in 2 * normal(3, dim, seed=4):
        jacobian = torch.autograd.functional.jacobian(lambda point: flow.inverse(point[None])[0][0], z)
        w, log_det = flow.inverse(z[None])
        assert log_det.item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-6)
        assert flow.log_prob(z[None]).item() == pytest.approx(Normal(0.0, 1.0).log_prob(w).sum().item() + log_det.item(), abs=1e-9)


def test_scale_and_shift_stand_at_the_w_end() -> None:
    """With layers of zeros w = shift + scale ⊙ z, so that z is a normal at -shift / scale with deviation 1 / scale."""
    flow = built(maf_table5, 3)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.zero_()
        flow.shift += torch.tensor([1.0, 2.0, 3.0])
        flow.log_scale += torch.tensor([0.5, 2.0, 4.0]).log()
    z, scale = 3 * normal(20, 3, seed=1), flow.log_scale.exp()
    signs = flow.transform()(z) / z  # reversals of the order leave the sign of nothing, and the place of nothing
    assert torch.allclose(signs, torch.ones_like(signs))
    assert torch.allclose(flow.log_prob(z), Normal(-flow.shift / scale, 1 / scale).log_prob(z).sum(1))


def test_the_flow_for_celeba_has_neither_scale_nor_shift() -> None:
    assert not [name for name, _ in built(realnvp_table5, 4).named_parameters() if name in ("shift", "log_scale")]
    assert {"shift", "log_scale"} <= dict(built(maf_table5, 4).named_parameters()).keys()


def test_every_coupling_has_a_permutation_of_its_own_and_keeps_half() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = realnvp_table5(64, hidden=(8,))
    assert isinstance(flow.transform, LazyComposedTransform)
    masks = [coupling.mask for coupling in flow.transform.transforms]
    assert [int(mask.sum()) for mask in masks] == [32] * 8
    assert len({tuple(mask.tolist()) for mask in masks}) == 8


def test_fitting_starts_nothing_at_the_codes() -> None:
    flow = maf_table5(2)
    before = {name: tensor.clone() for name, tensor in flow.state_dict().items()}
    flow.fit(torch.tensor([[1.0, 10.0], [3.0, 10.0]]), noise())
    assert all(torch.equal(before[name], tensor) for name, tensor in flow.state_dict().items())


@FLOWS_OF
def test_highest_likelihood_finds_a_gaussian(make: Make) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = make(2, transforms=3, hidden=(16, 16))
    truth = torch.distributions.MultivariateNormal(torch.tensor([1.0, -2.0]), torch.tensor([[1.0, 0.9], [0.9, 2.0]]))
    root = torch.linalg.cholesky(truth.covariance_matrix)
    adam = torch.optim.Adam(flow.parameters(), lr=1e-2)
    for step in range(300):
        adam.zero_grad()
        z = truth.mean + torch.randn(500, 2, generator=noise(10 + step)) @ root.T
        (-flow.log_prob(z).mean()).backward()
        adam.step()
    test = truth.mean + torch.randn(20_000, 2, generator=noise(2)) @ root.T
    with torch.no_grad():
        assert (truth.log_prob(test) - flow.log_prob(test)).mean().item() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("values", [{"transforms": 0}, {"hidden": ()}, {"hidden": (8, 0)}])
@pytest.mark.parametrize("make", [maf_table5, realnvp_table5])
def test_sizes_that_no_flow_has_are_refused(make: Make, values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        make(2, **values)
