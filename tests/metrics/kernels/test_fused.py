"""The fused kernels against the formulas in float64: values and gradients, sizes no multiple of a tile, points near, far and equal."""

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_methods import normal, rows
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from triton_kernels import error

from metrics.divergences import Kernel, imq, imq7, mmd, mmd_broadcast, rbf
from metrics.kernels import backends, log_mixture, native, overlaps, tiles
from metrics.kernels.backends import BACKENDS, VARIABLE, backend_of, using
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.kernels.tiles import every, spans, trusted, upper
from metrics.latent import total_variance
from metrics.mixture_bound import kl_bound_broadcast, mixture_kl_bound
from metrics.mixture_density import log_mixture_broadcast, log_mixture_density

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
CONTRACT = 1e-5
Loss = Callable[..., Tensor]


@pytest.fixture(autouse=True, params=["tiled", "compiled"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """However small the input; what takes no fixture's word runs twice, which costs little."""
    if request.param == "compiled" and native.compiler() is None:
        pytest.skip("no C compiler")
    with using(request.param):
        yield request.param


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of a few pairs, so that small inputs have many, whole and broken."""
    monkeypatch.setattr(tiles, "ROWS", 3)
    monkeypatch.setattr(tiles, "COLUMNS", 4)
    monkeypatch.setattr(overlaps, "ROWS", 3)
    monkeypatch.setattr(overlaps, "COLUMNS", 4)
    monkeypatch.setattr(log_mixture, "SAMPLES", 3)
    monkeypatch.setattr(log_mixture, "COMPONENTS", 4)


def with_gradients(loss: Loss, *inputs: Tensor, seed: int = 9) -> list[Tensor]:
    """The value and the gradients of a random weighting of it."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = loss(*leaves)
    upstream = normal(*value.shape, seed=seed).to(value) if value.ndim else value.new_tensor(-1.7)
    return [value.detach(), *torch.autograd.grad(value, leaves, upstream)]


def agree(fast: Loss, exact: Loss, *inputs: Tensor, within: float = CONTRACT, lost: float = 0.0) -> None:
    """In float32 against the exact form in float64, each relative to its largest number; `lost` is what a value near 0 may."""
    found = with_gradients(fast, *(x.float() for x in inputs))
    expected = with_gradients(exact, *(x.float().double() for x in inputs))
    for what, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.dtype == torch.float32
        near = error(a, b) < within or (not what and (a - b).abs().max() < lost)
        assert near, f"{'value' if not what else f'gradient {what}'}: {a} is not {b}"


KERNELS = [imq, imq7, rbf]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (2, 5, 3), (7, 6, 2), (12, 9, 17), (13, 25, 5)])
@pytest.mark.usefixtures("small_tiles")
def test_mmd_in_tiles_is_the_formula(kernel: Kernel, n: int, m: int, d: int) -> None:
    p, q = normal(n, d, seed=1), 1.3 * normal(m, d, seed=2) + 0.4
    for C in (2.0 * d, 0.3):
        agree(lambda a, b, C=C: mmd(a, b, C, kernel), lambda a, b, C=C: mmd_broadcast(a, b, C, kernel), p, q, lost=3e-8)


@pytest.mark.parametrize("kernel", KERNELS)
def test_mmd_is_the_formula_at_the_tiles_own_size(kernel: Kernel) -> None:
    p, q = normal(261, 3, seed=1), 1.3 * normal(530, 3, seed=2) + 0.4
    agree(lambda a, b: mmd(a, b, 6.0, kernel), lambda a, b: mmd_broadcast(a, b, 6.0, kernel), p, q)


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_the_gradients_that_are_wanted_are_formed(kernel: Kernel) -> None:
    p, q = normal(6, 2, seed=1), normal(5, 2, seed=2)
    both = with_gradients(lambda a, b: mmd(a, b, 4.0, kernel), p, q)
    of_p, of_q = with_gradients(lambda a: mmd(a, q, 4.0, kernel), p), with_gradients(lambda b: mmd(p, b, 4.0, kernel), q)
    assert torch.equal(of_p[1], both[1])
    assert torch.equal(of_q[1], both[2])
    assert not mmd(p, q, 4.0, kernel).requires_grad
    with torch.no_grad():
        assert torch.equal(mmd(p, q.requires_grad_(), 4.0, kernel), both[0])


points = st.floats(-4, 4, width=32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(KERNELS), st.integers(2, 5), st.integers(2, 5), st.integers(1, 3))
def test_mmd_of_any_points(data: st.DataObject, kernel: Kernel, n: int, m: int, d: int) -> None:
    """Each relative to the terms that the value is a difference of, and to the steepest slope."""
    draw = lambda count: torch.tensor(data.draw(st.lists(points, min_size=count * d, max_size=count * d))).view(count, d)
    p, q, C = draw(n), draw(m), data.draw(st.floats(0.2, 20))
    found = with_gradients(lambda a, b: mmd(a, b, C, kernel), p, q)
    expected = with_gradients(lambda a, b: mmd_broadcast(a, b, C, kernel), p.double(), q.double())
    size = 7.0 if kernel is imq7 else 1.0
    assert abs(found[0].item() - expected[0].item()) < CONTRACT * size
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert (a - b).abs().max() < CONTRACT * size / math.sqrt(0.1 * C)


FAR = {
    "an outlier": lambda x: torch.cat([x[:1] * 0 + 1e8, x[1:]]),
    "all far from the origin": lambda x: 1e-2 * x + 300,
    "all the same": lambda x: x * 0 + 5,
    "pairs of equal points": lambda x: x[torch.arange(len(x)) // 2],
    "collapsed beside the prior": lambda x: 1e-4 * x + 3,
    "far apart and narrow": lambda x: 1e-3 * x + 100,
    "wide": lambda x: 1e4 * x,
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("where", FAR)
@pytest.mark.usefixtures("small_tiles")
def test_mmd_of_points_that_a_product_in_float32_would_lose(kernel: Kernel, where: str) -> None:
    p, q = normal(8, 3, seed=1).float(), FAR[where](normal(9, 3, seed=2)).float()
    agree(lambda a, b: mmd(a, b, 6.0, kernel), lambda a, b: mmd_broadcast(a, b, 6.0, kernel), p, q, lost=2e-8)


def test_a_product_is_trusted_by_what_it_loses() -> None:
    """Of D = |x|²/C by the product in that type, against the promise, at the largest |x|² that is still trusted."""
    for dtype, precision in ((torch.float32, torch.float32), (torch.float64, torch.float32), (torch.float64, torch.float64)):
        radius2 = max(2.0**e for e in range(-60, 60) if trusted(2.0**e, 1.0, dtype, precision))
        x = normal(500, 2, seed=3)
        x = (x / x.norm(dim=1, keepdim=True) * math.sqrt(radius2)).to(dtype)
        y = x + 1e-3 * math.sqrt(radius2) * normal(500, 2, seed=4).to(dtype)
        squares = x.square().sum(1) + y.square().sum(1) - 2 * (x * y).sum(1)
        exact = (x - y).double().square().sum(1)
        assert (squares.double() - exact).abs().max() < 1.5 * tiles.LOST[precision]
    assert not trusted(math.nan, 1.0, torch.float64, torch.float32)
    assert not trusted(math.inf, 1.0, torch.float64, torch.float32)


def test_no_product_is_taken_in_float32_where_the_machine_may_take_less() -> None:
    assert trusted(1.0, 1.0, torch.float32, torch.float32)
    torch.set_float32_matmul_precision("medium")
    try:
        assert not trusted(1.0, 1.0, torch.float32, torch.float32)
        assert trusted(1.0, 1.0, torch.float64, torch.float32)
    finally:
        torch.set_float32_matmul_precision("highest")


def test_mmd_of_what_is_no_number_is_no_number() -> None:
    q = normal(5, 2, seed=1)
    q[2, 1] = math.nan
    assert mmd(normal(5, 2), q, 4.0).isnan()
    assert mmd(normal(1, 2), normal(5, 2), 4.0).isnan(), "of one point there is no other"


def test_half_precision_is_summed_in_float32() -> None:
    p, q = normal(50, 3, seed=1), 2 * normal(50, 3, seed=2)
    value, _, gradient = with_gradients(lambda a, b: mmd(a, b, 6.0), p.bfloat16(), q.bfloat16())
    exact = with_gradients(lambda a, b: mmd_broadcast(a, b, 6.0, imq), p.bfloat16().double(), q.bfloat16().double())
    assert value.dtype == torch.float32
    assert error(value, exact[0]) < CONTRACT
    assert gradient.dtype == torch.bfloat16
    assert error(gradient, exact[2]) < 1e-2


DIFFERENTIATED: list[tuple[Loss, int]] = [
    (lambda x: mmd(normal(4, 2), x, 4.0), 4),
    (lambda x: mixture_kl_bound(x, x), 4),
    (lambda x: log_mixture_density(x, x, x).sum(), 4),
    (lambda x: squared_sliced_wasserstein(normal(4, 2), x, torch.eye(2, dtype=x.dtype)), 4),
    (total_variance, 4),
]


@pytest.mark.parametrize(("loss", "n"), DIFFERENTIATED)
def test_a_second_derivative_is_refused(loss: Loss, n: int) -> None:
    x = normal(n, 2, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(x).square(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(("m", "d", "low", "spread"), [(2, 1, 0, 1), (7, 3, -2, 1), (11, 16, -3, 2), (10, 9, -20, 5), (9, 2, 0, 18)])
@pytest.mark.usefixtures("small_tiles")
def test_the_bound_in_tiles_is_the_formula(m: int, d: int, low: float, spread: float) -> None:
    mean, log_variance = normal(m, d, seed=1) * math.exp(low / 2), spread * normal(m, d, seed=2) + low
    agree(mixture_kl_bound, kl_bound_broadcast, mean, log_variance)


@pytest.mark.usefixtures("small_tiles")
def test_the_bound_computes_twice_what_it_may_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "KEPT", 10)
    agree(mixture_kl_bound, kl_bound_broadcast, normal(13, 5, seed=1), normal(13, 5, seed=2) - 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 6), st.integers(1, 9), st.sampled_from([1.0, 10.0, 60.0]))
def test_the_bound_of_any_posteriors(data: st.DataObject, m: int, d: int, low: float) -> None:
    draw = lambda values: torch.tensor(data.draw(st.lists(values, min_size=m * d, max_size=m * d))).view(m, d)
    mean, log_variance = draw(points), draw(st.floats(-low, 3, width=32))
    found = with_gradients(mixture_kl_bound, mean, log_variance)
    expected = with_gradients(kl_bound_broadcast, mean.double(), log_variance.double())
    assert found[0].item() == pytest.approx(expected[0].item(), rel=CONTRACT, abs=1e-4)
    for a, b in zip(found[1:], expected[1:], strict=True):
        # a probability's relative error is the absolute one of its logarithm, and the steepest slope is 1/σ
        assert error(a, b) < 10 * CONTRACT or (a - b).abs().max() < CONTRACT


def test_variances_too_far_apart_for_float32_are_taken_in_float64_and_beyond_that_as_the_formula() -> None:
    mean = normal(4, 2, seed=1).float()
    for spread, dtype in ((10.0, torch.float32), (90.0, torch.float64), (700.0, None)):
        log_variance = torch.linspace(-spread, 0, 8).view(4, 2)
        of = overlaps.units(mean, log_variance)
        assert (of.mean.dtype if of else None) == dtype
        agree(mixture_kl_bound, kl_bound_broadcast, mean.double() * 1e-3, log_variance.double())


def test_units_are_powers_of_two_so_that_differences_stay_exact() -> None:
    of = overlaps.units(normal(5, 3, seed=1), normal(5, 3, seed=2) - 4)
    assert torch.equal(of.scale.log2(), of.scale.log2().round())
    assert of.variance.amax() <= 0.5
    assert of.variance.flatten(0, 1)[:3].amax(1).min() > 0.125 / 2


SIGMAS = (1.0, 0.1, 0.01, 1e-4, 1e-8)


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.usefixtures("small_tiles")
def test_a_mixtures_density_is_the_formula_however_narrow_it_is(sigma: float) -> None:
    """The contract is in nats; a gradient's relative error is theirs."""
    mean, log_variance = normal(11, 3, seed=1), 2 * math.log(sigma) + 0.5 * normal(11, 3, seed=2)
    z = mean[torch.arange(8) % 11] + sigma * normal(8, 3, seed=3)
    agree(
        log_mixture_density,
        log_mixture_broadcast,
        z,
        mean,
        log_variance,
        normal(11, seed=4).log_softmax(0),
        within=4e-5 if sigma < 1e-3 else CONTRACT,
    )


@pytest.mark.parametrize(("n", "form"), [(20, "broadcast"), (500, "tiled")])
def test_where_the_backend_has_no_kernel_for_a_density_its_size_chooses_the_form(n: int, form: str, backend: str) -> None:
    inputs = normal(n, 8, seed=1).float(), normal(50, 8).float(), normal(50, 8).float()
    assert torch.equal(log_mixture_density(*inputs), log_mixture_density(*inputs, backend=form if backend == "compiled" else "tiled"))
    assert not torch.equal(log_mixture_density(*inputs, backend="tiled"), log_mixture_density(*inputs, backend="broadcast"))


@pytest.mark.parametrize("sigma", [0.3, 0.01])
def test_at_the_size_of_a_tile_a_density_is_within_a_ten_thousandth_of_a_nat(sigma: float) -> None:
    mean, log_variance = normal(1100, 64, seed=1).float(), (2 * math.log(sigma) + 0.5 * normal(1100, 64, seed=2)).float()
    z = (mean[:300] + sigma * normal(300, 64, seed=3)).float()
    exact = log_mixture_broadcast(z.double(), mean.double(), log_variance.double(), None)
    assert (log_mixture_density(z, mean, log_variance).double() - exact).abs().max() < 1e-4


def test_a_density_is_that_of_torch_distributions() -> None:
    z, mean, log_variance, logits = normal(9, 4, seed=1), normal(6, 4, seed=2), normal(6, 4, seed=3), normal(6, seed=4)
    parts = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    expected = MixtureSameFamily(Categorical(logits=logits), parts).log_prob(z)
    assert log_mixture_density(z, mean, log_variance, logits.log_softmax(0)).tolist() == pytest.approx(expected.tolist())
    equal = MixtureSameFamily(Categorical(torch.ones(6)), parts).log_prob(z)
    assert log_mixture_density(z, mean, log_variance).tolist() == pytest.approx(equal.tolist())


def test_a_density_by_loops() -> None:
    z, mean, log_variance = normal(3, 2, seed=1), normal(4, 2, seed=2), normal(4, 2, seed=3)
    sums = [
        sum(
            math.prod(
                math.exp(-((x - m) ** 2) / (2 * math.exp(v))) / math.sqrt(2 * math.pi * math.exp(v)) for x, m, v in zip(*one, strict=True)
            )
            for one in ((of_z, a, b) for a, b in zip(rows(mean), rows(log_variance), strict=True))
        )
        for of_z in rows(z)
    ]
    assert log_mixture_density(z, mean, log_variance).tolist() == pytest.approx([math.log(s / 4) for s in sums])


@pytest.mark.usefixtures("small_tiles")
def test_a_component_without_weight_is_not_there() -> None:
    z, mean, log_variance = normal(7, 2, seed=1), normal(9, 2, seed=2), normal(9, 2, seed=3)
    weights = torch.full((9,), -math.inf, dtype=torch.float64)
    weights[5:7] = math.log(0.5)  # the first tile has none
    assert log_mixture_density(z, mean, log_variance, weights).tolist() == pytest.approx(
        log_mixture_density(z, mean[5:7], log_variance[5:7]).tolist()
    )


def test_far_from_every_component_a_density_is_still_a_number() -> None:
    z = torch.full((2, 3), 1e6)
    exact = log_mixture_broadcast(z.double(), torch.zeros(4, 3).double(), torch.zeros(4, 3).double(), None)
    assert log_mixture_density(z, torch.zeros(4, 3), torch.zeros(4, 3)).tolist() == pytest.approx(exact.tolist())


@pytest.mark.parametrize("narrow", [False, True])
def test_a_densitys_gradients_are_those_of_differences(narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if narrow:
        monkeypatch.setattr(log_mixture, "LOST_NATS", {torch.float32: 0.0, torch.float64: 0.0})
    inputs = [normal(*size, seed=k).requires_grad_() for k, size in enumerate([(3, 2), (4, 2), (4, 2), (4,)])]
    assert torch.autograd.gradcheck(log_mixture_density, inputs)


def sliced_by_loops(p: Tensor, q: Tensor, directions: Tensor) -> float:
    total = 0.0
    for direction in rows(directions):
        one, other = (sorted(sum(a * b for a, b in zip(x, direction, strict=True)) for x in rows(points)) for points in (p, q))
        total += sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / len(p)
    return total / len(directions)


def test_the_sliced_distance_is_the_loops_and_its_gradients_those_of_differences() -> None:
    p, q, directions = normal(6, 3, seed=1), 2 * normal(6, 3, seed=2), unit_vectors(4, 3)
    assert squared_sliced_wasserstein(p, q, directions).item() == pytest.approx(sliced_by_loops(p, q, directions), rel=1e-6)
    assert torch.autograd.gradcheck(lambda a, b: squared_sliced_wasserstein(a, b, directions), (p.requires_grad_(), q.requires_grad_()))


def test_of_a_translation_the_sliced_distance_is_a_dth_of_its_square() -> None:
    directions = unit_vectors(40_000, 3)
    assert directions.norm(dim=1).tolist() == pytest.approx([1] * 40_000)
    p = normal(5, 3, seed=1)
    assert squared_sliced_wasserstein(p, p + torch.tensor([3.0, 0, 4]), directions).item() == pytest.approx(25 / 3, rel=0.02)
    assert squared_sliced_wasserstein(p, p[[3, 1, 0, 4, 2]], directions).item() == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="as many points each, not 5 and 4"):
        squared_sliced_wasserstein(p, p[:4], directions)


def test_total_variance_has_the_gradient_of_differences() -> None:
    z = (normal(6, 3, seed=1) + 10).requires_grad_()
    assert total_variance(z).item() == pytest.approx(sum(torch.var(z[:, k], correction=0).item() for k in range(3)))
    assert torch.autograd.gradcheck(total_variance, z)


@pytest.mark.usefixtures("small_tiles")
def test_tiles_cover_every_pair_once() -> None:
    a, b = slice(2, 12), slice(12, 19)
    for found in (every(a, b), upper(a)):
        seen = torch.zeros(20, 20)
        for I, J in found:
            assert I.stop - I.start <= 3 + (I == J)
            seen[I, J] += 1
            if a.start <= J.start < a.stop and I != J:
                seen[J, I] += 1
        inside = torch.zeros(20, 20)
        inside[a, b if seen[2, 13] else a] = 1
        assert torch.equal(seen, inside)
    assert list(spans(slice(1, 1), 4)) == []


def test_a_backend_is_chosen_by_device_and_said_otherwise_by_variable_block_or_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(backends, "chosen", ContextVar("chosen", default=None))
    for built, many, few in ((object(), "compiled", "compiled"), (None, "tiled", "broadcast")):
        monkeypatch.setattr(native, "library", lambda built=built: built)
        assert backend_of(CPU) == backend_of(CPU, numbers=backends.FEW + 1) == many
        assert backend_of(CPU, numbers=backends.FEW) == few
        assert backend_of(CPU, torch.float64) == "tiled"
    assert backend_of(torch.device("meta")) == "broadcast"
    assert backend_of(torch.device("cuda"), torch.float64) == "tiled"
    for installed, expected in ((True, "triton"), (False, "tiled")):
        monkeypatch.setattr(backends, "has_triton", lambda installed=installed: installed)
        assert backend_of(torch.device("cuda")) == expected
    monkeypatch.setenv(VARIABLE, "compiled")
    with pytest.raises(ValueError, match="compiled: no C compiler made the kernels here; use one of broadcast, tiled"):
        backend_of(CPU)
    monkeypatch.setattr(native, "library", lambda: object())
    assert backend_of(CPU) == "compiled"
    assert backend_of(CPU, torch.float64) == "tiled"
    with pytest.raises(ValueError, match="compiled is for a CPU, not cuda"):
        backend_of(torch.device("cuda"))
    with using("broadcast"):
        assert backend_of(CPU) == "broadcast"
        assert backend_of(CPU, wanted="tiled") == "tiled"
    assert backend_of(CPU) == "compiled"


def test_a_backend_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=f"{VARIABLE} must be one of {', '.join(BACKENDS)}, not 'cuda'"):
        backend_of(CPU, wanted="cuda")
    with pytest.raises(ValueError, match="backend must be one of"), using("fast"):
        pass
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    with pytest.raises(ValueError, match="triton needs a CUDA device"):
        backend_of(CPU, wanted="triton")
    monkeypatch.setattr(backends, "has_triton", lambda: False)
    with pytest.raises(ValueError, match="triton is not installed; use one of broadcast, tiled, compiled"):
        backend_of(CPU, wanted="triton")


def test_the_variable_reaches_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the formula itself has a second derivative."""
    monkeypatch.setenv(VARIABLE, "broadcast")
    monkeypatch.setattr(backends, "chosen", ContextVar("chosen", default=None))
    for loss, n in DIFFERENTIATED[:3]:
        x = normal(n, 2, seed=1).requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x).square(), x, create_graph=True)
        assert torch.autograd.grad(gradient.sum(), x)[0].isfinite().all()


@pytest.mark.slow
def test_a_compiler_that_meets_a_kernel_sees_the_formula() -> None:
    p, q = normal(20, 3, seed=1).float(), normal(20, 3, seed=2).float()
    compiled = torch.compile(lambda a, b: mmd(a, b, 6.0) + mixture_kl_bound(a, b), fullgraph=True)
    agree(compiled, lambda a, b: mmd_broadcast(a, b, 6.0, imq) + kl_bound_broadcast(a, b), p, q)
