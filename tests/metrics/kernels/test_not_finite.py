"""What is not finite: every kernel on every backend answers NaN with NaN gradients. What is finite, however far or equal, has its value."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from small_methods import normal
from torch import Tensor
from triton_kernels import gradients_of

from metrics.divergences import imq, imq7, mmd, mmd_broadcast, mmd_chunked, mmd_rbf_median, rbf
from metrics.kernels import native
from metrics.kernels.backends import using
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.mixture_bound import mixture_kl_bound
from metrics.mixture_density import log_mixture_density
from models.sinkhorn import sinkhorn_divergence

Loss = Callable[[Tensor, Tensor], Tensor]
KERNELS = {"imq": imq, "imq7": imq7, "rbf": rbf}
LOSSES: dict[str, Loss] = {  # of two (N, D)
    **{f"mmd {name}": partial(mmd, C=6.0, kernel=kernel) for name, kernel in KERNELS.items()},
    "mmd, custom kernel": partial(mmd, C=6.0, kernel=lambda d2, C: (-d2 / C).exp() + 1),
    "mmd rbf of the median": mmd_rbf_median,
    "bound": mixture_kl_bound,
    "sinkhorn": partial(sinkhorn_divergence, epsilon=0.3, iterations=3),
    "sliced": lambda p, q: squared_sliced_wasserstein(p, q, unit_vectors(5, p.shape[1]).to(p)),
}


@pytest.fixture(params=["broadcast", "tiled", "compiled"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "compiled" and native.compiler() is None:
        pytest.skip("no C compiler")
    return request.param


def found(loss: Loss, *inputs: Tensor, backend: str) -> tuple[Tensor, tuple[Tensor, ...]]:
    with using(backend):
        return gradients_of(loss, *inputs)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("name", LOSSES)
def test_one_number_that_is_not_finite_makes_value_and_gradients_nan(name: str, count: int, which: int, bad: float, backend: str) -> None:
    inputs = [normal(9, 3, seed=1).float(), normal(9, 3, seed=2).float()]
    inputs[which][9 - count :, 1] = bad
    value, gradients = found(LOSSES[name], *inputs, backend=backend)
    assert value.isnan()
    assert all(gradient.isnan().all() for gradient in gradients)
    with using(backend), torch.no_grad():
        assert LOSSES[name](*inputs).isnan()


def test_equal_points_but_for_one_that_is_no_number(backend: str) -> None:
    """The median is 0, so that the kernel is constant."""
    p, q = torch.ones(9, 2), torch.ones(9, 2)
    q[4, 1] = math.nan
    value, gradients = found(mmd_rbf_median, p, q, backend=backend)
    assert value.isnan()
    assert all(gradient.isnan().all() for gradient in gradients)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_a_sample_that_is_not_finite_spoils_its_own_density_and_a_component_all_of_them(bad: float, backend: str) -> None:
    inputs = [normal(6, 3, seed=1).float(), *(normal(5, 3, seed=k).float() for k in (2, 3)), normal(5, seed=4).float().log_softmax(0)]
    broken = [x.clone() for x in inputs]
    broken[0][4, 1] = bad
    value, gradients = found(log_mixture_density, *broken, backend=backend)
    assert value.isnan().tolist() == gradients[0].isnan().any(1).tolist() == [False] * 4 + [True, False]
    assert all(gradient.isnan().all() for gradient in gradients[1:])
    for which in (1, 2):
        broken = [x.clone() for x in inputs]
        broken[which][2, 2] = bad
        value, gradients = found(log_mixture_density, *broken, backend=backend)
        assert value.isnan().all()
        assert all(gradient.isnan().all() for gradient in gradients)


def test_a_weight_may_be_zero_but_not_nan_or_infinite(backend: str) -> None:
    z, mean, log_variance = normal(6, 3, seed=1), normal(5, 3, seed=2), normal(5, 3, seed=3)
    weights = torch.tensor([-math.inf, 0.3, 0.2, 0.25, 0.25]).double()
    weights[1:] = weights[1:].log()
    with using(backend):
        without = log_mixture_density(z, mean[1:], log_variance[1:], weights[1:])
        torch.testing.assert_close(log_mixture_density(z, mean, log_variance, weights), without)
        torch.testing.assert_close(log_mixture_density(z, mean, log_variance, weights + 900), without + 900)  # no sum need be 1
        for bad in (math.nan, math.inf):
            weights[3] = bad
            assert log_mixture_density(z, mean, log_variance, weights).isnan().all()


FAR: dict[str, Callable[[Tensor], Tensor]] = {
    "an outlier": lambda x: torch.cat([x[:1] * 0 + 1e16, x[1:]]),
    "two outliers, opposite": lambda x: torch.cat([x[:1] * 0 + 1e18, x[1:2] * 0 - 1e18, x[2:]]),
    "one set far, and its points equal": lambda x: x * 0 + 1e15,
    "one set far": lambda x: 3e15 + 1e10 * x,
    "all far apart": lambda x: 1e17 * x,
}


@pytest.mark.parametrize("kernel", KERNELS.values())
@pytest.mark.parametrize("where", FAR)
def test_norms_above_1e14_are_ordinary_numbers(kernel: Callable[[Tensor, float], Tensor], where: str, backend: str) -> None:
    p, q = normal(8, 3, seed=1).float(), FAR[where](normal(9, 3, seed=2).float())
    value, gradients = found(partial(mmd, C=6.0, kernel=kernel), p, q, backend=backend)
    exact, slopes = gradients_of(partial(mmd_broadcast, C=6.0, kernel=kernel), p.double(), q.double())
    assert value.item() == pytest.approx(exact.item(), rel=1e-5, abs=2e-6)
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert (gradient - slope).abs().max() <= 1e-5 * slope.abs().max() + 1e-30  # a slope of 1e-45 is 0 in float32


def test_the_distance_of_many_codes_is_nan_or_right_too() -> None:
    p, q = normal(20, 3, seed=1), normal(20, 3, seed=2)
    far = FAR["an outlier"](q)
    assert mmd_chunked(p, far, 6.0) == pytest.approx(mmd_broadcast(p, far, 6.0, imq).item())
    far[3, 1] = math.inf
    assert math.isnan(mmd_chunked(p, far, 6.0))


@pytest.mark.parametrize("place", [0.0, 5.0, 1e16])
def test_equal_points_are_at_no_distance_of_a_kernel_of_their_median(place: float, backend: str) -> None:
    points = torch.full((7, 3), place)
    value, gradients = found(mmd_rbf_median, points, points.clone(), backend=backend)
    assert value == 0
    assert all((gradient == 0).all() for gradient in gradients)


def test_where_most_points_are_equal_the_kernel_of_their_median_is_that_of_equal_points(backend: str) -> None:
    """k(0) = 1, k of anything else 0: 7·6/56 pairs of p and of q, 49 of 64 across."""
    p = torch.zeros(8, 2)
    p[0] = 3.0
    q = torch.zeros(8, 2)
    q[0] = -2.0
    value, gradients = found(mmd_rbf_median, p, q, backend=backend)
    assert value.item() == pytest.approx(2 * 42 / 56 - 2 * 49 / 64)
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_kernel_of_the_median_needs_two_sets_of_one_size() -> None:
    with pytest.raises(ValueError, match="as many prior draws as codes are needed, not 4 and 5"):
        mmd_rbf_median(torch.zeros(4, 3), torch.zeros(5, 3))
