"""Shortest likely paths: the objective by loops, and what a path does on priors whose shape is known."""

import inspect
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from small_methods import DIM, build, images, noise, normal
from torch import Tensor

from models.ladder import ladder, vae_laplace
from models.parts.interpolate import interpolate, path_loss, shortest_likely_path, straight_path
from models.parts.prior import StandardNormal
from models.vcae import vcae

START, END = torch.tensor([-1.0, 2.0]), torch.tensor([2.5, 0.5])


def test_the_objective_is_the_loops() -> None:
    path = normal(6, 2, seed=1)
    points = path.tolist()
    steps = [math.dist(a, b) for a, b in pairwise(points)]
    mean = sum(steps) / 5
    std = math.sqrt(sum((s - mean) ** 2 for s in steps) / 5)
    likelihood = sum(-0.5 * (x * x + y * y) - math.log(2 * math.pi) for x, y in points[1:-1])
    assert path_loss(path, StandardNormal(2).log_prob).item() == pytest.approx(10 * sum(steps) + 100 * std - likelihood)
    assert path_loss(path, StandardNormal(2).log_prob, length=1, evenness=1).item() == pytest.approx(sum(steps) + std - likelihood)


def loss_by_loops(points: list[list[float]], length: float, evenness: float) -> float:
    """SPEC 7.1, for p = N(0, I) in two dimensions."""
    steps = [math.dist(a, b) for a, b in pairwise(points)]
    mean = sum(steps) / len(steps)
    std = math.sqrt(sum((s - mean) ** 2 for s in steps) / len(steps))
    return length * sum(steps) + evenness * std + sum(0.5 * (x * x + y * y) for x, y in points[1:-1])


@pytest.mark.parametrize("weights", [(10.0, 100.0), (1.0, 1.0)])
def test_a_path_takes_the_codes_steps(weights: tuple[float, float]) -> None:
    """Adam (0.01; 0.9, 0.95) by loops, each value of the slope within [-1, 1]."""
    path = straight_path(START, END, 3).double().tolist()
    first, second = ([[0.0, 0.0] for _ in range(3)] for _ in range(2))
    for step in range(1, 9):
        slopes = []
        for j in range(3):
            for k in range(2):
                ends = []
                for h in (1e-6, -1e-6):
                    moved = [list(point) for point in path]
                    moved[j + 1][k] += h
                    ends.append(loss_by_loops(moved, *weights))
                slopes.append(max(-1.0, min(1.0, (ends[0] - ends[1]) / 2e-6)))
        for j in range(3):
            for k in range(2):
                g = slopes[2 * j + k]
                first[j][k] = 0.9 * first[j][k] + 0.1 * g
                second[j][k] = 0.95 * second[j][k] + 0.05 * g * g
                path[j + 1][k] -= 0.01 * first[j][k] / (1 - 0.9**step) / (math.sqrt(second[j][k] / (1 - 0.95**step)) + 1e-8)
    values = dict(zip(("length", "evenness"), weights, strict=True)) if weights != (10, 100) else {}  # the defaults
    found = shortest_likely_path(START.double(), END.double(), StandardNormal(2).log_prob, points=3, iterations=8, **values)
    assert torch.allclose(found, torch.tensor(path, dtype=torch.float64), atol=1e-5)


def test_the_codes_amounts_are_the_defaults() -> None:
    defaults = {name: p.default for name, p in inspect.signature(shortest_likely_path).parameters.items() if p.default is not p.empty}
    assert defaults == {"points": 8, "length": 10.0, "evenness": 100.0, "iterations": 500, "lr": 0.01}


def test_the_straight_path_is_even_and_has_both_ends() -> None:
    path = straight_path(START, END, 4)
    assert torch.equal(path[[0, -1]], torch.stack([START, END]))
    assert torch.allclose(path.diff(dim=0), (END - START).expand(5, 2) / 5, atol=1e-6)


def test_a_likely_path_lowers_the_objective_and_keeps_its_ends() -> None:
    path, log_prob = shortest_likely_path(START, END, StandardNormal(2).log_prob, length=1, evenness=1), StandardNormal(2).log_prob
    straight = straight_path(START, END)
    assert torch.equal(path[[0, -1]], torch.stack([START, END]))
    assert path_loss(path, log_prob, length=1, evenness=1) < path_loss(straight, log_prob, length=1, evenness=1) - 1
    assert path[1:-1].norm(dim=1).mean() < straight[1:-1].norm(dim=1).mean()
    assert len(path) == 10


def ring(z: Tensor) -> Tensor:
    return -0.5 * ((z.norm(dim=1) - 2) / 0.2) ** 2


def test_a_likely_path_goes_round_a_hole() -> None:
    start, end = torch.tensor([-2.0, 0.1]), torch.tensor([2.0, 0.1])
    path = shortest_likely_path(start, end, ring, length=1, evenness=1)
    assert straight_path(start, end).norm(dim=1).min() < 0.5
    assert path.norm(dim=1).min() > 1.4


def test_where_all_is_as_likely_the_straight_path_stays() -> None:
    path = shortest_likely_path(START, END, lambda z: z.sum(1) * 0, iterations=200)
    assert torch.allclose(path, straight_path(START, END), atol=0.05)
    steps = path.diff(dim=0).norm(dim=1)
    assert steps.std() < 0.02


def test_equal_ends_are_a_path() -> None:
    path = shortest_likely_path(START, START, StandardNormal(2).log_prob, iterations=5)
    assert path.isfinite().all()


def test_images_of_a_path_begin_and_end_with_the_pair() -> None:
    method, pair = build(partial(vae_laplace, DIM)), images(2)
    found = interpolate(method, pair, noise(), points=3)
    assert found.shape == (5, *pair.shape[1:])
    assert torch.allclose(found[[0, -1]], method.decode(method.draw(pair, noise()).mean), atol=1e-6)
    straight = interpolate(method, pair, noise(), points=3, likely=False)
    assert torch.allclose(straight[[0, -1]], found[[0, -1]])
    middle = method.draw(pair, noise()).mean.mean(0, keepdim=True)
    assert torch.allclose(straight[2], method.decode(middle)[0], atol=1e-6)


def test_a_nested_prior_interpolates_between_codes_of_codes() -> None:
    method, pair = build(partial(ladder, DIM, width=8, warmup_epochs=0, components=2, samples=2)), images(2)
    prior = method.recipe.prior
    t = prior.draw(method.draw(pair, noise()).mean, noise()).mean
    found = interpolate(method, pair, noise(), points=3, likely=False)
    assert torch.allclose(found[2], method.decode(prior.decoder(t.mean(0, keepdim=True)))[0], atol=1e-6)
    likely = interpolate(method, pair, noise(), points=3)
    assert torch.allclose(likely[[0, -1]], method.decode(prior.decoder(t)), atol=1e-6)
    path = shortest_likely_path(t[0], t[1], prior.hyper.log_prob, points=3)
    assert torch.allclose(likely, method.decode(prior.decoder(path)), atol=1e-5)
    assert (path - straight_path(t[0], t[1], 3)).abs().max() > 1e-3
    assert not torch.allclose(likely, found, atol=1e-5)
    assert 0 <= likely.min() <= likely.max() <= 1


def test_during_the_warm_up_a_nested_prior_interpolates_between_codes() -> None:
    method, pair = build(partial(ladder, DIM, width=8, warmup_epochs=1, components=2, samples=2)), images(2)
    z = method.draw(pair, noise()).mean
    found = interpolate(method, pair, noise(), points=3)
    assert torch.allclose(found, method.decode(shortest_likely_path(z[0], z[1], StandardNormal(DIM).log_prob, points=3)), atol=1e-5)


def test_no_prior_is_no_path() -> None:
    with pytest.raises(ValueError, match="without a prior"):
        interpolate(build(lambda: vcae(DIM)), images(2), noise())
    with pytest.raises(ValueError, match="points must be at least 1"):
        shortest_likely_path(START, END, StandardNormal(2).log_prob, points=0)
