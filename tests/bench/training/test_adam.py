"""The harness's Adam is torch's to the bit, goes on from a state, and moves as Algorithm 1 says."""

import copy
import math

import pytest
import torch
from small_methods import noise
from torch import nn

from bench.training.adam import Adam

BETAS = (0.8, 0.95)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))


def gradients(net: nn.Module, step: int, skip: int | None = None) -> None:
    x = torch.randn(7, 6, generator=noise(step))
    net.zero_grad(set_to_none=True)
    net(x).square().sum().backward()
    if skip is not None:
        list(net.parameters())[skip].grad = None


@pytest.mark.parametrize("skip", [None, 2])
def test_it_is_torchs_fused_adam_to_the_bit(skip: int | None) -> None:
    mine, theirs = network(), network()
    adam, reference = Adam(list(mine.parameters()), 1e-2, BETAS), torch.optim.Adam(theirs.parameters(), 1e-2, BETAS, fused=True)
    for step in range(25):
        gradients(mine, step, skip if step % 3 else None)  # a parameter without a gradient keeps its own count
        gradients(theirs, step, skip if step % 3 else None)
        adam.set_rate(1e-2 / (1 + step))
        reference.param_groups[0]["lr"] = 1e-2 / (1 + step)
        adam.step()
        reference.step()
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(p, q)


def test_it_moves_as_algorithm_1_says() -> None:
    p = nn.Parameter(torch.tensor([0.3], dtype=torch.float64))
    adam, x, m, v = Adam([p], 0.1, BETAS), 0.3, 0.0, 0.0
    for t in range(1, 8):
        g = math.cos(t) * x
        p.grad = torch.tensor([math.cos(t) * p.item()], dtype=torch.float64)
        adam.step()
        m, v = BETAS[0] * m + (1 - BETAS[0]) * g, BETAS[1] * v + (1 - BETAS[1]) * g * g
        x -= 0.1 * (m / (1 - BETAS[0] ** t)) / (math.sqrt(v / (1 - BETAS[1] ** t)) + 1e-8)
    assert p.item() == pytest.approx(x, rel=1e-12)


def test_a_state_is_gone_on_from() -> None:
    whole = network()
    adam = Adam(list(whole.parameters()), 1e-2, BETAS)
    for step in range(6):
        gradients(whole, step)
        adam.step()
        if step == 2:
            part, state = copy.deepcopy(whole), copy.deepcopy(adam.state_dict())
    other = Adam(list(part.parameters()), 1e-2, BETAS)
    other.load_state_dict(state)
    for step in range(3, 6):
        gradients(part, step)
        other.step()
    for p, q in zip(whole.parameters(), part.parameters(), strict=True):
        assert torch.equal(p, q)


def test_without_any_gradient_nothing_moves() -> None:
    p = nn.Parameter(torch.ones(3))
    adam = Adam([p], 0.1, BETAS)
    adam.step()
    assert p.tolist() == [1, 1, 1]
    assert adam.steps[0] == 0
