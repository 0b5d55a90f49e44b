"""The latent adversary of WAE-GAN: both players' objectives against loops, and the direction they move in."""

import math

import pytest
import torch
from small_methods import noise, normal, rows, sigmoid
from torch import Tensor, nn

from models.interfaces import Draw
from models.parts.critic import PriorMatch
from models.parts.prior import StandardNormal

PRIOR = StandardNormal(3)


def critic(pz_trick: bool = False) -> PriorMatch:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return PriorMatch(3, width=6, pz_trick=pz_trick)


def draw_of(z: Tensor) -> Draw:
    return Draw(z, z, None, noise(5))


def logits_by_loops(net: PriorMatch, z: Tensor, prior: StandardNormal) -> list[float]:
    """The network, unit by unit; with the p_Z trick the log density of N(0, σ² I) is added."""
    found = []
    for values in rows(z):
        h = values
        linears = [layer for layer in net.net if isinstance(layer, nn.Linear)]
        for depth, layer in enumerate(linears):
            h = [
                sum(w * v for w, v in zip(ws, h, strict=True)) + b for ws, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            ]
            h = [max(0.0, v) for v in h] if depth < len(linears) - 1 else h
        log_density = sum(-0.5 * (v * v / prior.variance + math.log(2 * math.pi * prior.variance)) for v in values)
        found.append(h[0] + net.pz_trick * log_density)
    return found


CODES = (2 * normal(4, 3, seed=1) + 1).float()


@pytest.mark.parametrize("pz_trick", [False, True])
@pytest.mark.parametrize("prior", [PRIOR, StandardNormal(3, 4.0)], ids=str)
def test_both_objectives_are_the_loops(pz_trick: bool, prior: StandardNormal) -> None:
    net = critic(pz_trick)
    codes = logits_by_loops(net, CODES, prior)
    real = logits_by_loops(net, prior.sample(4, noise(5)), prior)
    encoder = -sum(math.log(sigmoid(t)) for t in codes) / 4  # non-saturating: -log D(z̃)
    adversary = -sum(math.log(sigmoid(t)) for t in real) / 4 - sum(math.log(1 - sigmoid(t)) for t in codes) / 4
    assert net(draw_of(CODES), prior).item() == pytest.approx(encoder, rel=1e-5)
    assert net.critic_terms(draw_of(CODES), prior).item() == pytest.approx(adversary, rel=1e-5)


def test_an_undecided_critic_costs_log_two_for_each_side() -> None:
    net = critic()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    assert net(draw_of(CODES), PRIOR).item() == pytest.approx(math.log(2))
    assert net.critic_terms(draw_of(CODES), PRIOR).item() == pytest.approx(2 * math.log(2))


def test_with_the_trick_a_silent_network_says_the_log_density_of_the_prior() -> None:
    net = critic(pz_trick=True)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(net.logit(CODES, PRIOR), PRIOR.log_prob(CODES))


def test_steps_of_the_critic_believe_prior_draws_and_not_codes() -> None:
    net, z, codes = critic(), PRIOR.sample(4, noise(5)), CODES + 4
    gaps = []
    for _ in range(200):
        gaps.append((net.logit(z, PRIOR).mean() - net.logit(codes, PRIOR).mean()).item())
        loss = net.critic_terms(draw_of(codes), PRIOR)
        for parameter, slope in zip(net.parameters(), torch.autograd.grad(loss, tuple(net.parameters())), strict=True):
            parameter.data -= 0.1 * slope
    assert gaps[1] > gaps[0]  # one step already
    assert net.logit(z, PRIOR).min() > 0 > net.logit(codes, PRIOR).max()


def test_the_encoder_moves_codes_to_where_the_critic_believes_them() -> None:
    net, codes = critic(), CODES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(net(draw_of(codes), PRIOR), codes)
    assert (net.logit(codes - 0.1 * gradient, PRIOR) - net.logit(codes, PRIOR)).min() >= 0
    assert net.logit(codes - 0.1 * gradient, PRIOR).mean() > net.logit(codes, PRIOR).mean()


def test_the_encoder_learns_most_where_the_critic_is_sure() -> None:
    """Non-saturating: the slope of -log D in the logit is -(1 - D), near -1 for codes that are seen through."""
    for logit, slope in ((-20.0, -1.0), (0.0, -0.5), (20.0, 0.0)):
        net = critic()
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        nn.init.constant_(net.net[-1].bias, logit)
        (gradient,) = torch.autograd.grad(net(draw_of(CODES), PRIOR), net.net[-1].bias)
        assert gradient.item() == pytest.approx(slope, abs=1e-6)


def test_prior_draws_are_fresh_at_each_step() -> None:
    net, draw = critic(), draw_of(CODES)
    assert net.critic_terms(draw, PRIOR).item() != net.critic_terms(draw, PRIOR).item()


def test_layers_are_those_of_the_paper() -> None:
    net = PriorMatch(8)
    sizes = [(layer.in_features, layer.out_features) for layer in net.net if isinstance(layer, nn.Linear)]
    assert sizes == [(8, 512), (512, 512), (512, 512), (512, 512), (512, 1)]
    assert [type(layer).__name__ for layer in net.net] == ["Linear", "ReLU"] * 4 + ["Linear"]
    assert [str(net), str(critic(pz_trick=True))] == ["adversary", "adversary with p_Z trick"]
