"""AVB: an implicit posterior, and the log-ratio T whose optimum is known for a Gaussian."""

import math

import pytest
import torch
from small_methods import DIM, SHAPE, images, noise, normal, rows, sigmoid, tiny
from torch import Tensor, nn

from models.avb import ImplicitPosterior, LogRatio, avb
from models.interfaces import Draw
from models.method import AutoEncoder, Recipe
from models.parts.cost import Bernoulli, Gaussian
from models.parts.posterior import AdditiveNoise
from models.parts.prior import StandardNormal

X = images(6)
PRIOR = StandardNormal(DIM)


def method(seed: int = 0, **values: object) -> AutoEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return avb(DIM, **{"width": 6, **values}).assemble(SHAPE, DIM, tiny)


def ratio_of(avb_method: AutoEncoder) -> LogRatio:
    return avb_method.recipe.regularisers[0][1]


def ratios_by_loops(t: LogRatio, x: Tensor, z: Tensor) -> list[float]:
    """T(x, z), unit by unit; with the prior known, minus the log density of N(0, I)."""
    found = []
    for pixels, code in zip(rows(x), rows(z), strict=True):
        h = [*pixels, *code]
        linears = [layer for layer in t.net if isinstance(layer, nn.Linear)]
        for layer in linears:
            ws, bs = layer.weight.tolist(), layer.bias.tolist()
            h = [sum(w * v for w, v in zip(row, h, strict=True)) + b for row, b in zip(ws, bs, strict=True)]
            h = h if layer is linears[-1] else [max(0.0, v) for v in h]
        log_prior = sum(-0.5 * (v * v + math.log(2 * math.pi)) for v in code)
        found.append(h[0] - t.analytic_prior * log_prior)
    return found


@pytest.mark.parametrize("analytic_prior", [False, True])
def test_both_objectives_are_the_loops(analytic_prior: bool) -> None:
    m = method(analytic_prior=analytic_prior)
    with torch.no_grad():
        draw = m.draw(X, noise(2))
    q = ratios_by_loops(ratio_of(m), X, draw.z)
    stream = noise(2)
    m.draw(X, stream)
    p = ratios_by_loops(ratio_of(m), X, PRIOR.sample(6, stream))
    adversary = -sum(math.log(sigmoid(t)) for t in q) / 6 - sum(math.log(1 - sigmoid(t)) for t in p) / 6
    critic, own = m.players()
    assert critic.terms(X, noise(2))["loss"].item() == pytest.approx(adversary, rel=1e-5)
    terms = own.terms(X, noise(2))
    assert terms["log_ratio"].item() == pytest.approx(sum(q) / 6, rel=1e-4, abs=1e-6)  # E T: the ratio form, not -log σ(T)
    reconstruction = Bernoulli()(X, m.decoder(draw.z)).mean()
    assert terms["loss"].item() == pytest.approx(reconstruction.item() + sum(q) / 6, rel=1e-5)


class Conditional(nn.Module):
    """The mean of q(z|x) = N(a x, s² I), and nothing to learn."""

    def __init__(self, a: float):
        super().__init__()
        self.a = a

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.flatten(1)


@pytest.mark.parametrize("analytic_prior", [False, True])
def test_at_its_optimum_t_is_log_q_minus_log_p(analytic_prior: bool) -> None:
    """One latent: q(z|x) = N(0.8 x, 0.5), p = N(0, 1), x ~ N(0, 1). E_q T is then the mean KL, ½(0.64 + 0.5 - 1 - log 0.5)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        t = LogRatio(1, width=32, analytic_prior=analytic_prior)
        recipe = Recipe(AdditiveNoise(0.5), Bernoulli(), ((1.0, t),), StandardNormal(1))
        model = recipe.assemble((1, 1, 1), 1, lambda shape, dim, outputs: (Conditional(0.8), nn.Identity()))
    critic, stream = model.players()[0], noise(1)
    optimizer = torch.optim.Adam(critic.parameters, lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 800)
    for _ in range(800):
        optimizer.zero_grad()
        critic.terms(torch.randn(512, 1, 1, 1, generator=stream), stream)["loss"].backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        x = torch.randn(20_000, 1, 1, 1, generator=stream)
        draw = model.draw(x, stream)
        kl = t(draw, model.prior).item()
        x, z = torch.meshgrid(torch.linspace(-1, 1, 5), torch.linspace(-1.2, 1.2, 7), indexing="ij")
        x, z = x.reshape(-1, 1, 1, 1), z.reshape(-1, 1)
        found = t.ratio(x, z, model.prior)
    log_q = -0.5 * ((z - 0.8 * x.flatten(1)).square() / 0.5 + math.log(2 * math.pi * 0.5))
    log_p = -0.5 * (z.square() + math.log(2 * math.pi))
    assert (found - (log_q - log_p).squeeze(1)).abs().mean() < 0.1
    assert kl == pytest.approx(0.5 * (0.64 + 0.5 - 1 - math.log(0.5)), abs=0.05)


def test_a_silent_network_with_the_prior_known_says_minus_its_log_density() -> None:
    t = ratio_of(method(analytic_prior=True))
    for parameter in t.parameters():
        nn.init.zeros_(parameter)
    z = normal(6, DIM, seed=1).float()
    assert torch.equal(t.ratio(X, z, PRIOR), -PRIOR.log_prob(z))


def test_a_code_is_features_and_a_network_of_features_and_noise() -> None:
    torch.manual_seed(0)
    posterior, features = ImplicitPosterior(2, width=4), normal(5, 4, seed=1).float()
    draw = posterior(features, noise(3))
    epsilon = torch.randn(5, 2, generator=noise(3))
    for i, h in enumerate(rows(features)):
        z = h[:2]
        for code, e in ((draw.z, epsilon[i].tolist()), (draw.mean, [0.0, 0.0])):
            value = [*h, *e]
            for layer in posterior.net:
                if isinstance(layer, nn.Linear):
                    ws, bs = layer.weight.tolist(), layer.bias.tolist()
                    value = [sum(w * v for w, v in zip(row, value, strict=True)) + b for row, b in zip(ws, bs, strict=True)]
                else:
                    value = [max(0.0, v) for v in value]
            assert code[i].tolist() == pytest.approx([a + b for a, b in zip(z, value, strict=True)], rel=1e-4, abs=1e-6)
    assert draw.log_variance is None
    assert draw.log_q is None
    assert (posterior.outputs, posterior.variance) == (2, None)


def test_codes_of_one_image_differ_and_need_not_be_gaussian() -> None:
    posterior = ImplicitPosterior(1, width=8)
    with torch.no_grad():
        for layer in posterior.net:
            if isinstance(layer, nn.Linear):
                layer.weight.zero_()
                layer.bias.zero_()
        posterior.net[0].weight[0, 2], posterior.net[0].weight[1, 2] = 1, -1  # |ε| from two ReLUs
        posterior.net[2].weight[0, :2], posterior.net[4].weight[0, 0] = 1, 1
        z = posterior(torch.zeros(4000, 2), noise()).z
    assert z.min() >= 0
    assert z.mean().item() == pytest.approx(math.sqrt(2 / math.pi), abs=0.05)


def test_the_codes_move_to_where_t_is_lower_and_t_is_frozen() -> None:
    m = method()
    t, codes = ratio_of(m), normal(6, DIM, seed=1).float().requires_grad_()
    draw = Draw(codes, codes, None, noise(), x=X)
    (gradient,) = torch.autograd.grad(t(draw, PRIOR), codes)
    assert t(Draw(codes - gradient, codes, None, noise(), x=X), PRIOR) < t(draw, PRIOR)
    critic, own = m.players()
    assert [critic.name, own.name, critic.before] == ["log_ratio", "autoencoder", True]
    assert {id(p) for p in critic.parameters} == {id(p) for p in t.parameters()}
    assert not {id(p) for p in critic.parameters} & {id(p) for p in own.parameters}
    critic.terms(X, noise())["loss"].backward()
    assert all(p.grad is None for p in own.parameters)
    assert {id(p) for p in own.parameters} >= {id(p) for p in m.recipe.posterior.parameters()}


def test_t_reads_the_image_and_fits_images_of_any_shape() -> None:
    m = method()
    z = normal(1, DIM, seed=1).float().expand(6, DIM)
    assert ratio_of(m).ratio(X, z, PRIOR).unique().numel() == 6
    wide = avb(DIM, width=6).assemble((3, 5, 7), DIM, tiny)
    assert ratio_of(wide).net[0].in_features == 3 * 5 * 7 + DIM
    assert wide.terms(images(4, shape=(3, 5, 7)), noise())["loss"].isfinite()


def test_recipes_say_what_they_are() -> None:
    recipe = avb(DIM, likelihood="gaussian", decoder_variance=0.2, critic_lr=3e-3, analytic_prior=True)
    assert recipe.cost == Gaussian(0.2)
    assert recipe.description()["regularisers"] == "1 × KL, adversary with log p(z) known"
    assert recipe.description()["posterior"] == "implicit, e(x, ε)"
    assert method(critic_lr=3e-3).players()[0].lr == 3e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 0}, "width must be at least 1, not 0"),
        ({"critic_lr": -1.0}, "critic_lr must be positive, not -1.0"),
        ({"likelihood": "gaussian", "decoder_variance": -1.0}, "decoder_variance must be positive, not -1.0"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        avb(DIM, **values)
