"""MMD, its kernels and the Gaussian KL, against SPEC section 9, plain loops and torch.distributions."""

import math
from collections.abc import Callable

import pytest
import torch
from small_methods import P, Q, mmd_by_loops, normal, rows
from torch.distributions import Independent, Normal, kl_divergence

from metrics import divergences
from metrics.divergences import Kernel, gaussian_kl, imq, imq7, mmd, mmd_chunked, mmd_rbf_median, rbf, squared_distances
from metrics.kernels import tiles
from metrics.kernels.distances import SquaredDistances

GOLDEN = 5e-7  # six printed decimals


def imq_by_hand(C: float) -> Callable[[float], float]:
    return lambda r2: C / (C + r2)


def imq7_by_hand(C: float) -> Callable[[float], float]:
    return lambda r2: sum(s * C / (s * C + r2) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))


def rbf_by_hand(C: float) -> Callable[[float], float]:
    return lambda r2: math.exp(-r2 / C)


KERNELS = [(imq, imq_by_hand), (imq7, imq7_by_hand), (rbf, rbf_by_hand)]


@pytest.mark.parametrize(
    ("kernel", "C", "value"),
    [(imq, 4.0, -0.170275), (imq7, 4.0, -0.833783), (rbf, 4.0, -0.235474), (rbf, 8.0, -0.183731)],
)
def test_u_statistic_has_the_golden_values(kernel: Kernel, C: float, value: float) -> None:
    assert mmd(P, Q, C, kernel).item() == pytest.approx(value, abs=GOLDEN)
    assert mmd(Q, P, C, kernel).item() == pytest.approx(value, abs=GOLDEN)


def test_p_with_itself_has_the_golden_value() -> None:
    assert mmd(P, P, 4.0).item() == pytest.approx(-0.279012, abs=GOLDEN)


def test_v_statistic_of_the_same_kernel_has_the_golden_value() -> None:
    pp, qq, pq = (imq(squared_distances(a, b), 4.0).mean() for a, b in ((P, P), (Q, Q), (P, Q)))
    assert (pp + qq - 2 * pq).item() == pytest.approx(0.144919, abs=GOLDEN)


def test_squared_distances_are_those_of_every_pair() -> None:
    a, b = normal(4, 3, seed=1), normal(5, 3, seed=2)
    loops = [[sum((s - t) ** 2 for s, t in zip(u, v, strict=True)) for v in rows(b)] for u in rows(a)]
    assert squared_distances(a, b).tolist() == [pytest.approx(row) for row in loops]


@pytest.mark.parametrize(("kernel", "by_hand"), KERNELS)
@pytest.mark.parametrize("C", [0.7, 6.0])
def test_mmd_is_the_loops(kernel: Kernel, by_hand: Callable[[float], Callable[[float], float]], C: float) -> None:
    p, q = normal(6, 3, seed=1), 1.5 * normal(5, 3, seed=2) + 0.3
    assert mmd(p, q, C, kernel).item() == pytest.approx(mmd_by_loops(p, q, by_hand(C)), abs=1e-12)


@pytest.mark.parametrize(("kernel", "by_hand"), KERNELS)
def test_kernels_at_known_distances(kernel: Kernel, by_hand: Callable[[float], Callable[[float], float]]) -> None:
    at = torch.tensor([[0.0, 1.0, 2.0, 50.0]], dtype=torch.float64)
    assert kernel(at, 2.0).tolist()[0] == pytest.approx([by_hand(2.0)(r2) for r2 in at.tolist()[0]])
    assert kernel(at, 2.0)[0, 0].item() == pytest.approx(7 if kernel is imq7 else 1)


def test_rbf_median_is_the_loops() -> None:
    p, q = normal(6, 2, seed=3), 0.5 * normal(6, 2, seed=4) - 1

    def nth_largest(a: list[list[float]], b: list[list[float]]) -> float:
        distances = [sum((s - t) ** 2 for s, t in zip(u, v, strict=True)) for u in a for v in b]
        return sorted(distances, reverse=True)[6 * 5 // 2 - 1]

    s = nth_largest(rows(p), rows(q)) + nth_largest(rows(q), rows(q))
    assert mmd_rbf_median(p, q).item() == pytest.approx(mmd_by_loops(p, q, rbf_by_hand(2 * s)), abs=1e-12)


@pytest.mark.parametrize("origin", [0.0, 100.0])
def test_gradients_of_squared_distances_are_those_of_the_differences(origin: float) -> None:
    a, b, G = normal(7, 3, seed=1).float() + origin, 2 * normal(5, 3, seed=2).float() + origin, normal(7, 5, seed=3)
    leaves, exact = ([x.detach().to(dtype).requires_grad_() for x in (a, b)] for dtype in (torch.float32, torch.float64))
    found, expected = SquaredDistances.apply(*leaves), squared_distances(*exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    for one, other in zip(torch.autograd.grad(found, leaves, G.float()), torch.autograd.grad(expected, exact, G), strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()
    itself = torch.autograd.grad(SquaredDistances.apply(leaves[0], leaves[0]), leaves[0], (G @ G.mT).float())[0]
    expected = torch.autograd.grad(squared_distances(exact[0], exact[0]), exact[0], G @ G.mT)[0]
    assert (itself - expected).abs().max() < 1e-5 * expected.abs().max()


def test_upper_median_counts_from_the_largest() -> None:
    values = torch.arange(1.0, 17).reshape(4, 4)
    assert divergences.upper_median(values).item() == 11  # the 4·3/2 = 6th largest of 1 ... 16
    assert divergences.upper_median(values[:1, :1]).item() == 1


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_mmd_in_chunks_is_mmd(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = normal(11, 3, seed=5), 2 * normal(9, 3, seed=6)
    monkeypatch.setattr(tiles, "ROWS", rows)
    monkeypatch.setattr(tiles, "COLUMNS", 3)
    assert mmd_chunked(p, q, 6.0) == pytest.approx(mmd(p, q, 6.0, backend="broadcast").item(), abs=1e-12)


def test_mmd_in_chunks_is_taken_in_float64() -> None:
    p, q = 1e-3 * normal(50, 2, seed=5).float() + 100, 1e-3 * normal(50, 2, seed=6).float() + 100
    exact = mmd(p.double(), q.double(), 4.0).item()
    assert mmd_chunked(p, q, 4.0) == pytest.approx(exact, abs=1e-13)


def test_u_statistic_of_one_law_averages_to_zero_and_v_does_not() -> None:
    n, draws = 12, 1500
    u, v = [], []
    for seed in range(draws):
        p, q = normal(2, n, 2, seed=seed)
        u.append(mmd(p, q, 4.0))
        v.append(sum(sign * imq(squared_distances(a, b), 4.0).mean() for sign, a, b in ((1, p, p), (1, q, q), (-2, p, q))))
    for values, centred in ((torch.stack(u), True), (torch.stack(v), False)):
        standard_error = values.std() / math.sqrt(draws)
        assert (values.mean().abs() < 3.5 * standard_error) == centred
    assert torch.stack(u).min() < 0  # never clamped


@pytest.mark.parametrize("kernel", [imq, imq7, rbf])
def test_mmd_grows_with_the_distance_of_the_laws(kernel: Kernel) -> None:
    p, q = normal(200, 2, seed=1), normal(200, 2, seed=2)
    values = [mmd(p, q + shift, 4.0, kernel).item() for shift in (0.0, 0.5, 1.0, 3.0)]
    assert values == sorted(values)


@pytest.mark.parametrize("kernel", [imq, imq7, rbf])
def test_gradients_are_those_of_differences(kernel: Kernel) -> None:
    p, q = normal(4, 2, seed=1), normal(4, 2, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: mmd(p, z, 4.0, kernel), q)


def test_gaussian_kl_is_the_loops_and_the_library() -> None:
    mean, log_variance = normal(5, 3, seed=1), normal(5, 3, seed=2)
    loops = [
        0.5 * sum(m**2 + math.exp(lv) - 1 - lv for m, lv in zip(ms, lvs, strict=True))
        for ms, lvs in zip(rows(mean), rows(log_variance), strict=True)
    ]
    library = kl_divergence(
        Independent(Normal(mean, (0.5 * log_variance).exp()), 1),
        Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1),
    )
    assert gaussian_kl(mean, log_variance).tolist() == pytest.approx(loops)
    assert gaussian_kl(mean, log_variance).tolist() == pytest.approx(library.tolist())
    assert gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0, 0]
